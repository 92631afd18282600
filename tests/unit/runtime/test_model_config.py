"""Configurations of models: read, completed, and what follows from them."""

import pathlib

import pytest

from runtime.inference import InferError, InferRequest, Tensor, TensorMetadata
from runtime.triton import checks, model_config, repository, wire
from runtime.triton.catalog import Catalog, Entry

TEXT = """
max_batch_size: 4
input { name: "x" data_type: TYPE_FP32 dims: [ 2 ] }
input { name: "o" data_type: TYPE_STRING dims: [ -1 ] optional: true }
output { name: "y" data_type: TYPE_INT64 dims: [ 1 ] }
instance_group [ { count: 3 kind: KIND_GPU gpus: [ 0 ] } ]
dynamic_batching { max_queue_delay_microseconds: 100 }
"""


def model(root: pathlib.Path, name: str, config: str, *versions: str, file: str = "model.onnx") -> pathlib.Path:
    for version in versions:
        (root / name / version).mkdir(parents=True)
        (root / name / version / file).touch()
    (root / name).mkdir(parents=True, exist_ok=True)
    if config:
        (root / name / "config.pbtxt").write_text(config)
    return root / name


def entry(root: pathlib.Path) -> Entry:
    source = repository.read(model(root, "m", TEXT, "1", "2"))
    return Catalog(10).make(source, model_config.complete(source.config, "m", root / "m/2"))


def test_a_repository_is_read_with_the_reason_for_what_is_no_model(tmp_path: pathlib.Path) -> None:
    model(tmp_path, "good", TEXT, "1")
    model(tmp_path, "empty", TEXT)
    model(tmp_path, "torn", "input [ {", "1")
    (tmp_path / ".git").mkdir()
    sources, broken = repository.scan(tmp_path)
    assert [source.name for source in sources] == ["good"]
    reasons = {each.name: each.reason for each in broken}
    assert "has no version" in reasons["empty"] and "config.pbtxt:1" in reasons["torn"]


def test_a_config_for_the_machine_goes_before_the_general_one(tmp_path: pathlib.Path) -> None:
    folder = model(tmp_path, "m", TEXT, "1")
    (folder / "configs").mkdir()
    (folder / "configs/gpu.pbtxt").write_text("max_batch_size: 99")
    assert repository.read(folder, "gpu").config["max_batch_size"] == 99
    assert repository.read(folder, "cpu").config["max_batch_size"] == 4


def test_gaps_are_filled_and_gpus_left_out_where_there_are_none(tmp_path: pathlib.Path) -> None:
    source = repository.read(model(tmp_path, "m", TEXT, "1"))
    cpu = model_config.complete(source.config, "m", source.versions[1])
    assert (cpu["name"], cpu["backend"], cpu["instance_group"]) == (
        "m",
        "onnxruntime",
        [{"count": 3, "kind": "KIND_CPU"}],
    )
    gpu = model_config.complete(source.config, "m", source.versions[1], gpus=1)
    assert gpu["instance_group"][0]["gpus"] == [0]
    with pytest.raises(model_config.Invalid, match="names another model"):
        model_config.complete({"name": "other"}, "m", source.versions[1])
    with pytest.raises(model_config.Invalid, match="no model file that is known"):
        model_config.complete({}, "m", tmp_path)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("max_batch_size: -1", "max_batch_size is -1"),
        ("input [ { data_type: TYPE_FP32 dims: [ 1 ] } ]", "input[0] has no name"),
        ('input [ { name: "a" dims: [ 1 ] } ]', "input 'a' has no data_type"),
        ('output [ { name: "b" data_type: TYPE_FP32 } ]', "output 'b' has no dims"),
        ('output [ { name: "b" data_type: TYPE_FP32 dims: [ 3, 0 ] } ]', "output 'b': dims[1] is 0"),
        ('input [ { name: "a" data_type: TYPE_FP32 dims: [ -2 ] } ]', "input 'a': dims[0] is -2"),
    ],
)
def test_what_triton_refuses_is_refused_with_its_place(wrong: str, told: str) -> None:
    model_config.check({"name": "m", **model_config.parse(TEXT, "config.pbtxt")})
    with pytest.raises(model_config.Invalid) as caught:
        model_config.check({"name": "m", **model_config.parse(wrong, "config.pbtxt")})
    assert str(caught.value).startswith(f"the config of m: {told}")


