"""Traces begin at the client: every call carries one, and the user learns which."""

import pathlib
import re

import pytest

from cortex_client import Client, exceptions
from tests.client.conftest import Cortex
from tests.fakes.control_plane import ControlPlane

PARENT = re.compile(r"00-(?P<trace>[0-9a-f]{32})-[0-9a-f]{16}-00")
MINE = "00-11111111111111111111111111111111-2222222222222222-01"


def sent(plane: ControlPlane) -> list[str]:
    """The trace ids of the calls so far."""
    return [PARENT.fullmatch(metadata["traceparent"])["trace"] for metadata in plane.metadata]  # type: ignore[index]


def test_a_deploy_is_one_trace(plane: ControlPlane, project: pathlib.Path) -> None:
    with Client() as client:
        client.deploy("cortex.yaml")
        made = sent(plane)
        client.get("iris")
        client.get("iris")
    assert len(made) >= 3
    assert len(set(made)) == 1
    assert len(set(sent(plane))) == 3


def test_streams_and_uploads_carry_one_too(plane: ControlPlane, project: pathlib.Path, cortex: Cortex) -> None:
    cortex("deploy")
    cortex("logs", "iris")
    assert len(sent(plane)) == len(plane.calls)
    assert len(set(sent(plane))) == 2, "one command is one trace"
    assert {"UploadBundle", "WatchApis", "TailLogs"} <= {name for name, _ in plane.calls}


def test_predictions_over_http(http_door: str, plane: ControlPlane, project: pathlib.Path, cortex: Cortex) -> None:
    cortex("deploy")
    with Client() as client:
        reply = client.predict("iris", 1)
        assert PARENT.fullmatch(reply.headers["traceparent"])["trace"] == reply.trace_id  # type: ignore[index]
        mine = client.predict("iris", 1, headers={"Traceparent": MINE, "tracestate": "a=b"})
        assert (mine.headers["traceparent"], mine.headers["tracestate"], mine.trace_id) == (MINE, "a=b", "1" * 32)
        with pytest.raises(exceptions.PredictionFailed) as caught:
            client.predict("iris", "fail")
    assert re.fullmatch(r"[0-9a-f]{32}", caught.value.trace_id)


def test_predictions_over_grpc(plane: ControlPlane, project: pathlib.Path, cortex: Cortex) -> None:
    plane.data_url = f"http://{plane.address}"
    cortex("deploy")
    with Client() as client:
        client.predict_grpc("iris", 1)
        list(client.predict_stream("iris", [1]))
    assert len(set(sent(plane)[-2:])) == 2


@pytest.mark.parametrize("way", [(), ("--grpc",), ("--stream",)])
def test_verbose_tells_the_trace(
    plane: ControlPlane, project: pathlib.Path, cortex: Cortex, http_door: str, way: tuple[str, ...]
) -> None:
    plane.data_url = f"http://{plane.address}" if way else http_door
    cortex("deploy")
    (project / "list.json").write_text("[1]")
    plane.metadata.clear()
    result = cortex("predict", "iris", "list.json", "-v", *way)
    assert result.code == 0
    (trace,) = set(sent(plane))
    assert result.err == f"trace id: {trace}\nits lines: `cortex logs iris --trace {trace}`\n"


def test_an_error_tells_the_trace(http_door: str, project: pathlib.Path, cortex: Cortex) -> None:
    cortex("deploy")
    (project / "bad.json").write_text('"fail"')
    assert re.search(r"trace id: [0-9a-f]{32}\n", cortex("predict", "iris", "bad.json").err)
