"""Every bound of a spec: its last good values and the first bad ones; and the defaults they rest on."""

import dataclasses
import math
from typing import Any

import pytest

from services.apiserver import defaults, validation
from services.apiserver import spec as specs

GOOD = defaults.resolve(
    defaults.Wish("REALTIME", "sha256:" + "a" * 64, {"path": "predictor.py"}, {}),
    namespace="default",
    api_id="iris",
    files={"predictor.py"},
)


def problems(section: str, **changes: Any) -> list[str]:
    part = dataclasses.replace(getattr(GOOD, section), **changes)
    return [violation.field for violation in validation.check(dataclasses.replace(GOOD, **{section: part}))]


def test_the_defaults_are_within_the_bounds() -> None:
    assert validation.check(GOOD) == []
    bare = specs.ApiSpec(specs.Predictor("predictor.py"), specs.Networking("/iris"), "sha256:" + "a" * 64)
    assert bare == GOOD


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("predictor.path", ["a/b.py"], ["", "a.txt", "/a.py", "../a.py", "a\\b.py"]),
        ("predictor.python_path", ["", "src"], ["/src", "a/../.."]),
        ("predictor.class_name", ["", "My_Class"], ["my class", "1a"]),
        ("predictor.processes_per_replica", [1, 100], [0, -1, 101]),
        ("predictor.threads_per_process", [1, 1024], [0, 1025]),
        ("predictor.log_level", ["debug", "error"], ["", "trace", "INFO"]),
        ("predictor.python_version", ["", "3.8", "3.11", "3.12.1"], ["2.7", "3", "3.11 ", "3.7", "3.6.15"]),
        ("compute.cpu_millis", [20, 64_000], [19, 0]),
        ("compute.memory_bytes", [0, 20 * 2**20], [1, 20 * 2**20 - 1, -1]),
        ("compute.gpus", [0, 8], [-1]),
        (
            "networking.endpoint",
            ["/", "/a", "/a/b-c_d.e~f", "/" + "a" * 999],
            ["a", "", "//", "/a/", "/a b", "/a/..", "/ä", "/" + "a" * 1000],
        ),
        ("networking.request_timeout", [0.0, 86_400.0], [-1.0, 86_400.5, math.nan]),
        ("networking.max_request_bytes", [1, 2**31], [0, 2**31 + 1]),
        ("networking.activation_timeout", [0.0, 86_400.0], [-0.1, 86_401.0]),
        ("autoscaling.max_replica_concurrency", [1, 30_000], [0, 30_001]),
        ("autoscaling.target_in_flight", [0.1, 1024.0], [0.0, -1.0, 1024.5, math.nan, math.inf]),
        ("autoscaling.window", [1.0, 86_400.0], [0.9, 86_401.0]),
        ("autoscaling.downscale_stabilization_period", [0.0], [-1.0, 86_401.0]),
        ("autoscaling.upscale_stabilization_period", [0.0], [-1.0, 86_401.0]),
        ("autoscaling.max_downscale_factor", [0.0, 0.99], [1.0, -0.1, math.nan]),
        ("autoscaling.max_upscale_factor", [1.01], [1.0, math.inf]),
        ("autoscaling.downscale_tolerance", [0.0, 0.99], [1.0, -0.1]),
        ("autoscaling.upscale_tolerance", [0.0, 5.0], [-0.1, math.nan]),
        ("update_strategy.max_surge", ["0", "1", "0%", "100%"], ["", "-1", "101%", "x", "1.5"]),
        ("update_strategy.max_unavailable", ["0", "3"], ["%", "1 %"]),
        ("update_strategy.progress_deadline", [1.0], [0.0]),
        ("update_strategy.drain_timeout", [0.0], [-1.0]),
    ],
)
def test_bounds(field: str, good: list[Any], bad: list[Any]) -> None:
    section, name = field.split(".")
    shown = {"compute.cpu_millis": "compute.cpu", "compute.memory_bytes": "compute.mem", "compute.gpus": "compute.gpu"}
    for value in good:
        assert problems(section, **{name: value}) == [], value
    for value in bad:
        assert set(problems(section, **{name: value})) == {shown.get(field, field)}, value


def test_fields_that_bound_each_other() -> None:
    assert problems("autoscaling", min_replicas=-1, init_replicas=0) == ["autoscaling.min_replicas"]
    assert problems("autoscaling", min_replicas=0, init_replicas=0) == []
    assert problems("autoscaling", min_replicas=5, init_replicas=5, max_replicas=4) == ["autoscaling.max_replicas"]
    assert problems("autoscaling", min_replicas=2, init_replicas=1) == ["autoscaling.init_replicas"]
    assert problems("autoscaling", init_replicas=101) == ["autoscaling.init_replicas"]
    assert problems("compute", gpus=1, neuron_devices=1) == ["compute.inf"]
    both = problems("update_strategy", max_surge="0%", max_unavailable="0")
    assert both == ["update_strategy.max_unavailable"]
    assert problems("update_strategy", max_surge="0", max_unavailable="1") == []