@pytest.mark.parametrize(
    ("config", "permits"),
    [
        ({"backend": "python"}, 1),
        ({"backend": "python", "instance_group": [{"count": 2}, {"count": 3}]}, 5),
        ({"backend": "python", "max_batch_size": 8}, 1),
        ({"backend": "python", "max_batch_size": 8, "dynamic_batching": {}, "instance_group": [{"count": 2}]}, 16),
        ({"backend": "python", "model_transaction_policy": {"decoupled": True}}, 64),
        ({"backend": "python", "parameters": {"CORTEX_CONCURRENCY": {"string_value": "7"}}}, 7),
    ],
)
def test_permits_are_what_the_model_runs_at_a_time(config: dict[str, object], permits: int) -> None:
    assert model_config.permits(config) == permits


@pytest.mark.parametrize(
    ("groups", "devices"),
    [
        ([], [("CPU", 0)]),
        ([{"count": 2}, {"kind": "KIND_CPU"}], [("CPU", 0)] * 3),
        ([{"kind": "KIND_GPU"}], [("GPU", 0)]),
        ([{"kind": "KIND_GPU", "count": 2, "gpus": [1, 3]}], [("GPU", 1), ("GPU", 1), ("GPU", 3), ("GPU", 3)]),
    ],
)
def test_where_instances_compute(groups: list[dict[str, object]], devices: list[tuple[str, int]]) -> None:
    config = {"backend": "python", "instance_group": groups}
    assert model_config.devices(config) == devices
    assert model_config.permits(config) == len(devices)


@pytest.mark.parametrize(
    ("policy", "served"),
    [
        ({}, (7,)),
        ({"all": {}}, (1, 3, 7)),
        ({"latest": {"num_versions": 2}}, (3, 7)),
        ({"specific": {"versions": [1, 9]}}, (1,)),
    ],
)
def test_which_versions_are_served(policy: dict[str, object], served: tuple[int, ...]) -> None:
    assert model_config.serving_versions({"version_policy": policy}, (1, 3, 7)) == served


def test_metadata_and_the_canary_follow_from_the_config(tmp_path: pathlib.Path) -> None:
    made = entry(tmp_path)
    assert made.describe().inputs == (TensorMetadata("x", "FP32", (-1, 2)), TensorMetadata("o", "BYTES", (-1, -1)))
    assert made.versions == (2,) and made.describe().platform == "onnxruntime_onnx"
    (zeros,) = checks.canary(made)  # what is optional is left out
    assert (zeros.name, list(zeros.shape), zeros.data) == ("x", [1, 2], bytes(8))
    checks.check(made, InferRequest("m", "", "", [zeros]))
    with pytest.raises(InferError, match="batch size"):
        checks.check(made, InferRequest("m", "", "", [Tensor("x", "FP32", [5, 2], bytes(40))]))


def test_a_model_that_canaries_mean_nothing_to_is_asked_less_often(tmp_path: pathlib.Path) -> None:
    made = entry(tmp_path)
    waits = []
    for _ in range(9):
        made.sang(error=True)
        waits.append(made.quiet)
        made.last_answer -= 2.0
        assert made.is_quiet == (made.quiet < 2.0)
    assert waits == sorted(waits) and waits[-1] == waits[-2] == 600 and "CORTEX_CANARY" in made.complaint
    made.wonder()  # a caller got no answer
    assert made.is_quiet
    made.sang(error=True)
    made.sang(error=False)
    made.last_answer -= 2.0
    assert made.is_quiet and made.complaint == ""


def test_callers_cannot_name_regions_or_steer_the_server() -> None:
    told: dict[str, bool | int | float | str] = {
        "shared_memory_region": "x",
        "timeout": 5,
        "triton_enable_empty_final_response": True,
        "mine": 2**40,
        "on": True,
    }
    made = wire.message(InferRequest("m", "", "", [], parameters=told), "")
    assert dict(made.parameters) == {"mine": made.parameters["mine"], "on": made.parameters["on"]}
    assert made.parameters["mine"].int64_param == 2**40 and made.parameters["on"].bool_param
    with pytest.raises(InferError):
        wire.message(InferRequest("m", "", "", [], parameters={"huge": 2**64}), "")
