"""When frames leave for a worker, and in which order its answers are handled."""

import asyncio
from typing import Any

import pytest

from runtime import calls, link
from runtime.shim import frames


class FakeTransport:
    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def is_closing(self) -> bool:
        return False


class Everything:
    """Listener and keeper; remembers the order of events."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self.more: list[calls.Call] = []

    def released(self, freed: link.Link) -> None:
        self.events.append("released")
        while self.more:
            freed.send(self.more.pop())

    def answered(self, call: calls.Call, status: int, fields: list[bytes], body: bytes) -> None:
        self.events.append(body)

    def broke(self, call: calls.Call, problem: Exception) -> None: ...
    def stream_began(self, call: calls.Call, status: int, fields: list[bytes]) -> None: ...
    def stream_ended(self, call: calls.Call, *, broken: bool) -> None: ...
    def batch_ended(self, size: int, micros: int) -> None: ...
    def on_loaded(self, offer: Any) -> None: ...
    def on_load_failed(self, reason: str, message: str) -> None: ...


@pytest.fixture
async def made() -> tuple[link.Link, FakeTransport, Everything]:
    heard = Everything()
    found = link.Link(1, heard, heard)
    transport = FakeTransport()
    found.connection_made(transport)
    return found, transport, heard


def call(size: int = 0) -> calls.Call:
    found = calls.Call(0.0)
    found.fields, found.body = [b""] * 6, b"x" * size
    return found


def numbers(data: list[bytes]) -> list[int]:
    return [number for _, number, _, _ in frames.Decoder().feed(b"".join(data))]


def response(number: int) -> bytes:
    return frames.pack(frames.RESPONSE, number, frames.response_head(200, 0, 1, ["", "", ""]), b"%d" % number)


async def test_an_idle_worker_hears_at_once_and_a_busy_one_in_one_piece(
    made: tuple[link.Link, FakeTransport, Everything],
) -> None:
    found, transport, _ = made
    for _ in range(4):
        found.send(call())
    assert numbers(transport.writes) == [1]
    await asyncio.sleep(0)
    assert (len(transport.writes), numbers(transport.writes)) == (2, [1, 2, 3, 4])


async def test_a_large_body_does_not_overtake(made: tuple[link.Link, FakeTransport, Everything]) -> None:
    found, transport, _ = made
    for size in (0, 0, 100_000, 0):
        found.send(call(size))
    await asyncio.sleep(0)
    assert numbers(transport.writes) == [1, 2, 3, 4]


async def test_the_worker_gets_new_work_before_callers_get_answers(
    made: tuple[link.Link, FakeTransport, Everything],
) -> None:
    found, transport, heard = made
    for _ in range(3):
        found.send(call())
    await asyncio.sleep(0)
    heard.more = [call(), call()]
    found.data_received(response(1) + response(2))
    assert heard.events == ["released", b"1", b"2"]
    assert numbers(transport.writes) == [1, 2, 3, 4, 5]
    assert list(found.calls) == [3, 4, 5]