BATCHING = specs.ServerSideBatching(8, 0.1)


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("server_side_batching.max_batch_size", [2, 1024], [0, 1, 1025]),
        ("server_side_batching.batch_interval", [0.001, 3600.0], [0.0, -1.0, 86_401.0, math.nan]),
        ("worker.start", ["SPAWN", "FORK_LOADED"], ["", "9"]),
        ("worker.on_cancel", ["WAIT", "KILL"], ["", "9"]),
        ("worker.preload", [(), ("torch", "a.b_c")], [("a b",), ("",), ("1a",), ("a.",), ("a",) * 65]),
        ("worker.memory", [0, 20 * 2**20], [-1, 1, 2**51]),
        ("worker.hang_timeout", [0.0, 1.0, 60.0], [-1.0, 0.5, 86_401.0]),
        ("worker.max_requests", [0, 1], [-1]),
        ("worker.cancel_grace", [0.0, 5.0], [-1.0, 86_401.0]),
    ],
)
def test_bounds_of_batching_and_workers(field: str, good: list[Any], bad: list[Any]) -> None:
    section, name = field.split(".")
    part = BATCHING if section == "server_side_batching" else specs.WorkerPolicy()
    key = {"memory": "memory_bytes"}.get(name, name)
    for value in good:
        assert problems("predictor", **{section: dataclasses.replace(part, **{key: value})}) == [], value
    for value in bad:
        found = problems("predictor", **{section: dataclasses.replace(part, **{key: value})})
        assert found == [f"predictor.{field}"], value


def test_bounds_of_tensors_and_tasks() -> None:
    good = specs.Tensor("x", "FP32", (-1, 4))
    assert problems("predictor", inputs=(good,), outputs=(good,), task="EMBEDDING") == []
    assert problems("predictor", task="7") == ["predictor.task"]
    wrongs: list[tuple[str, Any]] = [
        ("name", ""),
        ("datatype", "float"),
        ("shape", (0,)),
        ("shape", (1,) * 17),
        ("name", "n" * 257),
    ]
    for wrong, value in wrongs:
        changes: dict[str, Any] = {"name": "y", wrong: value}
        found = problems("predictor", outputs=(good, dataclasses.replace(good, **changes)))
        assert found == [f"predictor.outputs[1].{wrong}"]
    assert problems("predictor", inputs=(good, good)) == ["predictor.inputs[1].name"]


@pytest.mark.parametrize(
    ("models", "fields"),
    [
        ({"path": "s3://b/m"}, []),
        ({"path": "file:///m"}, []),
        ({"path": "/srv/m"}, []),
        ({"dir": "models", "signature_key": "s", "memory_budget": 2**30, "poll_interval": 0}, []),
        ({"paths": [{"name": "a", "path": "m"}, {"name": "b", "model_path": "n"}]}, []),
        ({"path": "m", "cache_size": 2, "disk_cache_size": 2, "poll_interval": 1.5}, []),
        ({"path": "m", "dir": "n"}, [""]),
        ({"signature_key": "s"}, [""]),
        ({"path": "gs://b/m"}, [".path"]),
        ({"path": "s3://"}, [".path"]),
        ({"path": ""}, [".path"]),
        ({"dir": "../m"}, [".dir"]),
        ({"paths": []}, [".paths"]),
        ({"paths": [{"name": "a", "path": "m"}, {"name": "a", "path": "n"}]}, [".paths[1].name"]),
        ({"paths": [{"path": "m"}, {"name": "b"}, 3]}, [".paths[0].name", ".paths[2]", ".paths[1].path"]),
        ({"paths": [{"name": "../../x", "path": "m"}]}, [".paths[0].name"]),
        ({"paths": [{"name": "a" * 201, "path": "m"}]}, [".paths[0].name"]),
        ({"path": "m", "cache_size": 1}, [""]),
        ({"path": "m", "disk_cache_size": 1}, [""]),
        ({"path": "m", "cache_size": 3, "disk_cache_size": 2}, [".disk_cache_size"]),
        ({"path": "m", "cache_size": 0, "disk_cache_size": True}, [".cache_size", ".disk_cache_size"]),
        ({"path": "m", "memory_budget": 1, "disk_budget": "1Gi"}, [".memory_budget", ".disk_budget"]),
        ({"path": "m", "poll_interval": 0.5}, [".poll_interval"]),
        ({"path": "m", "unheard": 1, "signature_key": 1}, [".unheard", ".signature_key"]),
    ],
)
def test_models(models: dict[str, Any], fields: list[str]) -> None:
    assert problems("predictor", models=models) == [f"predictor.models{field}" for field in fields]


