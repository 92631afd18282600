"""Requests held for the first replica, over real gRPC."""

import asyncio
import json
import time
from typing import Any

import grpc

from tests.autoscaler.world import NAME, Json, World, until, world

ZERO = {"autoscaling": {"min_replicas": 0, "max_replicas": 4, "max_replica_concurrency": 60}}
READY = {"desired_replicas": 1, "ready_replicas": 1, "routable_replicas": 1}
BROKEN = {
    "type": "RevisionReady",
    "status": "CONDITION_STATUS_FALSE",
    "reason": "CONDITION_REASON_CONSTRUCTOR_FAILED",
    "message": "ValueError: no such model",
}


def refused(answer: Any) -> tuple[int, dict[str, str], str]:
    denied = answer.denied_response
    return denied.status.code, {h.header.key: h.header.value for h in denied.headers}, denied.body


async def at_zero(here: World, spec: Json = ZERO) -> None:
    here.apiserver.put({"desired_replicas": 0}, spec)
    await until(lambda: here.apiserver.watchers == 1, "the watch")
    await until(lambda: known(here), "the API to be known")


async def known(here: World) -> bool:
    try:
        await here.held()
    except grpc.aio.AioRpcError:
        return False
    return True


async def test_fifty_at_once_wake_the_api_once_and_all_pass() -> None:
    async with world() as here:
        await at_zero(here)
        calls = [here.check() for _ in range(50)]
        waiting = [asyncio.ensure_future(_answer(call)) for call in calls]
        await until(lambda: here.apiserver.scaled, "a wake-up")
        await until(lambda: _holds(here, 50), "fifty held")
        assert not any(task.done() for task in waiting)
        here.apiserver.put(READY)
        answers = await asyncio.wait_for(asyncio.gather(*waiting), 5)
        assert [answer.status.code for answer in answers] == [0] * 50
        assert len(here.apiserver.scaled) == 1
        first = here.apiserver.scaled[0]
        assert first.actor == "autoscaler" and 1 <= first.desired_replicas <= 4 and "held" in first.reason
        await until(lambda: _holds(here, 0), "every slot free")


async def test_a_routable_api_passes_at_once() -> None:
    async with world() as here:
        here.apiserver.put(READY, ZERO)
        await until(lambda: known(here), "the API to be known")
        answer = await here.check(timeout=1.0)
        assert answer.status.code == 0 and not here.apiserver.scaled


async def test_the_budget_ends_in_503_that_says_what_to_do() -> None:
    async with world() as here:
        await at_zero(here, {"networking": {"activation_timeout": "0.300s"}, **ZERO})
        began = time.monotonic()
        status, headers, body = refused(await here.check(headers={"x-request-id": "abc"}))
        assert 0.25 < time.monotonic() - began < 1.0
        assert status == 503 and int(headers["retry-after"]) >= 1 and headers["content-type"] == "application/json"
        told = json.loads(body)
        assert told["request_id"] == "abc" and NAME in told["error"] and "0.3 s" in told["error"]


async def test_the_callers_own_deadline_is_honoured() -> None:
    async with world() as here:
        await at_zero(here)
        for headers in ({"grpc-timeout": "200m"}, {"x-request-timeout-ms": "200"}):
            began = time.monotonic()
            assert refused(await here.check(headers=headers))[0] == 503
            assert time.monotonic() - began < 1.0
        # The gateway's own patience counts too, and the answer comes before it ends.
        assert refused(await here.check(timeout=0.5))[0] == 503


async def test_grpc_calls_get_words_not_json() -> None:
    async with world() as here:
        await at_zero(here, {"networking": {"activation_timeout": "0.050s"}, **ZERO})
        answer = await here.check(headers={"content-type": "application/grpc+proto"})
        status, headers, body = refused(answer)
        assert (status, answer.status.code) == (503, 14)
        assert body.startswith(NAME) and "content-type" not in headers and "retry-after" in headers


async def test_what_cannot_start_is_refused_quickly_with_the_reason() -> None:
    async with world() as here:
        await at_zero(here)
        waiting = asyncio.ensure_future(_answer(here.check()))
        await until(lambda: here.apiserver.scaled, "a wake-up")
        began = time.monotonic()
        here.apiserver.put({"conditions": [BROKEN]})
        status, _, body = refused(await asyncio.wait_for(waiting, 2))
        assert status == 503 and "CONSTRUCTOR_FAILED" in body and "cortex describe" in body
        # The traceback is the owner's to read, not the caller's.
        assert "no such model" not in body
        assert refused(await here.check())[0] == 503
        assert time.monotonic() - began < 1.0


async def test_a_rollout_given_up_is_not_tried_again() -> None:
    failed = {"state": "ROLLOUT_STATE_FAILED", "to_revision": "r1", "message": "ImportError: torch"}
    async with world() as here:
        await at_zero(here)
        here.apiserver.put({"desired_replicas": 0, "rollout": failed})
        await until(lambda: _refused_at_once(here), "a quick refusal")
        assert not [call for call in here.apiserver.scaled if call.desired_replicas == 0]


async def test_a_client_that_goes_away_frees_its_slot() -> None:
    async with world() as here:
        await at_zero(here)
        call = here.check()
        waiting = asyncio.ensure_future(_answer(call))
        await until(lambda: _holds(here, 1), "one held")
        call.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await until(lambda: _holds(here, 0), "the slot free")


async def test_more_than_one_replica_could_take_is_refused_at_once() -> None:
    small = {"autoscaling": {"min_replicas": 0, "max_replica_concurrency": 2}}
    async with world() as here:
        await at_zero(here, small)
        waiting = [asyncio.ensure_future(_answer(here.check())) for _ in range(2)]
        await until(lambda: _holds(here, 2), "two held")
        status, headers, body = refused(await asyncio.wait_for(here.check(), 1))
        assert (status, headers["retry-after"]) == (503, "1") and "2 requests wait" in body
        here.apiserver.put(READY)
        assert [answer.status.code for answer in await asyncio.gather(*waiting)] == [0, 0]


async def test_a_failed_wake_up_is_tried_again() -> None:
    async with world() as here:
        here.apiserver.refusals, here.apiserver.starts = 2, True
        await at_zero(here)
        assert (await here.check(timeout=5.0)).status.code == 0
        assert len(here.apiserver.scaled) == 1


async def test_an_unknown_api_is_waited_for_a_little() -> None:
    async with world() as here:
        await at_zero(here)
        other = "namespaces/default/apis/new"
        waiting = asyncio.ensure_future(_answer(here.check(other)))
        here.apiserver.starts = True
        here.apiserver.put({"desired_replicas": 0}, ZERO, name=other)
        assert (await asyncio.wait_for(waiting, 3)).status.code == 0
        refusal = refused(await here.check("namespaces/default/apis/never", headers={"x-request-timeout-ms": "100"}))
        assert refusal[0] == 503 and "not known" in refusal[2]


async def test_an_api_that_is_removed_lets_its_waiters_go() -> None:
    async with world() as here:
        await at_zero(here)
        waiting = asyncio.ensure_future(_answer(here.check()))
        await until(lambda: _holds(here, 1), "one held")
        api = here.apiserver.apis[NAME]
        api.delete_time.GetCurrentTime()
        here.apiserver.publish(api)
        assert "being removed" in refused(await asyncio.wait_for(waiting, 2))[2]


async def _answer(call: Any) -> Any:
    return await call


async def _holds(here: World, count: int) -> bool:
    return await here.held() == count


async def _refused_at_once(here: World) -> bool:
    answer = await here.check(headers={"x-request-timeout-ms": "200"})
    return "cannot start" in refused(answer)[2]
