"""Writes the model `rank`: an ONNX graph that compares a vector with those of all documents.

uv run --no-project --with numpy --with onnx make_models.py
"""

import importlib.util
import pathlib
import sys
import types

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

folder = pathlib.Path(__file__).parent
documents = (folder / "documents.txt").read_text().splitlines()

# The documents are embedded by the model `embed` itself, which needs no Triton for that.
sys.modules["triton_python_backend_utils"] = types.ModuleType("triton_python_backend_utils")
spec = importlib.util.spec_from_file_location("embed", folder / "models/embed/1/model.py")
embed = importlib.util.module_from_spec(spec)
spec.loader.exec_module(embed)

matrix = numpy.stack([embed.vector(text) for text in documents]).T
graph = helper.make_graph(
    [helper.make_node("MatMul", ["vector", "documents"], ["scores"])],
    "rank",
    [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["batch", embed.SIZE])],
    [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", len(documents)])],
    [numpy_helper.from_array(matrix, "documents")],
)
target = folder / "models/rank/1/model.onnx"
target.parent.mkdir(parents=True, exist_ok=True)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), target)
print(f"wrote {target.relative_to(folder)} with {len(documents)} documents")
