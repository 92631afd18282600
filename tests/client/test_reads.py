"""Commands that only look."""

import json
import pathlib

import grpc
import pytest
from ruamel import yaml

from cortex.apiserver.v1 import api_pb2, event_pb2
from cortex.autoscaler.v1 import autoscaler_service_pb2 as scaling_pb2
from cortex.monitor.v1 import monitor_service_pb2
from tests.client.conftest import Cortex
from tests.fakes.control_plane import ControlPlane, condition

NAME = "namespaces/default/apis/iris"


@pytest.fixture
def iris(plane: ControlPlane) -> api_pb2.Api:
    api = api_pb2.Api(name=NAME, uid="u", generation=3)
    api.status.observed_generation = 3
    api.status.serving_revision = api.status.target_revision = f"{NAME}/revisions/r3-abc"
    api.status.desired_replicas = api.status.ready_replicas = 2
    api.status.url = "http://127.0.0.1:1/iris"
    api.status.conditions.append(condition("Ready", True))
    api.status.replicas.add(id="iris-r3-x", revision=f"{NAME}/revisions/r3-abc", pid=99, restart_count=7)
    api.status.not_in_effect.append("predictor.image: no images")
    metrics = monitor_service_pb2.ApiMetrics(api=NAME)
    metrics.total.requests_2xx, metrics.total.requests_5xx, metrics.total.in_flight = 120, 3, 4
    metrics.total.latency.count, metrics.total.latency.p50, metrics.total.latency.p99 = 123, 0.0015, 0.25
    metrics.total.predictions.class_counts.update({"setosa": 90, "virginica": 30})
    plane.metrics[NAME] = metrics
    plane.put(api)
    return api


def test_the_table_of_apis(cortex: Cortex, iris: api_pb2.Api) -> None:
    header, row = cortex("get").out.splitlines()
    assert header.split() == [
        "NAME", "STATUS", "REPLICAS", "REVISION", "2XX", "4XX", "5XX", "P50", "P99", "IN-FLIGHT", "LAST", "UPDATE",
    ]  # fmt: skip
    assert row.split() == ["iris", "ready", "2/2", "r3-abc", "120", "0", "3", "1.5ms", "250ms", "4", "-"]


def test_one_api_shows_its_predictions(cortex: Cortex, iris: api_pb2.Api) -> None:
    out = cortex("get", "iris").out
    assert "url: http://127.0.0.1:1/iris" in out
    assert [line.split() for line in out.splitlines()[-2:]] == [["setosa", "90", "75.0%"], ["virginica", "30", "25.0%"]]


def test_a_regression_shows_its_distribution(cortex: Cortex, plane: ControlPlane, iris: api_pb2.Api) -> None:
    total = plane.metrics[NAME].total
    total.predictions.Clear()
    total.predictions.unreadable = 2
    values = total.prediction_values
    values.count, values.min, values.p50, values.mean, values.p99, values.max = 5, 1, 2, 2.5, 8.9, 9
    assert "5            1    2       2.5   8.9  9" in cortex("get", "iris").out


def test_status_does_not_depend_on_metrics(cortex: Cortex, plane: ControlPlane, iris: api_pb2.Api) -> None:
    for _ in range(8):
        plane.fail("ListApiMetrics", grpc.StatusCode.UNAVAILABLE, "monitor is down")
    result = cortex("get")
    assert result.code == 0
    assert result.out.splitlines()[1].split()[:5] == ["iris", "ready", "2/2", "r3-abc", "-"]
    assert "no metrics" in result.err


def test_every_page_is_read(cortex: Cortex, plane: ControlPlane, iris: api_pb2.Api) -> None:
    for name in ("a", "b"):
        plane.put(api_pb2.Api(name=f"namespaces/team/apis/{name}"))
    assert cortex("get", "-A", "-o", "name").out.split() == ["iris", "a", "b"]
    assert cortex("get", "-n", "team", "-o", "name").out.split() == ["a", "b"]


@pytest.mark.parametrize("command", [("get",), ("get", "iris"), ("describe", "iris"), ("history", "iris"), ("events",)])
def test_json_and_yaml_say_the_same(cortex: Cortex, iris: api_pb2.Api, command: tuple[str, ...]) -> None:
    as_json = json.loads(cortex(*command, "-o", "json").out)
    as_yaml = yaml.YAML(typ="safe", pure=True).load(cortex(*command, "-o", "yaml").out)
    assert as_json == as_yaml


def test_describe_tells_everything(cortex: Cortex, plane: ControlPlane, iris: api_pb2.Api) -> None:
    decision = scaling_pb2.Decision(
        api=NAME, current_replicas=1, desired_replicas=2, winning_term=scaling_pb2.DECISION_TERM_LOAD,
        explanation="1.6 in flight need 2 replicas",
    )  # fmt: skip
    decision.steps.add(term=scaling_pb2.DECISION_TERM_LOAD, replicas=2, detail="ceil(1.6 / 1)")
    plane.decisions[NAME] = decision
    plane.events.append(event_pb2.Event(name="namespaces/default/events/1", api=NAME, type="ScaledUp", message="to 2"))
    iris.spec.networking.request_timeout.seconds = 5
    iris.status.replicas[0].last_failure.message = "Killed"
    out = cortex("describe", "iris").out
    for words in (
        "iris-r3-x", "99", "7", "Killed", "1 -> 2 replicas by load: 1.6 in flight", "ceil(1.6 / 1)", "ScaledUp",
        "request                 5s", "activation from zero    2m (default)", "predictor.image: no images", "setosa",
    ):  # fmt: skip
        assert words in out, words


def test_describe_needs_only_the_apiserver(cortex: Cortex, plane: ControlPlane, iris: api_pb2.Api) -> None:
    for method in ("GetDecision", "ListEvents", "GetApiMetrics"):
        plane.fail(method, grpc.StatusCode.INTERNAL, f"{method} is broken")
    result = cortex("describe", "iris")
    assert result.code == 0
    for method in ("GetDecision", "ListEvents", "GetApiMetrics"):
        assert f"({method} is broken)" in result.out


def test_what_is_not_there_is_3(cortex: Cortex) -> None:
    for command in (("get", "nope"), ("describe", "nope"), ("history", "nope"), ("rollback", "nope")):
        result = cortex(*command)
        assert (result.code, result.out) == (3, "")
        assert "there is no API 'namespaces/default/apis/nope'" in result.err


def test_no_apis_is_said_on_stderr(cortex: Cortex) -> None:
    result = cortex("get")
    assert (result.code, result.out) == (0, "")
    assert "no APIs in namespaces/default" in result.err


def test_nobody_there_is_6(cortex: Cortex, plane: ControlPlane) -> None:
    plane.__exit__()
    result = cortex("get")
    assert result.code == 6
    assert "next: is it running? `cortex up` starts it" in result.err


def test_no_platform_is_6(cortex: Cortex, tmp_path: pathlib.Path) -> None:
    (tmp_path / "home" / "cluster.json").unlink()
    result = cortex("get")
    assert result.code == 6
    assert "start it with `cortex up`" in result.err


def test_events_come_oldest_first(cortex: Cortex, plane: ControlPlane) -> None:
    for number in (1, 2):
        plane.events.append(event_pb2.Event(name=f"namespaces/default/events/{number}", api=NAME, type=f"T{number}"))
    assert [line.split()[2] for line in cortex("events").out.splitlines()[1:]] == ["T1", "T2"]
