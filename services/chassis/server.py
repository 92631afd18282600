"""Life of a gRPC server: start, health, reflection, and a drain on SIGTERM that loses no answer."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.chassis import interceptors, telemetry

_log = structlog.get_logger("server")
_OPTIONS = (
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


class Server:
    """A grpc.aio server with health and reflection. `ready()` turns health to SERVING; before it, NOT_SERVING."""

    def __init__(self, listen: str, tracing: telemetry.Telemetry) -> None:
        self._listen = listen
        self._server = grpc.aio.server(interceptors=[interceptors.Interceptor(tracing)], options=_OPTIONS)
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._described: list[str] = []
        self._names: list[str] = [health_pb2.DESCRIPTOR.services_by_name["Health"].full_name]
        self.port = 0

    def add(self, register: Callable[[Any, grpc.aio.Server], None], servicer: Any, name: str) -> None:
        """Registers a generated servicer; `name` is the full name of its service."""
        register(servicer, self._server)
        self._names.append(name)

    def describe(self, names: Sequence[str]) -> None:
        """Lets reflection tell of services that others serve at the same door. Their modules must be imported."""
        self._described += names

    def add_generic(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Registers handlers that are made by hand (Envoy's services)."""
        self._server.add_generic_rpc_handlers(tuple(handlers))

    async def start(self) -> None:
        reflection.enable_server_reflection([*self._names, *self._described, reflection.SERVICE_NAME], self._server)
        for name in ["", *self._names]:
            await self._health.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)
        self.port = self._server.add_insecure_port(self._listen)
        await self._server.start()
        _log.info("listening", address=self._listen, port=self.port)

    async def ready(self) -> None:
        for name in ["", *self._names]:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def drain(self, grace: float) -> None:
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace)


async def run(server: Server, tasks: Sequence[Coroutine[Any, Any, None]], *, grace: float = 5.0) -> None:
    """Serves until SIGTERM or SIGINT, or until one of `tasks` ends: a dead task means a dead process."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await server.start()
    await server.ready()
    running = [asyncio.ensure_future(task) for task in tasks]
    waiter = asyncio.ensure_future(stopped.wait())
    try:
        done, _ = await asyncio.wait([waiter, *running], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        _log.info("draining")
        await server.drain(grace)
        for task in [waiter, *running]:
            task.cancel()
        await asyncio.gather(waiter, *running, return_exceptions=True)
        _log.info("stopped")
