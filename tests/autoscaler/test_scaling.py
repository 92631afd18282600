"""Load reports in, ScaleApi out, decisions to read, over real gRPC; and the apiserver dying in between."""

from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from cortex.autoscaler.v1 import autoscaler_service_pb2 as pb
from tests.autoscaler.world import NAME, World, until, world

FAST = {
    "autoscaling": {
        "min_replicas": 1,
        "max_replicas": 5,
        "target_in_flight": 2,
        "window": "1s",
        "upscale_stabilization_period": "0s",
        "downscale_stabilization_period": "0s",
        "max_upscale_factor": 10,
        "max_downscale_factor": 0,
    }
}
ONE = {"desired_replicas": 1, "ready_replicas": 1, "routable_replicas": 1}


def desired(here: World) -> int:
    return here.apiserver.apis[NAME].status.desired_replicas


async def test_replicas_follow_the_load_of_all_revisions_and_explain_themselves() -> None:
    load = {f"{NAME}/revisions/r1": 4, f"{NAME}/revisions/r2#grpc": 4, "apiserver": 2}
    async with world() as here:
        here.apiserver.starts = True
        here.apiserver.put(ONE, FAST)
        async with here.gateway(lambda: load):
            await until(lambda: desired(here) == 4, "four replicas")
            decision = await here.decisions.GetDecision(pb.GetDecisionRequest(name=NAME))
            assert (decision.in_flight, decision.target_in_flight, decision.policy) == (8, 2.0, "ancestor")
            assert decision.steps[0].term == pb.DECISION_TERM_LOAD and decision.explanation
            load.clear()
            await until(lambda: desired(here) == 1, "one replica")
        up, *_, down = here.apiserver.scaled
        assert up.actor == down.actor == "autoscaler"
        assert "1 -> " in up.reason and "requests in flight on average over 1 s" in up.reason
        pages = await _all_pages(here, page_size=1)
        assert len(pages) >= 3 and [p.time.ToNanoseconds() for p in pages] == sorted(
            (p.time.ToNanoseconds() for p in pages), reverse=True
        )


async def _all_pages(here: World, page_size: int) -> list[pb.Decision]:
    found: list[pb.Decision] = []
    token = ""
    while True:
        request = pb.ListDecisionsRequest(parent=NAME, page_size=page_size, page_token=token)
        answer = await here.decisions.ListDecisions(request)
        found.extend(answer.decisions)
        token = answer.next_page_token
        if not token:
            return found


async def test_without_a_report_nothing_is_decided() -> None:
    async with world() as here:
        here.apiserver.put({"desired_replicas": 4, "ready_replicas": 4, "routable_replicas": 4}, FAST)
        await until(lambda: _decided(here, pb.DECISION_TERM_NO_DATA), "a blind decision")
        decision = await here.decisions.GetDecision(pb.GetDecisionRequest(name=NAME))
        assert "no gateway has reported" in decision.explanation and decision.desired_replicas == 4
        # An idle gateway reports nothing for this API, and that is zero in flight.
        async with here.gateway(dict):
            await until(lambda: desired(here) == 1, "one replica")


async def _decided(here: World, term: int) -> bool:
    try:
        decision = await here.decisions.GetDecision(pb.GetDecisionRequest(name=NAME))
    except grpc.aio.AioRpcError:
        return False
    return int(decision.winning_term) == term


async def test_the_apiserver_goes_and_comes_back_with_another_state() -> None:
    async with world() as here:
        here.apiserver.starts = True
        other = "namespaces/default/apis/other"
        here.apiserver.put(ONE, FAST)
        here.apiserver.put(ONE, FAST, name=other)
        await until(lambda: _decided(here, pb.DECISION_TERM_NO_DATA), "the first decision")
        await here.stop_apiserver()
        del here.apiserver.apis[other]
        async with here.gateway(lambda: {f"{NAME}/revisions/r1": 6}):
            await until(lambda: _decided(here, pb.DECISION_TERM_LOAD), "a decision while it is away")
            await here.start_apiserver()
            await until(lambda: desired(here) == 3, "three replicas")
        # Removed while nobody could tell us.
        await until(lambda: _not_found(here, other), "the other API to be forgotten")


async def test_a_deleted_api_is_forgotten_and_errors_carry_reasons() -> None:
    async with world() as here:
        here.apiserver.put(ONE, FAST)
        await until(lambda: _decided(here, pb.DECISION_TERM_NO_DATA), "the first decision")
        here.apiserver.delete(NAME)
        await until(lambda: _not_found(here, NAME), "the API to be gone")
        assert await _reason(here, NAME) == "ERROR_REASON_NOT_FOUND"
        assert await _reason(here, "iris") == "ERROR_REASON_INVALID_NAME"


async def _not_found(here: World, name: str) -> bool:
    return await _reason(here, name) == "ERROR_REASON_NOT_FOUND"


async def _reason(here: World, name: str) -> str:
    try:
        await here.decisions.GetDecision(pb.GetDecisionRequest(name=name))
    except grpc.aio.AioRpcError as error:
        return str(_info(rpc_status.from_call(error)).reason)  # type: ignore[arg-type]  # it is a Call
    return ""


def _info(status: Any) -> error_details_pb2.ErrorInfo:
    info = error_details_pb2.ErrorInfo()
    status.details[0].Unpack(info)
    return info
