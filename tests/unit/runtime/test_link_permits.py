"""Who holds a permit: what a worker says, what the front says, and the two crossing on their ways."""

import asyncio
from typing import Any

import pytest

from runtime import calls, link
from runtime.shim import frames


class Wire:
    def __init__(self) -> None:
        self._decoder = frames.Decoder()
        self.frames: list[tuple[int, int, int]] = []  # kind, number, and what a head of four bytes says

    def write(self, data: bytes) -> None:
        for kind, number, head, _ in self._decoder.feed(data):
            self.frames.append((kind, number, frames.CREDIT_HEAD.unpack(head)[0] if len(head) == 4 else 0))

    def is_closing(self) -> bool:
        return False


class Front:
    """Gives every permit that is free to who waits in the worker for one, as the dispatcher does."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def released(self, freed: link.Link) -> None:
        while freed.ready and len(freed.permits) < freed.threads:
            freed.go()

    def answered(self, call: calls.Call, status: int, fields: list[bytes], body: bytes) -> None:
        self.heard.append(body)

    def broke(self, call: calls.Call, problem: Exception) -> None: ...
    def stream_began(self, call: calls.Call, status: int, fields: list[bytes]) -> None: ...
    def stream_ended(self, call: calls.Call, *, broken: bool) -> None:
        self.heard.append("broken" if broken else "ended")

    def batch_ended(self, size: int, micros: int) -> None:
        self.heard.append((size, micros))

    def on_loaded(self, offer: Any) -> None: ...
    def on_load_failed(self, reason: str, message: str) -> None: ...


class Stream(calls.Call):
    def on_stream_chunk(self, data: bytes) -> None: ...


class Bench:
    """A link between two wires."""

    def __init__(self) -> None:
        self.front = Front()
        self.link = link.Link(1, self.front, self.front)
        self.data, self.control = Wire(), Wire()
        self.link.connection_made(self.data)
        self.link.attach_control(self.control)

    def send(self, count: int = 1) -> list[calls.Call]:
        made: list[calls.Call] = []
        for _ in range(count):
            call = Stream(0.0)
            call.fields = [b""] * 6
            made.append(call)
            self.link.send(call)
        return made

    def say(self, kind: int, number: int, told: int | None = None, body: bytes = b"") -> None:
        head = b"" if told is None else frames.CREDIT_HEAD.pack(told)
        if kind in (frames.RESPONSE, frames.STREAM_END):
            head = frames.response_head(200, told or 0, 7, ["", "", ""])
        self.link.data_received(frames.pack(kind, number, head, body))

    async def told(self) -> list[tuple[int, int, int]]:
        """What the worker has heard on the data socket since the last time, but for requests."""
        await asyncio.sleep(0)
        found = [frame for frame in self.data.frames if frame[0] != frames.REQUEST]
        self.data.frames.clear()
        return found


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_a_permit_can_come_back_before_the_answer(bench: Bench) -> None:
    bench.send()
    bench.say(frames.RELEASE, 1)
    assert (bench.link.permits, list(bench.link.calls)) == (set(), [1])
    bench.say(frames.RESPONSE, 1, body=b"late")
    assert (bench.front.heard, bench.link.calls) == ([b"late"], {})


async def test_an_answer_can_come_before_the_permit(bench: Bench) -> None:
    bench.send()
    bench.say(frames.RESPONSE, 1, frames.HELD, b"early")
    assert (bench.front.heard, bench.link.permits) == ([b"early"], {1})
    bench.say(frames.RELEASE, 1)
    assert bench.link.permits == set()


async def test_nobody_waits_for_an_answer_whose_permit_is_back(bench: Bench) -> None:
    bench.send()
    bench.say(frames.RELEASE, 1)
    bench.link.abandon(1)
    assert bench.control.frames == [(frames.CANCEL, 1, 0)]
    bench.say(frames.RELEASE, 1)  # the worker heard of it in time
    assert bench.link.calls == {}


async def test_a_parked_stream_goes_on_with_credit_and_a_permit(bench: Bench) -> None:
    bench.send()
    bench.say(frames.PARKED, 1, frames.WINDOW)
    assert bench.link.permits == set()
    bench.send()  # somebody else computes meanwhile
    bench.link.grant(1, 8)
    assert await bench.told() == []
    bench.say(frames.RESPONSE, 2)
    assert await bench.told() == [(frames.GO, 1, frames.WINDOW + 8)]
    assert bench.link.permits == {1}
    bench.say(frames.STREAM_END, 1)
    bench.say(frames.RELEASE, 1)
    assert (bench.front.heard[-1], bench.link.calls, bench.link.permits) == ("ended", {}, set())


async def test_credit_that_crosses_the_parking_is_not_lost(bench: Bench) -> None:
    bench.send()
    bench.link.grant(1, 8)  # on its way, while the worker parks without it
    assert bench.control.frames == [(frames.CREDIT, 1, frames.WINDOW + 8)]
    bench.say(frames.PARKED, 1, frames.WINDOW)
    assert await bench.told() == [(frames.GO, 1, frames.WINDOW + 8)]
    bench.say(frames.PARKED, 1, frames.WINDOW + 8)  # all of that is spent
    assert await bench.told() == []


async def test_a_parked_stream_that_is_left_gets_a_permit_to_end(bench: Bench) -> None:
    bench.send()
    bench.say(frames.PARKED, 1, frames.WINDOW)
    bench.link.abandon(1)
    assert await bench.told() == [(frames.GO, 1, 0)]
    bench.say(frames.RELEASE, 1)
    assert (bench.link.calls, bench.link.permits) == ({}, set())


async def test_a_stream_that_is_left_while_it_parks_gets_a_permit_to_end(bench: Bench) -> None:
    bench.send()
    bench.link.abandon(1)
    bench.say(frames.PARKED, 1, frames.WINDOW)
    assert await bench.told() == [(frames.GO, 1, 0)]


async def test_payloads_are_prepared_without_a_permit_and_not_too_many(bench: Bench) -> None:
    bench.link.prepares = True
    bench.send(2)
    assert (bench.link.permits, bench.link.preparing) == (set(), {1, 2})
    bench.say(frames.PARKED, 2, 0)
    bench.say(frames.PARKED, 1, 0)
    assert await bench.told() == [(frames.GO, 2, frames.WINDOW)]  # who is ready first
    bench.say(frames.RESPONSE, 2)
    assert await bench.told() == [(frames.GO, 1, frames.WINDOW)]
    count = 0
    while bench.link.has_room(alone=True):
        bench.send()
        count += 1
    assert 1 <= count <= 8


async def test_what_was_left_while_it_waits_prepared_takes_no_permit_for_long(bench: Bench) -> None:
    bench.link.prepares = True
    bench.send(2)
    bench.say(frames.PARKED, 1, 0)
    bench.say(frames.PARKED, 2, 0)
    bench.link.abandon(2)
    bench.say(frames.RELEASE, 2)  # async code hears of it at once
    assert (await bench.told(), list(bench.link.ready)) == ([(frames.GO, 1, frames.WINDOW)], [])


async def test_a_batch_holds_one_permit(bench: Bench) -> None:
    made = [calls.Call(0.0) for _ in range(3)]
    for call in made:
        call.fields = [b""] * 6
    bench.link.send_batch(made)
    assert (bench.link.permits, bench.link.running, list(bench.link.calls)) == ({1}, 3, [1, 2, 3])
    bench.link.abandon(1)
    bench.link.abandon(2)
    assert bench.link.abandoned == []
    bench.say(frames.RELEASE, 1, 1500)
    assert (bench.link.permits, bench.front.heard) == (set(), [(3, 1500)])
    for number in (1, 2, 3):
        bench.say(frames.RESPONSE, number, frames.HELD, b"%d" % number)
    assert (bench.front.heard[1:], bench.link.calls) == ([b"3"], {})


async def test_a_dead_worker_leaves_nothing_behind(bench: Bench) -> None:
    bench.link.prepares = True
    bench.send(2)
    bench.say(frames.PARKED, 1, 0)
    assert list(bench.link.lose_all()) == [1, 2]
    assert (bench.link.permits, bench.link.preparing, bench.link.load) == (set(), set(), 0)
