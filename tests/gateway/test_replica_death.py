"""What the caller notices when replicas die: nothing, unless retries are switched off."""

import asyncio
import json
from typing import Any

import pytest

from services.apiserver import model
from tests.gateway import load, replicas
from tests.gateway import rig as rigs


async def test_the_only_replica_dies_under_load_and_returns(rig: rigs.Rig) -> None:
    """Dead for two seconds, on the same port afterwards: as a worker that was killed and restarted by its node."""
    async with replicas.started() as [replica]:
        await rig.publish(_route([replica]))
        async with load.steady(rig, "/text", callers=8) as calls:
            await rigs.until(lambda: calls.sent > 50, "traffic")
            await replica.kill()
            asyncio.get_running_loop().call_later(2.0, lambda: asyncio.ensure_future(replica.start()))
            seen = calls.sent
            await rigs.until(lambda: calls.sent > seen + 50, "traffic after the return")
        assert calls.failures == []


async def test_one_of_two_replicas_dies_and_is_left_alone(rig: rigs.Rig) -> None:
    async with replicas.started(2) as [first, second]:
        await rig.publish(_route([first, second]))
        async with load.steady(rig, "/text") as calls:
            await rigs.until(lambda: len(calls.served) == 2, "both replicas")
            await first.kill()
            seen = calls.sent
            await rigs.until(lambda: calls.sent > seen + 200, "traffic")
        assert calls.failures == [] and calls.served[second.name] > 200
        prefix = "cluster.namespaces/default/apis/text/revisions/r1.outlier_detection"
        assert await rig.stat(f"{prefix}.ejections_enforced_total") >= 1


async def test_a_revision_that_crashes_on_every_request_fails_nobody(rig: rigs.Rig) -> None:
    """Half of the traffic goes to it first; the second try goes to the revision that works, not back to it."""
    async with replicas.started(2) as [good, bad]:

        async def crash(_path: str, _body: bytes) -> replicas.Answer:
            raise ConnectionError

        bad.answer = crash
        await rig.publish(rigs.route("text", {"r1": (50, [good.endpoint]), "r2": (50, [bad.endpoint])}))
        answers = [await rig.ask("/text") for _ in range(60)]
        assert [answer.status for answer in answers] == [200] * 60
        assert 10 < bad.requests <= 60 and good.requests == 60


@pytest.mark.parametrize("retries", [True, False])
async def test_a_revision_that_cannot_be_reached_costs_no_call(rig: rigs.Rig, retries: bool) -> None:
    """Whatever is safe to send again moves to the other revision too, with retries off and over gRPC."""
    async with replicas.started(2, with_grpc=True) as [good, gone]:
        parts = {"r1": (50, [good.endpoint]), "r2": (50, [gone.endpoint])}
        await rig.publish(rigs.route("text", parts, retries=retries))
        await gone.kill()
        assert [(await rig.ask("/text")).status for _ in range(30)] == [200] * 30
        for method in (rigs.BRIDGED, rigs.WHOLE):
            answers = {await rigs.grpc_call(rig, b"hi", [("cortex-api", "text")], method) for _ in range(30)}
            assert answers == {f"{good.name}:hi".encode()}


async def test_a_request_in_flight_is_sent_again_when_its_replica_dies(rig: rigs.Rig) -> None:
    async with replicas.started() as [replica]:
        arrived = asyncio.Event()

        async def hang(_path: str, _body: bytes) -> replicas.Answer:
            arrived.set()
            await asyncio.get_running_loop().create_future()
            raise AssertionError

        replica.answer, echo = hang, replica.answer
        await rig.publish(_route([replica]))
        asked = asyncio.create_task(rig.ask("/text", b"x" * 12_000_000))
        await asyncio.wait_for(arrived.wait(), rigs.WAIT_SECONDS)
        await replica.kill()
        replica.answer = echo
        await replica.start()
        response = await asked
        assert response.status == 200 and json.loads(response.body)["bytes"] == 12_000_000


async def test_with_retries_off_a_request_in_flight_fails_once(rig: rigs.Rig) -> None:
    async with replicas.started() as [replica]:
        arrived = asyncio.Event()

        async def hang(_path: str, _body: bytes) -> replicas.Answer:
            arrived.set()
            await asyncio.get_running_loop().create_future()
            raise AssertionError

        replica.answer = hang
        await rig.publish(_route([replica], retries=False))
        asked = asyncio.create_task(rig.ask("/text"))
        await asyncio.wait_for(arrived.wait(), rigs.WAIT_SECONDS)
        await replica.kill()
        response = await asked
        assert response.status == 503 and response.headers["retry-after"] == "1"
        assert "failed before it answered" in json.loads(response.body)["error"]
        assert replica.requests == 1


@pytest.mark.parametrize(
    ("mark", "retries", "requests", "status"),
    [("worker-died", True, 3, 200), ("worker-died", False, 1, 503), ("not-ready", False, 3, 200)],
)
async def test_the_mark_of_a_dead_worker_is_retried_and_not_shown(
    rig: rigs.Rig, mark: str, retries: bool, requests: int, status: int
) -> None:
    async with replicas.started() as [replica]:
        echo = replica.answer

        async def die_twice(path: str, body: bytes) -> replicas.Answer:
            if replica.requests < 3:
                return 503, {"x-cortex-retry": mark}, b""
            return await echo(path, body)

        replica.answer = die_twice
        await rig.publish(_route([replica], retries=retries))
        response = await rig.ask("/text")
        assert (response.status, replica.requests) == (status, requests)
        assert "x-cortex-retry" not in response.headers


@pytest.mark.parametrize("status", [500, 503])
async def test_an_answer_of_the_users_code_is_never_retried_nor_held_against_the_replica(
    rig: rigs.Rig, status: int
) -> None:
    async with replicas.started(2) as both:
        for replica in both:

            async def fail(_path: str, _body: bytes) -> replicas.Answer:
                return status, {}, b"user's"

            replica.answer = fail
        await rig.publish(_route(both))
        answers = [await rig.ask("/text") for _ in range(40)]
        assert {answer.body for answer in answers} == {b"user's"}
        assert sum(replica.requests for replica in both) == 40
        prefix = "cluster.namespaces/default/apis/text/revisions/r1.outlier_detection"
        assert await rig.stat(f"{prefix}.ejections_enforced_total") == 0


async def test_a_request_ends_at_the_apis_timeout(rig: rigs.Rig) -> None:
    async with replicas.started() as [replica]:

        async def hang(_path: str, _body: bytes) -> replicas.Answer:
            await asyncio.get_running_loop().create_future()
            raise AssertionError

        replica.answer = hang
        await rig.publish(_route([replica], request_timeout=0.2))
        response = await rig.ask("/text")
        assert response.status == 504
        assert "request_timeout" in json.loads(response.body)["error"]


def _route(hosts: list[replicas.Replica], **networking: Any) -> model.Route:
    return rigs.route("text", {"r1": (100, [replica.endpoint for replica in hosts])}, **networking)
