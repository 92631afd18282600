"""Admission, queue and recovery, with links that only remember."""

import asyncio
from typing import Any

import pytest

from runtime import dispatch, errors, metrics
from runtime.calls import Call, Stage


class FakeLink:
    """A worker that never answers by itself."""

    def __init__(self, window: int = 1) -> None:
        self.calls: dict[int, Call | None] = {}
        self.window = window
        self.threads = 1
        self.abandoned: list[int] = []

    def send(self, call: Call) -> None:
        call.number = max(self.calls, default=0) + 1
        self.calls[call.number] = call

    def abandon(self, number: int) -> None:
        self.calls[number] = None
        self.abandoned.append(number)

    def answer(self, dispatcher: dispatch.Dispatcher, number: int) -> None:
        call = self.calls.pop(number)
        if call is not None:
            dispatcher.answered(call, 200, [b"", b"", b""], b"")
        dispatcher.released(self)  # type: ignore[arg-type]  # stands for a Link


class Sink:
    def __init__(self) -> None:
        self.ends: list[int] = []

    def on_response(self, status: int, fields: Any, body: bytes) -> None:
        self.ends.append(status)

    def on_failure(self, failure: errors.Failure) -> None:
        self.ends.append(failure.status)

    def on_stream_head(self, status: int, fields: Any) -> None: ...
    def on_stream_chunk(self, data: bytes) -> None: ...
    def on_stream_end(self, *, broken: bool) -> None: ...


@pytest.fixture
async def dispatcher() -> dispatch.Dispatcher:
    return dispatch.Dispatcher(
        loop=asyncio.get_running_loop(), limit=3, request_timeout=0.0, metrics=metrics.Metrics(), spans=None
    )


def submit(dispatcher: dispatch.Dispatcher) -> tuple[Call, Sink]:
    sink = Sink()
    call = Call(fields=[b""] * 6, body=b"", request_id="", began=0.0, deadline=0.0, sink=sink)
    dispatcher.submit(call)
    return call, sink


def join(dispatcher: dispatch.Dispatcher, window: int = 1) -> FakeLink:
    link = FakeLink(window)
    dispatcher.joined(link, {"verbs": ["POST"]})  # type: ignore[arg-type]
    return link


async def test_nothing_is_taken_before_a_worker_is_ready(dispatcher: dispatch.Dispatcher) -> None:
    _, sink = submit(dispatcher)
    assert (sink.ends, dispatcher.in_flight) == ([503], 0)


async def test_the_least_loaded_worker_is_next_and_the_limit_holds(dispatcher: dispatch.Dispatcher) -> None:
    one, two = join(dispatcher), join(dispatcher)
    sinks = [submit(dispatcher)[1] for _ in range(4)]
    assert (len(one.calls), len(two.calls), dispatcher.queued) == (1, 1, 1)
    assert [sink.ends for sink in sinks] == [[], [], [], [503]]
    two.answer(dispatcher, 1)
    assert (len(two.calls), dispatcher.queued, dispatcher.in_flight) == (1, 0, 2)


async def test_a_queued_caller_who_leaves_costs_no_worker(dispatcher: dispatch.Dispatcher) -> None:
    link = join(dispatcher)
    first, _ = submit(dispatcher)
    waiting, _ = submit(dispatcher)
    dispatcher.cancel(waiting)
    dispatcher.cancel(first)
    assert (dispatcher.queued, dispatcher.in_flight, link.abandoned) == (0, 0, [1])
    # The permit is still out: the worker has not said that it stopped.
    third, _ = submit(dispatcher)
    assert third.stage is Stage.QUEUED
    link.answer(dispatcher, 1)
    assert third.stage.name == "RUNNING"
    assert dispatcher.metrics.requests == {499: 2}


async def test_a_dead_worker_fails_what_it_began_and_returns_the_rest_in_order(dispatcher: dispatch.Dispatcher) -> None:
    link = join(dispatcher, window=3)
    calls = [submit(dispatcher) for _ in range(3)]
    dispatcher.left(link, begun=1)  # type: ignore[arg-type]
    assert [sink.ends for _, sink in calls] == [[503], [], []]
    other = join(dispatcher, window=3)
    assert list(other.calls.values()) == [calls[1][0], calls[2][0]]


async def test_giving_up_ends_what_waits_for_a_worker(dispatcher: dispatch.Dispatcher) -> None:
    link = join(dispatcher)
    submit(dispatcher)
    _, waiting = submit(dispatcher)
    dispatcher.left(link, begun=1)  # type: ignore[arg-type]
    assert waiting.ends == []
    dispatcher.give_up()
    assert (waiting.ends, dispatcher.in_flight) == ([503], 0)
