"""An API made under the name of a removed one shows its own numbers."""

import grpc
import pytest

from cortex.apiserver.v1 import api_pb2
from cortex.monitor.v1 import monitor_service_pb2
from tests.client.conftest import Cortex
from tests.fakes.control_plane import ControlPlane

NAME = "namespaces/default/apis/iris"


@pytest.fixture(autouse=True)
def young(plane: ControlPlane) -> api_pb2.Api:
    """Younger than the window that its metrics are of."""
    api = api_pb2.Api(name=NAME, uid="u")
    api.create_time.seconds = 1000
    metrics = monitor_service_pb2.ApiMetrics(api=NAME)
    metrics.start_time.seconds = 900
    metrics.total.requests_2xx = metrics.total.requests_by_status[200] = 77
    plane.metrics[NAME] = metrics
    plane.put(api)
    return api


def asked(plane: ControlPlane) -> list[int]:
    return [request.since.seconds for method, request in plane.calls if method == "GetApiMetrics" and request.since]


@pytest.mark.parametrize("command", [("get",), ("get", "iris"), ("describe", "iris")])
def test_the_monitor_is_asked_from_its_creation_on(
    cortex: Cortex, plane: ControlPlane, command: tuple[str, ...]
) -> None:
    assert "77" in cortex(*command).out
    assert asked(plane)[-1] == 1000


def test_an_api_older_than_the_window_costs_no_second_call(
    cortex: Cortex, plane: ControlPlane, young: api_pb2.Api
) -> None:
    plane.metrics[NAME].start_time.seconds = 1001
    cortex("get")
    assert asked(plane) == []


def test_numbers_that_may_be_anothers_are_not_shown(cortex: Cortex, plane: ControlPlane) -> None:
    for _ in range(8):
        plane.fail("GetApiMetrics", grpc.StatusCode.UNAVAILABLE, "monitor is down")
    out = cortex("get").out
    assert "iris" in out and "77" not in out
