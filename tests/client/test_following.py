"""Logs and events that go on after breaks, and watches."""

import itertools
import json
import time

import grpc
import pytest

from cortex.apiserver.v1 import event_pb2
from cortex.logstream.v1 import logstream_service_pb2
from cortex_client import Client
from tests.client.conftest import Cortex
from tests.fakes.control_plane import ControlPlane


def log(plane: ControlPlane, count: int) -> None:
    for number in range(count):
        entry = logstream_service_pb2.LogEntry(
            level="info", message=f"line {number}", replica="iris-r1-abcde", worker="w0"
        )
        entry.time.FromSeconds(1_700_000_000 + number)
        plane.logs.append(entry)


def test_a_broken_tail_goes_on_by_token(cortex: Cortex, plane: ControlPlane) -> None:
    log(plane, 5)
    plane.break_logs_after = 2
    result = cortex("logs", "iris")
    assert result.code == 0
    assert [line.split("line ")[1] for line in result.out.splitlines()] == ["0", "1", "2", "3", "4"]
    assert [request.resume_token for request in plane.called("TailLogs")] == ["", "2"]
    assert "3 lines of iris-r1-abcde were lost: the pipe was full" in result.err


def test_filters_reach_the_server(cortex: Cortex, plane: ControlPlane) -> None:
    cortex("logs", "iris", "--since", "5m", "--grep", "a.*b", "--replica", "x", "--replica", "y", "--revision", "r1",
           "--level", "warning", "--trace", "t", "-n", "team")  # fmt: skip
    (request,) = plane.called("TailLogs")
    assert request.api == "namespaces/team/apis/iris"
    assert request.since.seconds > 0
    assert (request.grep, list(request.replicas), request.revision_id) == ("a.*b", ["x", "y"], "r1")
    assert (request.min_level, request.trace_id, request.tail_lines, request.follow) == ("warning", "t", 0, False)


def test_the_newest_hundred_unless_told_otherwise(cortex: Cortex, plane: ControlPlane) -> None:
    cortex("logs", "iris")
    cortex("logs", "iris", "--tail", "7")
    cortex("logs", "iris", "--tail", "0")
    assert [request.tail_lines for request in plane.called("TailLogs")] == [100, 7, 0]


def test_no_lines_are_told_as_such(cortex: Cortex, plane: ControlPlane) -> None:
    none, filtered = cortex("logs", "iris"), cortex("logs", "iris", "--grep", "x")
    assert (none.code, none.out) == (0, "")
    assert none.err.splitlines()[-1] == "no lines of iris yet; `cortex logs iris -f` waits for them"
    assert filtered.err.splitlines()[-1] == "no lines of iris match"


def test_lines_as_json(cortex: Cortex, plane: ControlPlane) -> None:
    log(plane, 2)
    lines = [json.loads(line) for line in cortex("logs", "iris", "--json").out.splitlines()]
    assert [line["message"] for line in lines] == ["line 0", "line 1"]
    assert lines[0]["time"] == "2023-11-14T22:13:20Z"


def test_a_regular_expression_that_is_wrong_is_told(cortex: Cortex, plane: ControlPlane) -> None:
    plane.fail("TailLogs", grpc.StatusCode.INVALID_ARGUMENT, "grep does not parse", violations={"grep": "missing )"})
    result = cortex("logs", "iris", "--grep", "(")
    assert result.code == 1
    assert "grep: missing )" in result.err


@pytest.mark.usefixtures("plane")
def test_events_go_on_after_the_last_one_seen(plane: ControlPlane) -> None:
    for number in range(3):
        plane.events.append(event_pb2.Event(name=f"namespaces/default/events/{number}", type=f"T{number}"))
    with Client() as client:
        found = list(itertools.islice(client.follow_events("iris"), 3))
    assert [event.type for event in found] == ["T0", "T1", "T2"]
    assert [request.after for request in plane.called("WatchEvents")] == [
        "", "namespaces/default/events/0", "namespaces/default/events/1",
    ]  # fmt: skip


def test_a_watch_starts_with_the_state_and_goes_on_after_a_break(plane: ControlPlane) -> None:
    from cortex.apiserver.v1 import api_pb2, api_service_pb2

    plane.put(api_pb2.Api(name="namespaces/default/apis/a"))
    plane.fail("WatchApis", grpc.StatusCode.UNAVAILABLE)
    with Client() as client:
        messages = client.watch()
        assert next(messages).api.name.endswith("/a")
        assert next(messages).type == api_service_pb2.WATCH_EVENT_TYPE_SYNCED
        plane.put(api_pb2.Api(name="namespaces/default/apis/b"))
        assert next(messages).api.name.endswith("/b")
        with plane.lock:
            del plane.apis["namespaces/default/apis/a"]
        assert next(messages).type == api_service_pb2.WATCH_EVENT_TYPE_DELETED


@pytest.mark.parametrize("command", [("logs", "iris", "-f"), ("get", "-w")])
def test_nobody_there_is_told_soon_even_to_one_who_follows(
    cortex: Cortex, plane: ControlPlane, command: tuple[str, ...]
) -> None:
    plane.__exit__()
    began = time.monotonic()
    result = cortex(*command)
    assert result.code == 6
    assert result.err.count("next: is it running? `cortex up` starts it") == 1
    assert time.monotonic() - began < 5


def test_a_break_is_told_once(cortex: Cortex, plane: ControlPlane) -> None:
    log(plane, 5)
    plane.break_logs_after = 2
    assert cortex("logs", "iris").err.count("trying again") == 1


def test_more_events_than_a_page_holds(plane: ControlPlane) -> None:
    for number in range(2100):
        plane.events.append(event_pb2.Event(name=f"namespaces/default/events/{number}"))
    with Client() as client:
        assert [event.name.rpartition("/")[2] for event in client.events(limit=2050)] == [
            str(number) for number in range(2099, 49, -1)
        ]
        assert len(client.events(limit=5000)) == 2100
    assert [request.page_size for request in plane.called("ListEvents")] == [1000, 1000, 50, 1000, 1000, 1000]
