"""Sends requests at a fixed rate whatever the answers do (open loop), over HTTP, gRPC and streams at once.

`Driver(...)` as a context manager runs in the background; `phase(name)` marks what happens meanwhile. Leaving it waits
for every request still under way, so that `record` accounts for all of them.
"""

import asyncio
import contextlib
import dataclasses
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf import json_format, struct_pb2

from cortex.runtime.v1 import prediction_service_pb2 as pb
from cortex.runtime.v1 import prediction_service_pb2_grpc as pb_grpc
from tests.traffic import http_client
from tests.traffic.record import Outcome, Record


@dataclasses.dataclass(frozen=True)
class Load:
    """Requests per second of each protocol, and what they carry. A stream is expected to end with `stream_end`."""

    http: float = 0.0
    grpc: float = 0.0
    streams: float = 0.0
    payload: Any = None
    stream_payload: Any = None
    stream_end: str = "end"
    timeout: float = 30.0


class Driver:
    """Drives `api` behind the gateway's data listener at `address` (host:port)."""

    def __init__(self, address: str, api: str, load: Load) -> None:
        host, _, port = address.rpartition(":")
        self._address, self._api, self._load = address, api, load
        self._pool = http_client.Pool(host, int(port))
        self._channel = grpc.aio.insecure_channel(address)
        self._stub = pb_grpc.PredictionServiceStub(self._channel)
        self._phase = "steady"
        self._under_way: set[asyncio.Task[None]] = set()
        self.record = Record()

    def phase(self, name: str) -> None:
        self._phase = name

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Driver"]:
        kinds: list[tuple[float, str, Callable[[], Awaitable[str]]]] = [
            (self._load.http, "http", self._http),
            (self._load.grpc, "grpc", self._grpc),
            (self._load.streams, "sse", self._sse),
            (self._load.streams, "grpc-str", self._grpc_stream),
        ]
        pacers = [asyncio.create_task(self._pace(rate, name, send)) for rate, name, send in kinds if rate > 0]
        try:
            yield self
        finally:
            for pacer in pacers:
                pacer.cancel()
            await asyncio.gather(*pacers, return_exceptions=True)
            await asyncio.gather(*self._under_way)
            self._pool.close()
            await self._channel.close()

    async def _pace(self, rate: float, protocol: str, send: Callable[[], Awaitable[str]]) -> None:
        due = time.monotonic()
        while True:
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self.record.sent += 1
            task = asyncio.create_task(self._one(protocol, send))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _one(self, protocol: str, send: Callable[[], Awaitable[str]]) -> None:
        phase, start, problem, served_by = self._phase, time.monotonic(), "", ""
        try:
            served_by = await asyncio.wait_for(send(), self._load.timeout)
        except grpc.aio.AioRpcError as error:
            problem = f"{error.code().name}: {str(error.details())[:80]}"
        except Exception as error:
            problem = f"{type(error).__name__}: {str(error)[:80]}"
        self.record.outcomes.append(Outcome(phase, protocol, start, time.monotonic() - start, problem, served_by))

    async def _http(self) -> str:
        body = json.dumps(self._load.payload).encode()
        connection = await self._pool.take()
        try:
            response = await connection.request(self._head(body, {}), body)
        except BaseException:
            connection.close()
            raise
        self._pool.give(connection)
        return _served_by(response.status, response.body)

    async def _sse(self) -> str:
        body = json.dumps(self._load.stream_payload).encode()
        connection = await self._pool.take()
        received, status = b"", 0
        try:
            async for code, chunk in connection.stream(self._head(body, {"accept": "text/event-stream"}), body):
                status, received = code, received + chunk
        except BaseException:
            connection.close()
            raise
        self._pool.give(connection)
        if status != 200 or self._load.stream_end.encode() not in received:
            raise AssertionError(f"status {status}, stream ended with {received[-60:]!r}")
        return ""

    async def _grpc(self) -> str:
        reply = await self._stub.Predict(self._message(self._load.payload), metadata=self._metadata())
        return _served_by(200, json.dumps(json_format.MessageToDict(reply.json)).encode())

    async def _grpc_stream(self) -> str:
        last = None
        async for reply in self._stub.PredictStream(
            self._message(self._load.stream_payload), metadata=self._metadata()
        ):
            last = json_format.MessageToDict(reply.json) if reply.HasField("json") else reply.body.decode()
        if self._load.stream_end not in json.dumps(last):
            raise AssertionError(f"stream ended with {str(last)[-60:]}")
        return ""

    def _head(self, body: bytes, extra: dict[str, str]) -> bytes:
        headers = {"content-type": "application/json", **extra}
        return http_client.head("POST", f"/{self._api}", self._address, headers, len(body))

    def _message(self, payload: Any) -> pb.PredictRequest:
        return pb.PredictRequest(json=json_format.ParseDict(payload, struct_pb2.Value()))

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (("cortex-api", self._api),)


def _served_by(status: int, body: bytes) -> str:
    if status != 200:
        raise AssertionError(f"status {status}: {body[:80].decode(errors='replace')}")
    answer = json.loads(body)
    return str(answer.get("version", "")) if isinstance(answer, dict) else ""
