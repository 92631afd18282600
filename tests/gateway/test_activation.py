"""An API at zero: requests wait in the gateway for the first replica, bodies and all."""

import asyncio
import json
import pathlib

import grpc
import pytest

from tests.gateway import checks, replicas
from tests.gateway import rig as rigs

AT_ZERO = rigs.route("text", {"r1": (100, [])}, activate=True)


@pytest.mark.parametrize("method", [rigs.BRIDGED, rigs.WHOLE])
async def test_held_requests_go_to_the_replica_that_came(rig: rigs.Rig, method: str) -> None:
    """Fifty at once, some with bodies far larger than what the gateway keeps in memory."""
    async with checks.serving(rig.check_port) as gate, replicas.started(with_grpc=True) as [replica]:
        await rig.publish(AT_ZERO)
        sizes = [10_000_000, 3_000_000, *range(48)]
        asked = [asyncio.create_task(rig.ask("/text/x", b"x" * size, authorization="secret")) for size in sizes]
        called = asyncio.create_task(rigs.grpc_call(rig, b"hi", [("cortex-api", "text")], method))
        await rigs.until(lambda: gate.waiting == 51, "all requests to be held")
        before = _memory(rig)
        await rig.publish(rigs.route("text", {"r1": (100, [replica.endpoint])}, activate=True))
        gate.allow()
        answers = [json.loads((await one).body) for one in asked]
        assert [answer["bytes"] for answer in answers] == sizes
        assert await called == f"{replica.name}:hi".encode()
        assert set(gate.apis) == {"namespaces/default/apis/text"}
        assert "authorization" not in gate.headers and "x-request-id" in gate.headers
        assert before < 200_000_000


@pytest.mark.parametrize("method", [rigs.BRIDGED, rigs.WHOLE])
async def test_what_is_held_while_its_revision_is_replaced_is_served_by_the_new_one(rig: rigs.Rig, method: str) -> None:
    """The gateway chose the route before the wait, and the revision that it named then is gone after it."""
    async with checks.serving(rig.check_port) as gate, replicas.started(with_grpc=True) as [replica]:
        await rig.publish(rigs.route("text", {"r1": (100, [])}, activate=True, to_zero=True))
        asked = [asyncio.create_task(rig.ask("/text", b"x" * 1000)) for _ in range(5)]
        called = asyncio.create_task(rigs.grpc_call(rig, b"hi", [("cortex-api", "text")], method))
        await rigs.until(lambda: gate.waiting == 6, "all requests to be held")
        await rig.publish(rigs.route("text", {"r2": (100, [])}, activate=True, to_zero=True))
        await rig.publish(rigs.route("text", {"r2": (100, [replica.endpoint])}, to_zero=True))
        gate.allow()
        assert [(await one).status for one in asked] == [200] * 5
        assert await called == f"{replica.name}:hi".encode()
        assert (await rig.ask("/text")).status == 200
        assert rig.gateway.view().in_use == frozenset({replica.name})
        await rig.publish(rigs.route("text", {"r2": (100, [])}, activate=True, to_zero=True))
        assert rig.gateway.view().in_use == frozenset()


async def test_the_hold_is_gone_once_a_replica_is_there(rig: rigs.Rig) -> None:
    async with checks.serving(rig.check_port) as gate, replicas.started() as [replica]:
        await rig.publish(AT_ZERO)
        await rig.publish(rigs.route("text", {"r1": (100, [replica.endpoint])}))
        assert (await rig.ask("/text")).status == 200
        assert gate.apis == []


async def test_endpoints_leave_only_after_the_hold_is_in_front(rig: rigs.Rig) -> None:
    """To zero under load: whoever comes too late for the replica is held, nobody gets an error."""
    async with checks.serving(rig.check_port) as gate, replicas.started() as [replica]:
        warm = rigs.route("text", {"r1": (100, [replica.endpoint])})
        await rig.publish(warm)
        held = []
        for _ in range(10):
            asked = [asyncio.create_task(rig.ask("/text")) for _ in range(20)]
            rig.gateway.publish([AT_ZERO])
            asked += [asyncio.create_task(rig.ask("/text")) for _ in range(20)]
            await rig.settled()
            held += asked
            await rig.publish(warm)
        gate.allow()
        assert [(await one).status for one in held] == [200] * 400


async def test_a_refusal_of_the_autoscaler_reaches_the_caller_unchanged(rig: rigs.Rig) -> None:
    body = json.dumps({"error": "did not start in time", "request_id": "1"})
    async with checks.serving(rig.check_port) as gate:
        await rig.publish(AT_ZERO)
        gate.deny(body)
        response = await rig.ask("/text")
        assert (response.status, response.body.decode()) == (503, body)
        assert response.headers["retry-after"] == "7"
        assert response.headers["content-type"] == "application/json"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rigs.grpc_call(rig, b"hi", [("cortex-api", "text")])
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_without_an_autoscaler_the_answer_says_so(rig: rigs.Rig) -> None:
    await rig.publish(AT_ZERO)
    response = await rig.ask("/text")
    assert response.status == 503 and response.headers["retry-after"] == "1"
    assert "scaled to zero" in json.loads(response.body)["error"]


async def test_an_autoscaler_that_hangs_is_given_up(rig: rigs.Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.apiserver.xds.activation._MARGIN_SECONDS", 0.1)
    async with checks.serving(rig.check_port):
        await rig.publish(rigs.route("text", {"r1": (100, [])}, activate=True, activation_timeout=0.2))
        response = await rig.ask("/text")
        assert response.status == 503 and "scaled to zero" in json.loads(response.body)["error"]


def _memory(rig: rigs.Rig) -> int:
    """Resident bytes of the gateway."""
    pages = pathlib.Path(f"/proc/{rig.envoy_pid}/statm").read_text().split()[1]
    return int(pages) * 4096
