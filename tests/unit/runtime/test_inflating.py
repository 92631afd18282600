"""Compressed messages: how far they may grow, and that what they grow to is on the account of all bodies."""

import gzip
import struct
import types
from typing import Any

import pytest

from runtime import bodies, errors, grpc_bridge, http_exchange, http_heads, scribe
from runtime.inference import InferError
from runtime.oip import compression, http_door

MIB = 2**20


class FakeDoor:
    wants_headers = False

    def __init__(self) -> None:
        self.bodies = bodies.Bodies(MIB)


class FakeConnection:
    def __init__(self) -> None:
        self.door = FakeDoor()


def exchange_with(message: bytes) -> http_exchange.Exchange:
    packed = gzip.compress(message)
    known = {b"grpc-encoding": b"gzip", b"x-request-id": b"r"}
    head = http_heads.Head(b"POST", b"/p", known, keep_alive=True, old=False)
    made = http_exchange.Exchange(FakeConnection(), 0.0, head)  # type: ignore[arg-type]
    made.body = struct.pack(">BI", 1, len(packed)) + packed
    return made


async def test_a_message_grows_no_further_than_messages_do() -> None:
    assert await grpc_bridge.received(exchange_with(bytes(20 * MIB)), 100 * MIB) is errors.TOO_LARGE
    assert await grpc_bridge.received(exchange_with(bytes(2 * MIB)), MIB) is errors.TOO_LARGE


async def test_what_it_grew_to_counts_until_the_answer() -> None:
    exchange = exchange_with(bytes(2 * MIB))
    assert await grpc_bridge.received(exchange, 100 * MIB) == bytes(2 * MIB)
    assert exchange.held == exchange._connection.door.bodies.used == 2 * MIB


@pytest.mark.parametrize("used", [0, bodies.LEAST_BYTES + 1])
async def test_nothing_is_inflated_without_room(used: int) -> None:
    exchange = exchange_with(b"x")
    exchange._connection.door.bodies.keep(None, used)
    assert await grpc_bridge.received(exchange, MIB) == (errors.BODIES_FULL if used else b"x")


async def test_an_encoded_body_counts_as_large_as_it_may_get(monkeypatch: pytest.MonkeyPatch) -> None:
    room = bodies.Bodies(MIB)
    settings: Any = types.SimpleNamespace(max_request_bytes=4 * MIB, admin_token_file="")
    nothing: Any = None
    door = http_door.OipDoor(settings, nothing, room, bool, bool, nothing, None, scribe.Scribe())
    seen = []

    async def decompress(body: bytes, encoding: bytes, limit: int) -> bytes:
        seen.append(room.used)
        return b"x" * 100

    monkeypatch.setattr(compression, "decompress", decompress)
    assert len(await door._decompressed(b"abc", b"gzip")) == room.used == 100
    assert seen == [4 * MIB]
    room.keep(None, bodies.LEAST_BYTES)
    with pytest.raises(InferError, match="as many request bytes as it may"):
        await door._decompressed(b"abc", b"gzip")
    assert room.used == bodies.LEAST_BYTES + 100 and len(seen) == 1
