"""Admission, queue and recovery, with links that only remember."""

import asyncio
from typing import Any

import pytest

from runtime import dispatch, errors, metrics
from runtime.calls import Call, Stage
from runtime.link import Link
from runtime.shim import frames


class FakeLink:
    """A worker that never answers by itself."""

    def __init__(self, window: int = 1) -> None:
        self.calls: dict[int, Call | None] = {}
        self.permits: set[int] = set()
        self.ready: list[int] = []
        self.window = window
        self.threads = 1
        self.closed = self.leaving = self.finished = False
        self.abandoned: list[int] = []

    @property
    def load(self) -> int:
        return len(self.permits)

    def has_room(self, alone: bool) -> bool:
        return not self.closed and len(self.permits) < (self.window if alone else self.threads)

    def lose_all(self) -> dict[int, Call | None]:
        calls, self.calls = self.calls, {}
        self.permits.clear()
        return calls

    def send(self, call: Call) -> None:
        call.number = max(self.calls, default=0) + 1
        self.calls[call.number] = call
        self.permits.add(call.number)

    def abandon(self, number: int) -> None:
        self.calls[number] = None
        self.abandoned.append(number)

    def finish(self) -> None:
        self.finished = True

    def answer(self, dispatcher: dispatch.Dispatcher, number: int) -> None:
        call = self.calls.pop(number)
        self.permits.discard(number)
        if call is not None:
            dispatcher.answered(call, 200, [b"", b"", b""], b"")
        dispatcher.released(self)  # type: ignore[arg-type]  # stands for a Link


class Wire:
    def write(self, data: bytes) -> None: ...
    def is_closing(self) -> bool:
        return False


class Keeper:
    def on_loaded(self, offer: Any) -> None: ...
    def on_load_failed(self, reason: str, message: str) -> None: ...


class FakeCall(Call):
    def __init__(self) -> None:
        super().__init__(began=0.0)
        self.fields = [b""] * 6
        self.ends: list[int] = []
        self.failures: list[errors.Failure] = []

    def on_response(self, status: int, fields: Any, body: bytes) -> None:
        self.ends.append(status)

    def on_failure(self, failure: errors.Failure) -> None:
        self.ends.append(failure.status)
        self.failures.append(failure)


@pytest.fixture
async def dispatcher() -> dispatch.Dispatcher:
    return dispatch.Dispatcher(
        loop=asyncio.get_running_loop(), limit=3, request_timeout=0.0, metrics=metrics.Metrics(), spans=None
    )


def submit(dispatcher: dispatch.Dispatcher) -> FakeCall:
    call = FakeCall()
    dispatcher.submit(call)
    return call


def join(dispatcher: dispatch.Dispatcher, window: int = 1) -> FakeLink:
    link = FakeLink(window)
    dispatcher.joined(link, {"verbs": ["POST"]})  # type: ignore[arg-type]
    return link


async def test_nothing_is_taken_before_a_worker_is_ready(dispatcher: dispatch.Dispatcher) -> None:
    call = submit(dispatcher)
    assert (call.ends, dispatcher.in_flight) == ([503], 0)


async def test_the_least_loaded_worker_is_next_and_the_limit_holds(dispatcher: dispatch.Dispatcher) -> None:
    one, two = join(dispatcher), join(dispatcher)
    calls = [submit(dispatcher) for _ in range(4)]
    assert (len(one.calls), len(two.calls), dispatcher.queued) == (1, 1, 1)
    assert [call.ends for call in calls] == [[], [], [], [503]]
    two.answer(dispatcher, 1)
    assert (len(two.calls), dispatcher.queued, dispatcher.in_flight) == (1, 0, 2)


async def test_a_queued_caller_who_leaves_costs_no_worker(dispatcher: dispatch.Dispatcher) -> None:
    link = join(dispatcher)
    first = submit(dispatcher)
    waiting = submit(dispatcher)
    dispatcher.cancel(waiting)
    dispatcher.cancel(first)
    assert (dispatcher.queued, dispatcher.in_flight, link.abandoned) == (0, 0, [1])
    # The permit is still out: the worker has not said that it stopped.
    third = submit(dispatcher)
    assert third.stage is Stage.QUEUED
    link.answer(dispatcher, 1)
    assert third.stage.name == "RUNNING"
    assert dict(dispatcher.metrics.take(0.0, 0, 0).requests_by_status) == {499: 2}


async def test_a_dead_worker_fails_what_it_began_and_returns_the_rest_in_order(dispatcher: dispatch.Dispatcher) -> None:
    link = join(dispatcher, window=3)
    calls = [submit(dispatcher) for _ in range(3)]
    dispatcher.left(link, begun=1)  # type: ignore[arg-type]
    assert [call.ends for call in calls] == [[503], [], []]
    other = join(dispatcher, window=3)
    assert list(other.calls.values()) == [calls[1], calls[2]]


