"""The control listener of a real Envoy: gRPC, JSON, and what it refuses."""

import asyncio
import json
import pathlib
import stat
from collections.abc import AsyncIterator

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from cortex.apiserver.v1 import api_service_pb2, api_service_pb2_grpc
from cortex.autoscaler.v1 import autoscaler_service_pb2, autoscaler_service_pb2_grpc
from tests.fakes import gateway_process


@pytest.fixture
async def control(tmp_path: pathlib.Path) -> AsyncIterator[str]:
    async with gateway_process.running(tmp_path) as address:
        yield address


async def test_grpc_and_json_reach_the_services_and_nobody_else_does(control: str, tmp_path: pathlib.Path) -> None:
    """One Envoy for all of it: its start is what costs."""
    await _grpc_reaches_each_service(control)
    async with httpx.AsyncClient(base_url=f"http://{control}") as client:
        await _json_is_transcoded(client)
        await _errors_have_one_shape(client)
        await _browsers_and_strange_hosts_are_refused(client)
    assert stat.S_IMODE((tmp_path / "admin.sock").stat().st_mode) == 0o600
    await _logged(tmp_path / "control.log", "/v1/namespaces/default/apis/iris")


async def _logged(log: pathlib.Path, path: str) -> None:
    """The original path, not the one the transcoder made of it."""
    async with asyncio.timeout(10):
        while path not in [json.loads(line)["path"] for line in log.read_text().rpartition("\n")[0].splitlines()]:
            await asyncio.sleep(0.05)


async def _grpc_reaches_each_service(control: str) -> None:
    async with grpc.aio.insecure_channel(control) as channel:
        apis: api_service_pb2_grpc.ApiServiceAsyncStub = api_service_pb2_grpc.ApiServiceStub(channel)
        name = "namespaces/default/apis/iris"
        assert (await apis.GetApi(api_service_pb2.GetApiRequest(name=name), timeout=5)).generation == 7
        watched = [one async for one in apis.WatchApis(api_service_pb2.WatchApisRequest(), timeout=5)]
        assert len(watched) == 3
        decisions: autoscaler_service_pb2_grpc.AutoscalerServiceAsyncStub
        decisions = autoscaler_service_pb2_grpc.AutoscalerServiceStub(channel)
        await decisions.GetDecision(autoscaler_service_pb2.GetDecisionRequest(name=name), timeout=5)
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await apis.GetApi(api_service_pb2.GetApiRequest(name="namespaces/default/apis/missing"), timeout=5)
    status = rpc_status.from_call(failed.value)  # type: ignore[arg-type]  # has what a Call has
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.reason == "ERROR_REASON_NOT_FOUND"


async def _json_is_transcoded(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/namespaces/default/apis/iris")
    assert (answer.status_code, answer.json()["name"]) == (200, "namespaces/default/apis/iris")
    assert answer.headers["x-request-id"]
    decision = await client.get("/v1/namespaces/default/apis/iris/decision")
    assert decision.status_code == 200, decision.text


async def _errors_have_one_shape(client: httpx.AsyncClient) -> None:
    missing = await client.get("/v1/namespaces/default/apis/missing")
    assert missing.status_code == 404
    assert missing.json()["code"] == 5
    assert missing.json()["details"][0]["reason"] == "ERROR_REASON_NOT_FOUND"
    # The monitor does not run.
    away = await client.get("/v1/namespaces/default/metrics", timeout=20)
    assert (away.status_code, away.json()["code"]) == (503, 14)
    nothing = await client.get("/nothing")
    assert (nothing.status_code, nothing.json()["code"]) == (404, 5)
    unknown_field = await client.get("/v1/namespaces/default/apis/iris?colour=red")
    assert (unknown_field.status_code, unknown_field.json()["code"]) == (400, 3)


async def _browsers_and_strange_hosts_are_refused(client: httpx.AsyncClient) -> None:
    page = await client.get("/v1/namespaces/default/apis/iris", headers={"origin": "http://evil.example"})
    assert page.status_code == 403
    assert "Origin" in page.json()["message"]
    rebound = await client.get("/v1/namespaces/default/apis/iris", headers={"host": "evil.example:8889"})
    assert rebound.status_code == 403
    local = await client.get("/v1/namespaces/default/apis/iris", headers={"host": "localhost:8889"})
    assert local.status_code == 200
