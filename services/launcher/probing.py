"""Seeing whether a service is there, without importing what it speaks."""

import asyncio
import contextlib
import http.client
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

from services.launcher import catalog


def is_ready(service: catalog.Service, *, timeout: float = 0.5) -> bool:
    """Whether all its addresses accept connections and, where it has a readiness page, that says yes."""
    if not all(_accepts(address, timeout) for address in service.probes):
        return False
    return not service.ready_path or _says_yes(service.probes[0], service.ready_path, timeout)


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
    try:
        with socket.create_connection((host, int(port)), timeout):
            return True
    except OSError:
        return False


def _says_yes(address: str, path: str, timeout: float) -> bool:
    connection = http.client.HTTPConnection(address, timeout=timeout)
    with contextlib.closing(connection):
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
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
