"""Trains a softmax regression on scikit-learn's digits, writes it as an ONNX graph, and labelled.json, sample.json."""

import json
import pathlib

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

folder = pathlib.Path(__file__).parent
data = load_digits()
train_x, test_x, train_y, test_y = train_test_split(data.data, data.target, random_state=0, stratify=data.target)
model = LogisticRegression(max_iter=2000).fit(train_x / 16, train_y)
weights = numpy_helper.from_array((model.coef_.T / 16).astype(numpy.float32), "weights")
bias = numpy_helper.from_array(model.intercept_.astype(numpy.float32), "bias")
graph = helper.make_graph(
    [
        helper.make_node("Gemm", ["pixels", "weights", "bias"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ],
    "digits",
    [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [None, 64])],
    [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 10])],
    [weights, bias],
)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "model.onnx")
labelled = [
    {"payload": {"pixels": list(map(float, row))}, "label": int(label)}
    for row, label in zip(test_x, test_y, strict=True)
]
(folder / "labelled.json").write_text(json.dumps(labelled))
(folder / "sample.json").write_text(json.dumps(labelled[0]["payload"]) + "\n")
print(f"accuracy on {len(test_y)} held-out digits: {model.score(test_x / 16, test_y):.3f}; wrote model.onnx")
