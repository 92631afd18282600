"""Brings Triton's spans to a collector that speaks gRPC: Triton itself knows OTLP over HTTP in JSON only.

A listener on loopback that Triton posts to. What cannot be sent on is dropped, as everywhere with spans.
"""

import asyncio
import base64
import contextlib
import json
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

_MOST_BYTES = 16 * 1024 * 1024
_EXPORT_SECONDS = 5.0
# OTLP's JSON has ids in hex where JSON of protobuf has base64.
_IDS = ("traceId", "spanId", "parentSpanId")


class SpanRelay:
    """`url` is what Triton is told."""

    def __init__(self, endpoint: str, say: Callable[[str, str], None]) -> None:
        target = endpoint.removeprefix("http://").removeprefix("https://")
        if endpoint.startswith("https://"):
            self._channel = grpc.aio.secure_channel(target, grpc.ssl_channel_credentials())
        else:
            self._channel = grpc.aio.insecure_channel(target)
        self._stub: Any = trace_service_pb2_grpc.TraceServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._server: asyncio.Server | None = None
        self._say = say
        self._failing = False
        self.url = ""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1/traces"

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._channel.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                size = int(head.partition("content-length:")[2].partition("\r\n")[0])
                if size > _MOST_BYTES:
                    break
                await self._pass_on(await reader.readexactly(size))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                await writer.drain()
        writer.close()

    async def _pass_on(self, body: bytes) -> None:
        try:
            await self._stub.Export(parse(body), timeout=_EXPORT_SECONDS)
            self._failing = False
        except (grpc.aio.AioRpcError, json_format.ParseError) as error:
            if not self._failing:
                self._say("warning", f"spans of Triton are dropped: {error}")
            self._failing = True


def parse(body: bytes) -> trace_service_pb2.ExportTraceServiceRequest:
    """Raises ParseError and ValueError."""
    told = json.loads(body)
    for resource in told.get("resourceSpans", ()):
        for scope in resource.get("scopeSpans", ()):
            for span in scope.get("spans", ()):
                for name in _IDS:
                    if name in span:
                        span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    return json_format.ParseDict(told, trace_service_pb2.ExportTraceServiceRequest(), ignore_unknown_fields=True)
