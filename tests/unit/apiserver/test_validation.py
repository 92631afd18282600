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
        ("predictor.python_version", ["", "3.11", "3.12.1"], ["2.7", "3", "3.11 "]),
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
    missing = found(path="src/app/predictor.py", pip="requirements.txt", python_path="sr")
    assert missing.keys() == {"predictor.dependencies.pip", "predictor.python_path"}


def test_what_is_left_out_follows_from_the_rest() -> None:
    wish = defaults.Wish(
        "REALTIME",
        "",
        {"path": "./a//b.py", "processes_per_replica": 3, "threads_per_process": 4},
        {"endpoint": "x/y/"},
        autoscaling={"min_replicas": 2},
    )
    spec = defaults.resolve(wish, namespace="team", api_id="iris", files={"requirements.txt"})
    assert (spec.predictor.path, spec.predictor.pip) == ("a/b.py", "requirements.txt")
    assert spec.networking.endpoint == "/x/y"
    assert (spec.autoscaling.init_replicas, spec.autoscaling.target_in_flight) == (2, 12.0)
    assert defaults.endpoint("team", "iris") == "/team/iris"
