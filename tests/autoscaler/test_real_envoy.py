"""The same with the real gateway: what it reports, what it holds, what its callers get."""

import asyncio
import json
import pathlib

import grpc
import pytest

from cortex.autoscaler.v1 import autoscaler_service_pb2 as pb
from tests.autoscaler import envoy
from tests.autoscaler.world import NAME, World, until, world

pytestmark = pytest.mark.skipif(envoy.find_envoy() is None, reason="no envoy binary")
FAST = {
    "autoscaling": {
        "min_replicas": 0,
        "max_replicas": 9,
        "window": "2s",
        "upscale_stabilization_period": "0s",
        "downscale_stabilization_period": "0s",
        "max_upscale_factor": 10,
        "max_downscale_factor": 0,
    }
}


async def decision(here: World) -> pb.Decision:
    found: pb.Decision = await here.decisions.GetDecision(pb.GetDecisionRequest(name=NAME))
    return found


async def holds(here: World, count: int) -> bool:
    return await here.held() == count


async def reports(here: World, count: int) -> bool:
    try:
        found = await decision(here)
    except grpc.aio.AioRpcError as error:
        # The first decision is made a tick after the API is known.
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        return False
    return int(found.in_flight) == count and found.winning_term != pb.DECISION_TERM_NO_DATA


async def test_from_zero_to_eight_and_back_to_zero(tmp_path: pathlib.Path) -> None:
    async with world(interval=0.2) as here, envoy.replica() as (upstream, finish):
        here.apiserver.put({"desired_replicas": 0}, FAST)
        async with envoy.envoy(tmp_path, autoscaler=here.address, upstream=upstream) as port:
            held = [asyncio.ensure_future(envoy.ask(port, "/cold")) for _ in range(8)]
            await until(lambda: holds(here, 8), "eight held")
            woken = here.apiserver.scaled[0].desired_replicas
            assert woken >= 1
            # One of the callers goes away; the gateway tells us.
            held.pop().cancel()
            await until(lambda: holds(here, 7), "a slot freed")
            here.apiserver.starts = True
            here.apiserver.put({"desired_replicas": woken, "ready_replicas": woken, "routable_replicas": woken})
            await until(lambda: holds(here, 0), "the door open")
            await until(lambda: reports(here, 7), "seven in flight, as the gateway reports")
            assert not any(task.done() for task in held)
            finish.set()
            assert [status for status, _, _ in await asyncio.gather(*held)] == [200] * 7
            # Idle: the gateway leaves the cluster out, and that is zero.
            await until(lambda: here.apiserver.scaled[-1].desired_replicas == 0, "zero again", 10)
            assert (await decision(here)).winning_term != pb.DECISION_TERM_NO_DATA


async def test_what_callers_are_told(tmp_path: pathlib.Path) -> None:
    async with world() as here, envoy.replica() as (upstream, finish):
        finish.set()
        here.apiserver.put({"desired_replicas": 0}, {"networking": {"activation_timeout": "0.200s"}, **FAST})
        async with envoy.envoy(tmp_path, autoscaler=here.address, upstream=upstream) as port:
            assert (await envoy.ask(port, "/warm"))[0] == 200
            status, headers, body = await envoy.ask(port, "/cold")
            assert (status, headers["retry-after"], headers["content-type"]) == (503, "5", "application/json")
            told = json.loads(body)
            assert "0.2 s" in told["error"] and told["request_id"]
            _, headers, _ = await envoy.ask(port, "/cold", content_type="application/grpc")
            assert headers["grpc-status"] == "14" and "no%20replica" in headers["grpc-message"].replace(" ", "%20")
