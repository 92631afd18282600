"""`type: onnx` as its author and its callers see it, on a real Triton and on the embedded engine."""

import pathlib
import subprocess
from typing import Any

import httpx
import pytest

from tests.runtime import replica
from tests.triton import replicas, stand

SOURCE = """
    class ONNXPredictor:
        def __init__(self, onnx_client, config):
            self.client = onnx_client

        def predict(self, payload, query_params):
            answer = self.client.predict(payload["x"], query_params.get("model"), query_params.get("version", "latest"))
            return [array.tolist() for array in answer]
"""
# Writes y = x * k for rows of three numbers.
MAKE = """
import sys
import onnx
from onnx import TensorProto, helper
k = helper.make_tensor("k", TensorProto.FLOAT, [], [float(sys.argv[2])])
shape = ["rows", int(sys.argv[3])]
graph = helper.make_graph(
    [helper.make_node("Mul", ["x", "k"], ["y"])], "g",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)], [k])
onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), sys.argv[1])
"""


def make(path: pathlib.Path, factor: float, width: int = 3) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([stand.python(), "-c", MAKE, str(path), str(factor), str(width)], check=True)


def serving(folder: pathlib.Path, engine: str, models: dict[str, Any], **more: Any) -> Any:
    return replica.running(
        folder, SOURCE, predictor={"type": "PREDICTOR_TYPE_ONNX", "models": models, **more},
        config=replicas.settings(engine), environ=replicas.environ(engine),
    )  # fmt: skip


@pytest.mark.parametrize("engine", replicas.ENGINES)
def test_one_model_without_a_configuration(engine: str, tmp_path: pathlib.Path) -> None:
    make(tmp_path / "project/model.onnx", 2)
    with serving(tmp_path, engine, {"path": "model.onnx"}) as api:
        # As of old: a value of its own goes to the only input, and takes its shape.
        assert api.client.post("/", json={"x": [1, 2, 3]}).json() == [[[2, 4, 6]]]
        assert api.client.post("/", json={"x": {"x": [[1, 2, 3], [4, 5, 6]]}}).json() == [[[2, 4, 6], [8, 10, 12]]]
        bad = api.client.post("/", json={"x": [1, 2]})
        assert bad.status_code == 400, bad.text
        missing = api.client.post("/", json={"x": {"z": [1, 2, 3]}})
        assert missing.status_code == 400 and "'x'" in missing.text
        info = api.client.get("/info").json()
        assert info["engine"].startswith(engine) and info["predictor"]["class"] == "ONNXPredictor"


def test_versions_change_under_load_and_a_broken_one_changes_nothing(tmp_path: pathlib.Path) -> None:
    root = tmp_path / "live"
    make(root / "a/1/a.onnx", 2)
    make(root / "b/7/b.onnx", 10)
    with serving(tmp_path, "triton", {"dir": str(root), "poll_interval": "200ms"}) as api:

        def ask(**query: str) -> httpx.Response:
            reply: httpx.Response = api.client.post("/", params=query, json={"x": [1, 2, 3]})
            return reply

        assert ask(model="a").json() == [[[2, 4, 6]]]
        assert ask(model="b", version="7").json() == [[[10, 20, 30]]]
        assert ask(model="c").status_code == 404
        assert ask(model="b", version="8").status_code == 404
        make(root / "a/2/a.onnx", 3)
        seen = set()

        def swapped() -> bool:
            reply = ask(model="a")
            assert reply.status_code == 200, reply.text
            seen.add(reply.json()[0][0][0])
            return 3 in seen

        replica.wait_for(swapped)
        assert seen == {2, 3}
        assert ask(model="a", version="1").json() == [[[2, 4, 6]]]
        (root / "a/3").mkdir()
        (root / "a/3/a.onnx").write_bytes(b"not a model")

        def refused() -> bool:
            assert ask(model="a").json() == [[[3, 6, 9]]]
            return any("model a/3 cannot be loaded" in line["message"] for line in api.lines())

        replica.wait_for(refused)


def test_a_model_that_cannot_be_loaded_ends_the_replica(tmp_path: pathlib.Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project/model.onnx").write_bytes(b"not a model")
    with replica.running(
        tmp_path, SOURCE, predictor={"type": "PREDICTOR_TYPE_ONNX", "models": {"path": "model.onnx"}},
        config=replicas.settings("triton"), ready=False,
    ) as api:  # fmt: skip
        replica.wait_for(lambda: api.process.poll() is not None)
        assert api.process.returncode == 1 and api.state["failure"]["reason"] == "MODEL_FAILED"
