"""Writes the models: `fahrenheit` in two versions, the second without the first one's rounding, and `kelvin`.

uv run --no-project --with onnx make_models.py
"""

import pathlib

import onnx
from onnx import TensorProto, helper

folder = pathlib.Path(__file__).parent / "models"


def write(path, factor, offset, rounded):
    nodes = [
        helper.make_node("Mul", ["celsius", "factor"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], ["exact" if rounded else "converted"]),
    ]
    if rounded:
        nodes.append(helper.make_node("Round", ["exact"], ["converted"]))
    graph = helper.make_graph(
        nodes,
        "convert",
        [helper.make_tensor_value_info("celsius", TensorProto.FLOAT, ["count"])],
        [helper.make_tensor_value_info("converted", TensorProto.FLOAT, ["count"])],
        [
            helper.make_tensor("factor", TensorProto.FLOAT, [], [factor]),
            helper.make_tensor("offset", TensorProto.FLOAT, [], [offset]),
        ],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


write(folder / "fahrenheit/1/model.onnx", 1.8, 32.0, rounded=True)
write(folder / "fahrenheit/2/model.onnx", 1.8, 32.0, rounded=False)
write(folder / "kelvin/1/model.onnx", 1.0, 273.15, rounded=False)
print(f"wrote models below {folder.name}/")
