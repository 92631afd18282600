"""Reads handwritten digits of 8 x 8 pixels with ONNX Runtime.

Takes JSON `{"pixels": [64 numbers from 0 to 16]}`, or the same as 64 little-endian float32 values in a binary body.
"""

import pathlib

import numpy
import onnxruntime


class PythonPredictor:
    def __init__(self, config):
        path = pathlib.Path(__file__).with_name(config["model"])
        if not path.exists():
            raise FileNotFoundError(f"{path.name} is missing: run train.py, then deploy again")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def predict(self, payload):
        if isinstance(payload, bytes):
            pixels = numpy.frombuffer(payload, dtype="<f4")
        else:
            pixels = numpy.asarray(payload["pixels"], dtype=numpy.float32)
        (probabilities,) = self.session.run(["probabilities"], {"pixels": pixels.reshape(1, 64)})
        digit = probabilities[0].argmax()
        return {"digit": digit, "probability": probabilities[0][digit]}