def test_rules_over_several_fields_of_the_predictor() -> None:
    batched = problems("predictor", protobuf_path="a.proto", server_side_batching=BATCHING)
    assert batched == ["predictor.server_side_batching"]
    counted = {"path": "m", "cache_size": 1, "disk_cache_size": 1}
    assert problems("predictor", models=counted, processes_per_replica=2) == ["predictor.models.cache_size"]
    assert problems("predictor", type="ONNX") == problems("predictor", type="TENSORFLOW") == ["predictor.models"]
    assert problems("predictor", type="TRITON", path="", models={"dir": "m"}) == []
    assert problems("predictor", type="TRITON", models={"path": "m"}) == ["predictor.path", "predictor.models"]
    assert problems("predictor", protobuf_path="a.txt") == ["predictor.protobuf_path"]
    greedy = dataclasses.replace(GOOD.predictor, worker=specs.WorkerPolicy(memory_bytes=2**30))
    spec = dataclasses.replace(GOOD, predictor=greedy, compute=specs.Compute(memory_bytes=2**30))
    assert [violation.field for violation in validation.check(spec)] == ["predictor.worker.memory"]


def test_environments_and_configs() -> None:
    assert problems("predictor", env={"A_1": "x", "MY_CORTEX_HOME": "y"}) == []
    for name in ("CORTEX_A", "cortex_a", "1A", "A-B", ""):
        assert problems("predictor", env={name: "x"})[0].startswith("predictor.env."), name
    assert problems("predictor", env={"A": "\0"}) == ["predictor.env.A"]
    assert problems("predictor", env={"A": "x" * 200_000}) == ["predictor.env"]
    assert problems("predictor", config={"x": math.nan}) == ["predictor.config"]
    assert problems("predictor", config={"x": "y" * 2**20}) == ["predictor.config"]


def test_the_rest() -> None:
    def fields(**changes: Any) -> list[str]:
        return [violation.field for violation in validation.check(dataclasses.replace(GOOD, **changes))]

    for digest in ("", "a" * 64, "sha256:", "sha256:" + "A" * 64, "md5:" + "a" * 64):
        assert fields(bundle_digest=digest) == ["bundle_digest"]
    assert fields(source="x" * 65_537) == ["source"]
    assert fields(not_in_effect=("x" * 2000,)) == ["not_in_effect"]
    assert fields(monitoring=specs.Monitoring(None)) == ["monitoring.model_type"]  # type: ignore[arg-type]


def test_labels() -> None:
    assert validation.check_labels({"team": "a", "example.com/x": ""}) == []
    for labels in ({"cortex.dev/x": "1"}, {"": "1"}, {"a": "x" * 1025}, {str(i): "" for i in range(65)}):
        assert len(validation.check_labels(labels)) == 1, labels


def test_files_must_be_in_the_bundle() -> None:
    files = {"src/app/predictor.py", "reqs.txt", "Predictor.py"}

    def found(**predictor: Any) -> dict[str, str]:
        spec = dataclasses.replace(GOOD, predictor=specs.Predictor(**predictor))
        return {violation.field: violation.description for violation in validation.check_files(spec, files)}

    assert found(path="src/app/predictor.py", pip="reqs.txt", python_path="src") == {}
    assert found(path="predictor.py") == {
        "predictor.path": "'predictor.py' is not in the bundle; it holds 'Predictor.py'"
    }
    missing = found(
        path="src/app/predictor.py",
        pip="requirements.txt",
        conda="c.txt",
        shell="d.sh",
        protobuf_path="a.proto",
        python_path="sr",
        models={
            "paths": [{"name": "a", "path": "src/"}, {"name": "b", "path": "m"}, {"name": "c", "path": "s3://b/m"}]
        },
    )
    assert missing.keys() == {
        "predictor.dependencies.pip",
        "predictor.dependencies.conda",
        "predictor.dependencies.shell",
        "predictor.protobuf_path",
        "predictor.python_path",
        "predictor.models.paths[1].path",
    }


def test_what_is_left_out_follows_from_the_rest() -> None:
    wish = defaults.Wish(
        "REALTIME",
        "",
        {"path": "./a//b.py", "processes_per_replica": 3, "threads_per_process": 4},
        {"endpoint": "x/y/"},
        autoscaling={"min_replicas": 2},
    )
    files = {"requirements.txt", "conda-packages.txt", "dependencies.sh"}
    spec = defaults.resolve(wish, namespace="team", api_id="iris", files=files)
    assert (spec.predictor.path, spec.predictor.pip) == ("a/b.py", "requirements.txt")
    assert (spec.predictor.conda, spec.predictor.shell) == ("conda-packages.txt", "dependencies.sh")
    assert spec.networking.endpoint == "/x/y"
    assert (spec.autoscaling.init_replicas, spec.autoscaling.target_in_flight) == (2, 12.0)
    wish = dataclasses.replace(wish, predictor={**wish.predictor, "server_side_batching": BATCHING}, autoscaling={})
    batched = defaults.resolve(wish, namespace="team", api_id="iris", files=files)
    assert batched.autoscaling.target_in_flight == 3 * 8, "a batch is work that one process does at a time"
    assert defaults.endpoint("team", "iris") == "/team/iris"
