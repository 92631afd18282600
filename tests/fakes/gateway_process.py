"""The real Envoy with our bootstrap, in front of small real gRPC services. Linux, loopback, free ports."""

import asyncio
import contextlib
import json
import os
import pathlib
import subprocess
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx

from cortex.apiserver.v1 import api_pb2, api_service_pb2, api_service_pb2_grpc
from cortex.autoscaler.v1 import autoscaler_service_pb2, autoscaler_service_pb2_grpc
from services.chassis import errors, server, telemetry
from services.launcher import bootstrap, catalog, descriptors
from tests.fakes import node_process


class Apis(api_service_pb2_grpc.ApiServiceServicer):
    async def GetApi(
        self, request: api_service_pb2.GetApiRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> api_pb2.Api:
        if request.name.endswith("/missing"):
            raise errors.NotFound(f"no API {request.name}", metadata={"name": request.name})
        return api_pb2.Api(name=request.name, generation=7)

    async def WatchApis(
        self, request: api_service_pb2.WatchApisRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> AsyncIterator[api_service_pb2.WatchApisResponse]:
        for _ in range(3):
            yield api_service_pb2.WatchApisResponse()


class Decisions(autoscaler_service_pb2_grpc.AutoscalerServiceServicer):
    async def GetDecision(
        self, request: autoscaler_service_pb2.GetDecisionRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> autoscaler_service_pb2.Decision:
        return autoscaler_service_pb2.Decision()


def _apis() -> Apis:
    return Apis()  # type: ignore[abstract]  # two methods are enough here


async def _serve(register: Any, servicer: Any, name: str) -> server.Server:
    served = server.Server("127.0.0.1:0", telemetry.Telemetry(None, None))
    served.add(register, servicer, name)
    await served.start()
    await served.ready()
    return served


@contextlib.asynccontextmanager
async def running(folder: pathlib.Path) -> AsyncIterator[str]:
    """Yields the address of the control listener; the admin page is at `admin.sock` in the folder."""
    apis = await _serve(
        api_service_pb2_grpc.add_ApiServiceServicer_to_server, _apis(), "cortex.apiserver.v1.ApiService"
    )
    decisions = await _serve(
        autoscaler_service_pb2_grpc.add_AutoscalerServiceServicer_to_server,
        Decisions(),  # type: ignore[abstract]  # one method is enough here
        "cortex.autoscaler.v1.AutoscalerService",
    )
    page, control = str(folder / "admin.sock"), f"127.0.0.1:{node_process.free_port()}"
    (folder / "descriptors.binpb").write_bytes(descriptors.build())
    gateway = bootstrap.Gateway(
        node_id="test",
        cluster_id="cortex",
        admin_socket=page,
        control_address=control,
        apiserver_address=f"127.0.0.1:{apis.port}",
        autoscaler_address=f"127.0.0.1:{decisions.port}",
        logstream_address=f"127.0.0.1:{node_process.free_port()}",
        monitor_address=f"127.0.0.1:{node_process.free_port()}",
        descriptors=str(folder / "descriptors.binpb"),
        control_log=str(folder / "control.log"),
    )
    (folder / "bootstrap.json").write_text(json.dumps(bootstrap.build(gateway)))
    command = [catalog.find_envoy(os.environ), "-c", str(folder / "bootstrap.json"), "--disable-hot-restart"]
    with (folder / "envoy.log").open("wb") as log:
        envoy = subprocess.Popen(
            [*command, "--concurrency", "1", "--file-flush-interval-msec", "100"], stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        await _until_live(page, envoy, folder / "envoy.log")
        yield control
    finally:
        envoy.terminate()
        envoy.wait(10)
        await apis.drain(0)
        await decisions.drain(0)


async def _until_live(page: str, envoy: "subprocess.Popen[bytes]", log: pathlib.Path) -> None:
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=page)) as client, asyncio.timeout(20):
        while True:
            assert envoy.poll() is None, log.read_text()[-3000:]
            with contextlib.suppress(httpx.TransportError):
                if (await client.get("http://localhost/ready")).text.strip() == "LIVE":
                    return
            await asyncio.sleep(0.05)
