"""Time limits on slow callers, with the limits made short."""

import asyncio
import email.utils
import types
from collections.abc import AsyncIterator
from typing import Any

import pytest

from runtime import config, dispatch, errors, http_door, metrics, mounts, proto_json


@pytest.fixture
async def door(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[http_door.HttpDoor]:
    for name in ("HEAD_SECONDS", "BODY_SECONDS", "IDLE_SECONDS", "LINGER_SECONDS", "ROOM_SECONDS", "STALLED_SECONDS"):
        monkeypatch.setattr(http_door, name, 0.1)
    monkeypatch.setattr(http_door, "_SWEEP_SECONDS", 0.02)
    settings = config.convert(proto_json.Message({}))
    settings = settings._replace(http_address="127.0.0.1:0")
    dispatcher = dispatch.Dispatcher(
        loop=asyncio.get_running_loop(), limit=3, request_timeout=60.0, metrics=metrics.Metrics(), spans=None
    )
    found = http_door.HttpDoor(settings, dispatcher, lambda: False)
    await found.listen()
    sweep = asyncio.ensure_future(found.sweep())
    yield found
    sweep.cancel()
    found.close()


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"", b""),
        (b"POST / HT", b"HTTP/1.1 408 "),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nab", b"HTTP/1.1 408 "),
        (b"GET /healthz/live HTTP/1.1\r\nhost: x\r\n\r\n", b"HTTP/1.1 200 "),
        (b"GET /healthz/live HTTP/1.1\r\nhost: x\r\n\r\nGET", b"HTTP/1.1 200 "),
    ],
)
async def test_who_keeps_us_waiting_is_let_go(door: http_door.HttpDoor, sent: bytes, answer: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(sent)
    async with asyncio.timeout(5):
        data = await reader.read()
    assert data[: len(answer)] == answer and (answer or not data)
    if sent.endswith(b"\r\n\r\nGET"):
        assert b"HTTP/1.1 408 " in data
    writer.close()
    async with asyncio.timeout(5):
        while door.connections:
            await asyncio.sleep(0.01)


async def test_its_clock_speaks_http(door: http_door.HttpDoor) -> None:
    told = door.date.decode()
    assert email.utils.format_datetime(email.utils.parsedate_to_datetime(told), usegmt=True) == told


HALF = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\n" + b"x" * 150_000


async def begin_body(door: http_door.HttpDoor, sent: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A caller half of whose body has arrived, so that `sent` bytes are on the account."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(HALF)
    async with asyncio.timeout(5):
        while door.bodies.used < sent:
            await asyncio.sleep(0.001)
    return reader, writer


async def test_without_room_callers_wait_until_there_is(
    door: http_door.HttpDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_door, "ROOM_SECONDS", 60.0)
    monkeypatch.setattr(http_door, "BODY_SECONDS", 60.0)
    door.bodies.limit = 100_000
    first, more = await begin_body(door, 150_000)
    second, others = await begin_body(door, 150_001)
    others.write(b"x" * 50_000)
    assert any(connection.waits_since for connection in door.connections)
    assert door.bodies.used < 2 * 150_000
    more.write(b"x" * 50_000)
    async with asyncio.timeout(5):
        # There is no worker; what matters is that both bodies were read.
        for reader in (first, second):
            assert b" 503 " in await reader.readline()
    assert not any(connection.waits_since for connection in door.connections)
    assert door.bodies.used == 0
    more.close()
    others.close()


async def test_who_waited_long_for_room_is_sent_elsewhere(
    door: http_door.HttpDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_door, "BODY_SECONDS", 60.0)
    door.bodies.limit = 100_000
    _, first = await begin_body(door, 150_000)
    second, other = await begin_body(door, 150_001)
    async with asyncio.timeout(5):
        answer = await second.read()
    assert answer.startswith(b"HTTP/1.1 503 ") and b"retry-after: 1" in answer
    assert b"as many request bytes as it may" in answer
    first.close()
    other.close()
    async with asyncio.timeout(5):
        while door.connections:
            await asyncio.sleep(0.001)
    assert door.bodies.used == 0


async def test_a_silent_stream_of_events_gets_comments_between_its_events(
    door: http_door.HttpDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_door, "HEARTBEAT_SECONDS", 0.05)
    steps: asyncio.Queue[bytes] = asyncio.Queue()

    async def events(visit: mounts.Visit) -> None:
        visit.begin(b"text/event-stream" if visit.path == b"events" else b"text/plain")
        while data := await steps.get():
            await visit.write(data)
        visit.end()

    door.mounts.add(b"silent", events)
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(b"GET /silent/events HTTP/1.1\r\nhost: x\r\n\r\n")
    async with asyncio.timeout(5):
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readuntil(b":\n\n") == b"3\r\n:\n\n"
        steps.put_nowait(b"data: half")
        await reader.readuntil(b"data: half\r\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await reader.readuntil(b":\n\n")
        steps.put_nowait(b" of it\n\n")
        assert b" of it" in await reader.readuntil(b":\n\n")
        steps.put_nowait(b"")
        assert (await reader.readuntil(b"0\r\n\r\n")).endswith(b"0\r\n\r\n")
        # What is no stream of events is left alone, on the same connection too.
        writer.write(b"GET /silent/plain HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await reader.readexactly(1)
        steps.put_nowait(b"")
        assert await reader.read() == b"0\r\n\r\n"
    writer.close()


@pytest.mark.parametrize("sent", [b"POST /broken HTTP/1.1\r\ncontent-length: 0\r\n\r\n"])
@pytest.mark.parametrize("pieces", [1, 2])
async def test_a_defect_of_ours_is_answered(
    door: http_door.HttpDoor, sent: bytes, pieces: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that comes in pieces is handled inside the parser, which would swallow what is raised."""
    for name in ("HEAD_SECONDS", "BODY_SECONDS", "IDLE_SECONDS"):
        monkeypatch.setattr(http_door, name, 60.0)

    def fail(exchange: object) -> bool:
        raise OverflowError("a defect")

    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["exception"]))
    door.mounts.add_direct(b"/broken", fail)
    for _ in range(2):  # once through the parser, once past it
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        async with asyncio.timeout(5):
            writer.write(sent[: len(sent) // pieces])
            if pieces > 1:
                while not any(connection.head_since for connection in door.connections):
                    await asyncio.sleep(0.001)
                writer.write(sent[len(sent) // pieces :])
            assert (await reader.read()).startswith(b"HTTP/1.1 500 ")
        writer.close()
    assert len(told) == 2


async def test_what_fails_after_the_answer_is_no_second_one(door: http_door.HttpDoor) -> None:
    async def handler(visit: mounts.Visit) -> None:
        visit.reply(200, b"text/plain", b"whole")
        visit.fail(errors.INTERNAL)

    door.mounts.add(b"mine", handler)
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(b"GET /mine/x HTTP/1.1\r\nhost: x\r\n\r\n")
    async with asyncio.timeout(5):
        data = await reader.read()
    assert data.count(b"HTTP/1.1 ") == 1 and data.endswith(b"whole")
    writer.close()


async def test_a_body_that_trickles_is_let_go(door: http_door.HttpDoor) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10000\r\n\r\n")
    answer = asyncio.ensure_future(reader.read(12))
    async with asyncio.timeout(5):
        while not (await asyncio.wait([answer], timeout=0.02))[0]:
            writer.write(b"x")
    assert answer.result() == b"HTTP/1.1 408"
    writer.close()


@pytest.mark.parametrize(("unsent", "end"), [(0, "close"), (1, "abort")])
async def test_a_little_that_nobody_takes_keeps_no_connection(door: http_door.HttpDoor, unsent: int, end: str) -> None:
    """To close a connection would wait until the rest of the last answer has been taken."""
    ends: list[str] = []
    idle: Any = types.SimpleNamespace(
        closing_since=0.0, stalled_since=0.0, waits_since=0.0, head_since=0.0, body_since=0.0, idle_since=0.0,
        busy=False, unsent=lambda: unsent, close=lambda: ends.append("close"), abort=lambda: ends.append("abort"),
    )  # fmt: skip
    door._check(idle, 1000.0)
    assert ends == [end]
