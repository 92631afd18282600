"""The model that the protocol's clients and our suite are run against: `simple` of Triton's public examples."""

SIMPLE = """
import numpy as np

TENSOR = {"datatype": "INT32", "shape": [-1, 16]}


class PythonPredictor:
    inputs = [dict(TENSOR, name="INPUT0"), dict(TENSOR, name="INPUT1")]
    outputs = [dict(TENSOR, name="OUTPUT0"), dict(TENSOR, name="OUTPUT1")]

    def __init__(self, config):
        pass

    def predict(self, payload):
        a, b = payload["INPUT0"], payload["INPUT1"]
        return {"OUTPUT0": a + b, "OUTPUT1": a - b}
"""
