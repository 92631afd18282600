"""Seeing whether a service is there, without importing what it speaks."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

from services.launcher import admin, catalog


def is_ready(service: catalog.Service, *, timeout: float = 0.5) -> bool:
    """Whether all its addresses accept connections and, where it has a readiness page, that says yes."""
    if not all(_accepts(address, timeout) for address in service.probes):
        return False
    return not service.ready_path or _says_yes(service.admin, service.ready_path, timeout)


def wait(
    services: Sequence[catalog.Service],
    *,
    timeout: float,
    on_ready: Callable[[str, float], None],
    give_up: Callable[[], bool],
) -> list[str]:
    """Waits until all are ready; the names of those that are not after `timeout` seconds or once `give_up` says so."""
    began = time.monotonic()
    waiting = list(services)
    while True:
        for service in [service for service in waiting if is_ready(service)]:
            on_ready(service.name, time.monotonic() - began)
            waiting.remove(service)
        if not waiting or time.monotonic() - began > timeout or give_up():
            return [service.name for service in waiting]
        time.sleep(0.05)


def _accepts(address: str, timeout: float) -> bool:
    host, _, port = address.rpartition(":")
    family, target = (socket.AF_INET, (host, int(port))) if host else (socket.AF_UNIX, address)
    with socket.socket(family) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(target)
        except OSError:
            return False
    return True


def _says_yes(page: str, path: str, timeout: float) -> bool:
    with contextlib.suppress(admin.Unreachable):
        admin.ask(page, "GET", path, timeout=timeout)
        return True
    return False


async def check_health(addresses: dict[str, str], timeout: float) -> dict[str, str]:
    """grpc.health.v1 of several servers at once: SERVING, NOT_SERVING, or why there is no answer."""
    # Imported here: only `status` pays for it.
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    async def one(address: str) -> str:
        async with grpc.aio.insecure_channel(address) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            try:
                answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout)
            except grpc.aio.AioRpcError as error:
                return str(error.code().name)
            return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))

    answers = await asyncio.gather(*(one(address) for address in addresses.values()))
    return dict(zip(addresses, answers, strict=True))