@pytest.mark.parametrize(("attempt", "marked"), [(0, True), (1, True), (2, True), (3, False)])
async def test_what_killed_worker_after_worker_is_not_repeated(
    dispatcher: dispatch.Dispatcher, attempt: int, marked: bool
) -> None:
    link, call = join(dispatcher), FakeCall()
    call.attempt = attempt
    dispatcher.submit(call)
    dispatcher.left(link, begun=1)  # type: ignore[arg-type]
    assert call.ends == [503]
    assert any(name == "x-cortex-retry" for name, _ in call.failures[0].headers) == marked


async def test_giving_up_ends_what_waits_for_a_worker(dispatcher: dispatch.Dispatcher) -> None:
    link = join(dispatcher)
    submit(dispatcher)
    waiting = submit(dispatcher)
    dispatcher.left(link, begun=1)  # type: ignore[arg-type]
    assert waiting.ends == []
    dispatcher.give_up()
    assert (waiting.ends, dispatcher.in_flight) == ([503], 0)


async def test_a_retiring_worker_answers_what_it_has_and_ends(dispatcher: dispatch.Dispatcher) -> None:
    old, new = join(dispatcher), join(dispatcher)
    calls = [submit(dispatcher) for _ in range(2)]
    waiting = submit(dispatcher)
    dispatcher.retire(old)  # type: ignore[arg-type]
    assert not old.finished
    old.answer(dispatcher, 1)
    assert (calls[0].ends, waiting.stage, old.finished) == ([200], Stage.QUEUED, True)
    new.answer(dispatcher, 1)
    assert list(new.calls.values()) == [waiting]


async def test_callers_wait_for_the_successor_of_the_only_worker(dispatcher: dispatch.Dispatcher) -> None:
    old = join(dispatcher)
    dispatcher.retire(old)  # type: ignore[arg-type]
    waiting = submit(dispatcher)
    assert (old.finished, waiting.ends, waiting.stage) == (True, [], Stage.QUEUED)
    assert list(join(dispatcher).calls.values()) == [waiting]


async def test_what_a_still_worker_has_not_begun_goes_to_others(dispatcher: dispatch.Dispatcher) -> None:
    still = join(dispatcher, window=3)
    calls = [submit(dispatcher) for _ in range(3)]
    other = join(dispatcher)
    dispatcher.suspend(still, begun=1)  # type: ignore[arg-type]
    assert list(other.calls.values()) == [calls[1]]
    assert list(still.calls.values()) == [calls[0], None, None]
    other.answer(dispatcher, 1)
    assert list(other.calls.values()) == [calls[2]]
    # It goes on: what it skips are permits that come back, and it is in the round again.
    for number in (1, 2, 3):
        still.answer(dispatcher, number)
    dispatcher.resume(still)  # type: ignore[arg-type]
    assert [call.ends for call in calls[:2]] == [[200], [200]]
    late = submit(dispatcher)
    assert list(still.calls.values()) == [late]


class Broken(FakeCall):
    """Whose door fails at whatever it is told."""

    def on_response(self, status: int, fields: Any, body: bytes) -> None:
        raise ZeroDivisionError

    def on_failure(self, failure: errors.Failure) -> None:
        super().on_failure(failure)
        raise LookupError


async def test_a_door_that_fails_takes_nobody_along(dispatcher: dispatch.Dispatcher) -> None:
    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: reported.append(type(told["exception"])))
    link = Link(2, dispatcher, Keeper())
    link.connection_made(Wire())
    dispatcher.joined(link, {"verbs": ["POST"]})
    broken, whole = Broken(), FakeCall()
    for call in (broken, whole):
        dispatcher.submit(call)
    head = frames.response_head(200, 0, 1, ["", "", ""])
    link.data_received(b"".join(frames.pack(frames.RESPONSE, call.number, head) for call in (broken, whole)))
    assert (broken.ends, whole.ends, dispatcher.in_flight) == ([500], [200], 0)
    assert reported == [ZeroDivisionError, LookupError]


async def test_a_door_that_fails_at_a_stream_ends_it(dispatcher: dispatch.Dispatcher) -> None:
    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: reported.append(type(told["exception"])))
    link = Link(2, dispatcher, Keeper())
    link.connection_made(Wire())
    link.attach_control(Wire())
    dispatcher.joined(link, {"verbs": ["POST"]})
    stream, whole = submit(dispatcher), submit(dispatcher)  # neither can take a stream
    head = frames.response_head(200, 0, 1, ["", "", ""])
    kinds = (frames.STREAM_HEAD, frames.STREAM_CHUNK, frames.STREAM_END, frames.RELEASE)
    said = [frames.pack(kind, stream.number, head if kind != frames.RELEASE else b"") for kind in kinds]
    link.data_received(b"".join([*said, frames.pack(frames.RESPONSE, whole.number, head)]))
    assert (stream.ends, whole.ends, dispatcher.in_flight, link.permits) == ([500], [200], 0, set())
    assert reported == [NotImplementedError]
