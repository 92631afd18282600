"""The model that the protocol's clients and our suite are run against: `simple` of Triton's public examples."""

import pathlib
from typing import Any

TOKEN = "sesame"

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

# One of text and one of fractions, each told back: what `simple` has no room for.
TEXT = """
class PythonPredictor:
    inputs = [
        {"name": "TEXT", "datatype": "BYTES", "shape": [-1, 2]},
        {"name": "NUMBER", "datatype": "FP32", "shape": [-1, 3]},
    ]
    outputs = [
        {"name": "TEXT_BACK", "datatype": "BYTES", "shape": [-1, 2]},
        {"name": "NUMBER_BACK", "datatype": "FP32", "shape": [-1, 3]},
    ]

    def __init__(self, config):
        pass

    def predict(self, payload):
        return {"TEXT_BACK": payload["TEXT"], "NUMBER_BACK": payload["NUMBER"]}
"""

# `simple` with its numbers in text.
STRING = """
import numpy as np

TENSOR = {"datatype": "BYTES", "shape": [-1, 16]}


class PythonPredictor:
    inputs = [dict(TENSOR, name="INPUT0"), dict(TENSOR, name="INPUT1")]
    outputs = [dict(TENSOR, name="OUTPUT0"), dict(TENSOR, name="OUTPUT1")]

    def __init__(self, config):
        pass

    def predict(self, payload):
        a, b = payload["INPUT0"].astype(int), payload["INPUT1"].astype(int)
        return {"OUTPUT0": (a + b).astype(str), "OUTPUT1": (a - b).astype(str)}
"""

# A running sum per sequence, as `simple_sequence` of the examples; parameters say which and where in it.
SEQUENCE = """
class PythonPredictor:
    inputs = [{"name": "INPUT", "datatype": "INT32", "shape": [-1, 1]}]
    outputs = [{"name": "OUTPUT", "datatype": "INT32", "shape": [-1, 1]}]

    def __init__(self, config):
        self.sums = {}

    def predict(self, payload):
        told = payload.parameters
        name = told["sequence_id"]
        before = 0 if told.get("sequence_start") else self.sums[name]
        self.sums[name] = before + payload["INPUT"]
        return self.sums.pop(name) if told.get("sequence_end") else self.sums[name]
"""


def config(folder: "str | pathlib.Path") -> dict[str, Any]:
    """Of a replica with both doors and an admin, whose token is in `folder`."""
    return {"grpcAddress": "free", "adminTokenFile": str(token_file(folder))}


def token_file(folder: "str | pathlib.Path") -> pathlib.Path:
    path = pathlib.Path(folder) / "admin-token"
    path.write_text(TOKEN + "\n")
    return path
