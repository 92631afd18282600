"""Reflection at the control listener tells of every service that is reached there."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import proto_reflection_descriptor_database as database

from services.apiserver import neighbours
from services.chassis import server, telemetry

WANTED = {
    "cortex.autoscaler.v1.AutoscalerService": "GetDecision",
    "cortex.logstream.v1.LogstreamService": "TailLogs",
    "cortex.monitor.v1.MonitorService": "GetApiMetrics",
}


@pytest.fixture
async def channel() -> AsyncIterator[grpc.Channel]:
    doors = server.Server("127.0.0.1:0", telemetry.Telemetry(None, None))
    doors.describe(neighbours.SERVICES)
    await doors.start()
    await doors.ready()
    with grpc.insecure_channel(f"127.0.0.1:{doors.port}") as channel:
        yield channel
    await doors.drain(0)


async def test_they_are_listed_and_described(channel: grpc.Channel) -> None:
    def look() -> dict[str, list[str]]:
        known = database.ProtoReflectionDescriptorDatabase(channel)
        pool = descriptor_pool.DescriptorPool(known)
        names = set(known.get_services()) & WANTED.keys()
        return {name: [method.name for method in pool.FindServiceByName(name).methods] for name in names}

    found = await asyncio.wait_for(asyncio.to_thread(look), 10)
    assert found.keys() == WANTED.keys()
    assert all(method in found[name] for name, method in WANTED.items())


async def test_their_health_is_not_ours_to_tell(channel: grpc.Channel) -> None:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service="cortex.monitor.v1.MonitorService")
    with pytest.raises(grpc.RpcError) as told:
        await asyncio.to_thread(stub.Check, request, timeout=10)
    assert told.value.code() is grpc.StatusCode.NOT_FOUND
