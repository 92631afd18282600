"""Channels to other services: keepalive agreed with the server, sizes limited, and the trace carried along."""

from collections.abc import Callable
from typing import Any

import grpc

from services.chassis import telemetry

_OPTIONS = (
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_http_proxy", 0),
)


def connect(address: str, tracing: telemetry.Telemetry) -> grpc.aio.Channel:
    """A channel to `address` (host:port). It connects when first used and again after every break."""
    interceptors = [_UnaryUnary(tracing), _UnaryStream(tracing)] if tracing.enabled else []
    return grpc.aio.insecure_channel(address, options=_OPTIONS, interceptors=interceptors)


def _details(details: grpc.aio.ClientCallDetails, carrier: dict[str, str]) -> grpc.aio.ClientCallDetails:
    metadata = grpc.aio.Metadata(*(details.metadata or ()))
    for key, value in carrier.items():
        metadata.add(key, value)
    return grpc.aio.ClientCallDetails(
        details.method, details.timeout, metadata, details.credentials, details.wait_for_ready
    )


def _name(details: grpc.aio.ClientCallDetails) -> str:
    method = details.method.decode() if isinstance(details.method, bytes) else details.method
    return method.strip("/")


class _UnaryUnary(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, tracing: telemetry.Telemetry) -> None:
        self._tracing = tracing

    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        name = _name(client_call_details)
        with self._tracing.client_span(name, {"rpc.system.name": "grpc", "rpc.method": name}) as carrier:
            call = await continuation(_details(client_call_details, carrier), request)
            await call.code()
            return call


class _UnaryStream(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, tracing: telemetry.Telemetry) -> None:
        self._tracing = tracing

    async def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        name = _name(client_call_details)
        # The span ends when the stream is open: a watch lives for days, a span must not.
        with self._tracing.client_span(name, {"rpc.system.name": "grpc", "rpc.method": name}) as carrier:
            return await continuation(_details(client_call_details, carrier), request)
