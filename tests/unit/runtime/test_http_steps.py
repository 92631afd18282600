"""What one read can bring is more than one turn of the event loop should do."""

import asyncio
import random
from typing import Any

import pytest

from runtime import config, dispatch, http_door, http_exchange, http_protocol, metrics, proto_json, slabs


class Pipe:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.is_reading = True

    def write(self, data: bytes) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int) -> None:
        """As large as it is."""


class Door(http_door.HttpDoor):
    """Echoes."""

    def handle(self, exchange: http_exchange.Exchange) -> None:
        exchange.reply(200, [], bytes(exchange.body))


@pytest.fixture
async def connection() -> http_protocol.Connection:
    settings = config.convert(proto_json.Message({}))
    settings = settings._replace(http_address="127.0.0.1:0")
    loop = asyncio.get_running_loop()
    dispatcher = dispatch.Dispatcher(loop=loop, limit=3, request_timeout=60.0, metrics=metrics.Metrics(), spans=None)
    made = http_protocol.Connection(Door(settings, dispatcher, lambda: True))
    made.connection_made(Pipe())
    return made


def pipe(connection: http_protocol.Connection) -> Any:
    return connection._transport


async def settled(connection: http_protocol.Connection) -> None:
    async with asyncio.timeout(20):
        while not pipe(connection).is_reading:
            await asyncio.sleep(0)


def echoed(written: bytes) -> list[bytes]:
    """The bodies of the answers."""
    bodies, at = [], 0
    while at < len(written):
        end = written.index(b"\r\n\r\n", at) + 4
        [size] = [int(line[15:]) for line in written[at:end].split(b"\r\n") if line.startswith(b"content-length:")]
        bodies.append(bytes(written[end : end + size]))
        at = end + size
    return bodies


UPGRADE = b"GET /x HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"


@pytest.mark.parametrize("request_", [b"GET /x HTTP/1.1\r\n\r\n", UPGRADE], ids=["plain", "upgrade"])
async def test_a_read_of_many_requests_takes_many_turns(connection: http_protocol.Connection, request_: bytes) -> None:
    connection.data_received(request_ * 5000)
    assert len(echoed(pipe(connection).written)) < 100 and not pipe(connection).is_reading
    await settled(connection)
    assert len(echoed(pipe(connection).written)) == 5000


async def test_chunks_of_two_bytes_take_many_turns_and_little_memory(connection: http_protocol.Connection) -> None:
    connection.data_received(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
    count = 0
    for _ in range(4):
        connection.data_received(b"2\r\nab\r\n" * 30_000)
        assert connection.size - count <= 2000, "a turn's worth"
        await settled(connection)
        count = connection.size
    assert count == 240_000 and len(connection._chunks) < 1000
    connection.data_received(b"0\r\n\r\n")
    assert echoed(pipe(connection).written) == [b"ab" * 120_000]


@pytest.mark.parametrize("seed", range(20))
async def test_requests_are_the_same_however_they_are_cut(connection: http_protocol.Connection, seed: int) -> None:
    chance = random.Random(seed)
    sent, bodies = bytearray(), []
    for _ in range(chance.choice((1, 5, 200))):
        body = chance.randbytes(chance.choice((0, 1, 500, 3000, 70_000)))
        bodies.append(body)
        sent += b"POST /x HTTP/1.1\r\na: %b\r\n" % (b"b" * chance.choice((1, 2000)))
        if chance.random() < 0.5:
            sent += b"content-length: %d\r\n\r\n%b" % (len(body), body)
            continue
        sent += b"transfer-encoding: chunked\r\n\r\n"
        size = chance.choice((1, 7, 1000, 50_000)) if len(body) < 5000 else 3000
        for at in range(0, len(body), size):
            sent += b"%x;a=b\r\n%b\r\n" % (len(body[at : at + size]), body[at : at + size])
        sent += b"0\r\nt: u\r\n\r\n" if chance.random() < 0.5 else b"0\r\n\r\n"
    at = 0
    while at < len(sent):
        size = chance.choice((1, 100, 4000, 262_144))
        connection.data_received(bytes(sent[at : at + size]))
        at += size
        if not pipe(connection).is_reading:
            await settled(connection)
    assert echoed(pipe(connection).written) == bodies


@pytest.mark.parametrize("method", [b"GET", b"POST", b"CONNECT"])
@pytest.mark.parametrize("step", [1, 70, 1_000_000])
@pytest.mark.parametrize("count", [1, 40, 3000])
async def test_a_body_behind_an_offer_to_upgrade_is_no_request(
    connection: http_protocol.Connection, method: bytes, step: int, count: int
) -> None:
    connection.door.slab = slabs.make()  # where the largest goes
    body = b"GET /x HTTP/1.1\r\ncontent-length: 0\r\n\r\n" * count
    head = b"%b / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\ncontent-length: %d\r\n\r\n" % (method, len(body))
    sent = head + body + b"POST /x HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi"
    for at in range(0, len(sent), step):
        connection.data_received(sent[at : at + step])
        await settled(connection)
    assert echoed(pipe(connection).written) == [body, b"hi"]


async def test_nor_is_one_in_chunks_which_is_refused(connection: http_protocol.Connection) -> None:
    pipe(connection).can_write_eof = lambda: False
    head = b"POST / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\ntransfer-encoding: chunked\r\n\r\n"
    connection.data_received(head + b"2\r\nhi\r\n0\r\n\r\n")
    written = bytes(pipe(connection).written)
    assert (written.count(b"HTTP/1.1 "), written.count(b"HTTP/1.1 400 ")) == (1, 1) and connection.closing_since


async def test_what_is_wrong_behind_others_is_refused_in_its_turn(connection: http_protocol.Connection) -> None:
    pipe(connection).can_write_eof = lambda: False
    connection.data_received(b"GET /x HTTP/1.1\r\n\r\n" * 300 + b"nonsense\r\n\r\n" + b"GET /x HTTP/1.1\r\n\r\n" * 300)
    async with asyncio.timeout(20):
        while not connection.closing_since:
            await asyncio.sleep(0)
    written = bytes(pipe(connection).written)
    assert (written.count(b"HTTP/1.1 200 "), written.count(b"HTTP/1.1 400 ")) == (300, 1)
    assert connection._steps.rest == b""
