"""Time limits on slow callers, with the limits made short."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator

import pytest
from google.protobuf import json_format

from cortex.runtime.v1 import replica_config_pb2
from runtime import config, dispatch, http_door, metrics


@pytest.fixture
async def door(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[http_door.HttpDoor]:
    for name in ("HEAD_SECONDS", "BODY_SECONDS", "IDLE_SECONDS", "LINGER_SECONDS"):
        monkeypatch.setattr(http_door, name, 0.1)
    monkeypatch.setattr(http_door, "_SWEEP_SECONDS", 0.02)
    settings = config.convert(json_format.ParseDict({}, replica_config_pb2.ReplicaConfig()))
    settings = dataclasses.replace(settings, http_address="127.0.0.1:0")
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
