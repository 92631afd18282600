"""`type: triton` as its callers see it, on a real Triton and on the embedded engine."""

import pathlib
import shutil

import httpx
import pytest

from tests.conformance import oip_model
from tests.runtime import replica
from tests.triton import replicas, stand

SELF_TOLD = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    @staticmethod
    def auto_complete_config(auto_complete_model_config):
        told = auto_complete_model_config.as_dict()
        if "x" not in [each["name"] for each in told["input"]]:
            auto_complete_model_config.add_input({"name": "x", "data_type": "TYPE_FP32", "dims": [2]})
        if "y" not in [each["name"] for each in told["output"]]:
            auto_complete_model_config.add_output({"name": "y", "data_type": "TYPE_FP32", "dims": [2]})
        auto_complete_model_config.set_max_batch_size(4)
        auto_complete_model_config.set_dynamic_batching()
        return auto_complete_model_config

    def execute(self, requests):
        arrays = [pb_utils.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", array * 2)]) for array in arrays]
"""


@pytest.mark.parametrize("engine", replicas.ENGINES)
def test_a_model_repository_is_an_api(engine: str, tmp_path: pathlib.Path) -> None:
    token = {"adminTokenFile": str(oip_model.token_file(tmp_path))}
    admin = {"authorization": f"Bearer {oip_model.TOKEN}"}
    with replicas.serving(tmp_path, engine, ["double", "echo_text", "count"], config=token) as api:
        ask = {
            "inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2.5]}],
            "outputs": [{"name": "y"}],
        }
        reply = api.client.post("/v2/models/double/infer", json=ask)
        assert reply.status_code == 200, reply.text
        assert reply.json()["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [2, 5]}]
        del ask["outputs"]
        for wanted in (["pid", "y"], ["y", "pid"], []):
            more = {"outputs": [{"name": name} for name in wanted]} if wanted else {}
            told = api.client.post("/v2/models/double/infer", json={**ask, **more}).json()["outputs"]
            assert [output["name"] for output in told] == (wanted or ["y", "pid"])  # as asked, else as configured
        assert api.client.get("/v2/health/ready").status_code == 200
        assert api.client.get("/v2/models/double").json()["platform"] == "python"
        assert api.client.get("/v2/models/nope").status_code == 404
        stats = api.client.get("/v2/models/double/stats").json()["model_stats"][0]
        assert stats["version"] == "1" and stats["inference_count"] >= 4 and stats["last_inference"] > 0
        assert stats["inference_stats"]["success"]["count"] >= 4 and stats["inference_stats"]["fail"]["count"] == 0
        names = {entry["name"] for entry in api.client.post("/v2/repository/index", headers=admin).json()}
        assert names == {"double", "echo_text", "count"}
        assert api.client.post("/v2/repository/index").status_code == 403
        assert api.client.post("/v2/repository/models/double/unload").status_code == 403

        root = api.client.post("/", json={})
        assert root.status_code == 404 and "/v2/models/" in root.json()["error"]
        info = api.client.get("/info").json()
        assert info["predictor"]["type"] == "triton"
        assert info["engine"].startswith(engine)
        assert ("engine_reason" in info) == (engine == "embedded")
        if engine == "embedded":
            assert "CORTEX_TRITON=off" in api.wait_line("the embedded engine runs the models")["message"]
        assert {process.get("model") for process in api.state["workers"]} >= {"double", "echo_text"}


@pytest.mark.parametrize("engine", replicas.ENGINES)
def test_a_python_model_may_tell_its_own_configuration(engine: str, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "project/models/told/1"
    folder.mkdir(parents=True)
    folder.joinpath("model.py").write_text(SELF_TOLD)
    with replicas.serving(tmp_path, engine, []) as api:
        ask = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2.5]}]}
        reply = api.client.post("/v2/models/told/infer", json=ask)
        assert reply.status_code == 200, reply.text
        assert reply.json()["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [2, 5]}]
        assert api.client.get("/v2/models/told").json()["inputs"][0]["shape"] == [-1, 2]


@pytest.mark.parametrize("engine", replicas.ENGINES)
def test_what_lies_beside_the_versions_of_a_model_is_there(engine: str, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "project/models/told"
    (folder / "1").mkdir(parents=True)
    factor = 'float(open(args["model_repository"] + "/extra/factor.txt").read())'
    initialize = f"    def initialize(self, args):\n        self.factor = {factor}\n\n"
    code = SELF_TOLD.replace("    def execute", initialize + "    def execute")
    (folder / "1/model.py").write_text(code.replace("array * 2", "array * array.dtype.type(self.factor)"))
    (folder / "extra").mkdir()
    (folder / "extra/factor.txt").write_text("3")
    (folder / "names.txt").write_text("one\ntwo\n")
    (folder / "config.pbtxt").write_text(
        'backend: "python"\nmax_batch_size: 4\n'
        'input [ { name: "x" data_type: TYPE_FP32 dims: [ 2 ] } ]\n'
        'output [ { name: "y" data_type: TYPE_FP32 dims: [ 2 ] label_filename: "names.txt" } ]\n'
    )
    with replicas.serving(tmp_path, engine, []) as api:
        ask = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2.5]}]}
        reply = api.client.post("/v2/models/told/infer", json=ask)
        assert reply.status_code == 200, reply.text
        assert reply.json()["outputs"][0]["data"] == [3, 7.5]


@pytest.mark.parametrize("engine", replicas.ENGINES)
def test_a_model_that_fails_at_empty_strings_serves_and_the_log_says_so(engine: str, tmp_path: pathlib.Path) -> None:
    with replicas.serving(tmp_path, engine, ["reader"]) as api:
        api.wait_line("model reader answers a canary (zeros and empty strings) with an error")
        ask = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["[7]"]}]}
        assert api.client.post("/v2/models/reader/infer", json=ask).json()["outputs"][0]["data"] == [7]


@pytest.mark.parametrize("engine", replicas.ENGINES)
def test_a_sequence_stays_with_the_instance_that_has_its_state(engine: str, tmp_path: pathlib.Path) -> None:
    with replicas.serving(tmp_path, engine, ["sums"]) as api:

        def ask(value: int, **told: int | bool) -> httpx.Response:
            x = {"name": "x", "shape": [1, 1], "datatype": "INT32", "data": [value]}
            return api.client.post("/v2/models/sums/infer", json={"inputs": [x], "parameters": told})

        sums = []
        for step in range(4):
            for key in (11, 12, 13):
                reply = ask(step + key, sequence_id=key, sequence_start=step == 0, sequence_end=step == 3)
                assert reply.status_code == 200, reply.text
                sums.append(reply.json()["outputs"][0]["data"][0])
        assert sums[-3:] == [4 * key + 6 + key for key in (11, 12, 13)]
        assert "correlation ID" in ask(1).json()["error"] and ask(1).status_code == 400
        late = ask(1, sequence_id=11)
        assert late.status_code == 400 and "START" in late.json()["error"]
        assert {told["name"] for told in api.client.get("/v2/models/sums").json()["inputs"]} == {"x"}


def test_a_repository_that_cannot_be_loaded_ends_the_replica_and_says_why(tmp_path: pathlib.Path) -> None:
    with replicas.serving(tmp_path, "triton", ["double", "broken"], ready=False) as api:
        replica.wait_for(lambda: api.process.poll() is not None)
        failure = api.state["failure"]
        assert api.process.returncode == 1 and failure["reason"] == "MODEL_FAILED"
        assert "broken" in failure["message"] and "no such weights" in failure["message"]


@pytest.mark.parametrize("engine", replicas.ENGINES)
def test_what_python_writes_beside_a_model_is_no_new_model(engine: str, tmp_path: pathlib.Path) -> None:
    live = tmp_path / "live"
    shutil.copytree(stand.REPOSITORY / "double", live / "double", ignore=shutil.ignore_patterns("__pycache__"))
    with replicas.serving(tmp_path, engine, [], predictor={"models": {"dir": str(live), "poll_interval": "1s"}}) as api:
        assert (live / "double/1/__pycache__").is_dir()
        shutil.copytree(stand.REPOSITORY / "quiet", live / "quiet", ignore=shutil.ignore_patterns("__pycache__"))
        api.wait_line("model quiet was loaded")  # so the folder has been looked at since
        assert not [line for line in api.lines() if "has changed" in line["message"]]
