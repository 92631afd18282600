"""One decision at a time: what is seen, what is done."""

import dataclasses

import pytest

from services.apiserver import actions, model, observation
from tests.fakes import records
from tests.fakes.observed import decide, disconnected, effects, seen

NOW = records.NOW
UNREADY, STARTING = model.ReplicaState.UNREADY, model.ReplicaState.STARTING


def kinds(view: observation.Observation) -> list[str]:
    return [type(action).__name__ for action in decide(view).actions if not isinstance(action, actions.RecordEvent)]


def test_a_first_deployment_gets_a_rollout_a_held_route_and_its_replicas() -> None:
    view = seen(records.api(desired=2), published=None, routed=[])
    plan = decide(dataclasses.replace(view, published=None))
    assert effects(plan)[:2] == [
        f"record {records.NAME}: roll out r1",
        "route /iris: 100% to r1 (0 replicas), requests wait for a replica",
    ]
    starts = [a for a in plan.actions if isinstance(a, actions.StartReplica)]
    assert len(starts) == 2 and all(a.replica.startswith("iris-r1-") for a in starts)


def test_a_settled_api_is_left_alone() -> None:
    plan = decide(seen(records.serving(desired=2), [records.replica("a"), records.replica("b")]))
    assert plan.actions == () and plan.requeue is None
    assert plan.status is not None and not plan.status.reconciling


@pytest.mark.parametrize("age", [None, 11.0])
def test_what_is_unknown_or_stale_destroys_nothing(age: float | None) -> None:
    """The user scaled down, deployed and the replicas look gone: no stop, no start, no shrunken route."""
    for api in (records.rolling(desired=1), records.serving(desired=0), records.serving(desired=5)):
        route = seen(api, [records.replica("a"), records.replica("b")]).published
        replicas = None if age is None else ()
        view = seen(api, replicas, published=route, observe_time=None if age is None else NOW - age)
        plan = decide(view)
        assert plan.actions == ()
        assert plan.status is not None and not plan.synced
        ready = plan.status.conditions[0]
        assert (ready.status, ready.reason) == (model.Truth.UNKNOWN, model.Reason.NODE_UNREACHABLE)


def test_a_new_api_is_held_not_missing_while_the_node_is_silent() -> None:
    view = dataclasses.replace(seen(records.api(), None), published=None)
    assert effects(decide(view)) == ["route /iris: 100% to r1 (0 replicas), requests wait for a replica"]
    assert decide(dataclasses.replace(view, gateway_open=False)).actions == ()


def test_replicas_of_unknown_state_keep_their_place_and_are_never_chosen() -> None:
    unsure = records.replica("a", state=model.ReplicaState.UNKNOWN)
    view = seen(records.serving(desired=0), [unsure], routed=["a"])
    assert kinds(view) == []


def test_scale_down_leaves_the_route_first_and_stops_after_the_acknowledgement() -> None:
    api = records.serving(desired=1)
    old, young = records.replica("a", age=60), records.replica("b", age=30)
    view = seen(api, [old, young])
    assert effects(decide(view)) == ["route /iris: 100% to r1 (1 replicas)"]
    assert effects(decide(seen(api, [old, young], routed=["a"]))) == ["stop replica b of r1, draining for at most 60 s"]
    waiting = dataclasses.replace(view, published=seen(api, [old, young], routed=["a"]).published)
    assert effects(decide(waiting)) == []


def test_scale_down_prefers_what_is_not_ready_over_what_is_young() -> None:
    replicas = [records.replica("a", age=60, state=UNREADY), records.replica("b", age=30)]
    assert effects(decide(seen(records.serving(desired=1), replicas, routed=["b"])))[0].startswith("stop replica a")


def test_to_zero_the_hold_is_in_place_before_the_last_replica_goes() -> None:
    api = records.serving(desired=0)
    hold = "route /iris: 100% to r1 (0 replicas), requests wait for a replica"
    assert effects(decide(seen(api, [records.replica("a")]))) == [hold]
    assert effects(decide(seen(api, [records.replica("a")], routed=[]))) == [
        "stop replica a of r1, draining for at most 60 s"
    ]


def test_from_zero_a_ready_replica_ends_the_hold() -> None:
    api = records.serving(desired=1)
    assert kinds(seen(api, [], routed=[])) == ["StartReplica"]
    assert effects(decide(seen(api, [records.replica("a")], routed=[]))) == ["route /iris: 100% to r1 (1 replicas)"]


def test_a_crashed_replica_leaves_the_route_while_others_answer() -> None:
    view = seen(records.serving(desired=2), [records.replica("a"), records.replica("b")])
    down = (records.replica("a"), records.replica("b", state=model.ReplicaState.BACKING_OFF))
    assert effects(decide(dataclasses.replace(view, replicas=down))) == ["route /iris: 100% to r1 (1 replicas)"]


def test_the_only_replica_keeps_its_place_while_it_restarts_and_requests_wait() -> None:
    view = seen(records.serving(), [records.replica("a")])
    back = records.replica("a", state=model.ReplicaState.BACKING_OFF)
    plan = decide(dataclasses.replace(view, replicas=(back,)))
    assert effects(plan) == ["route /iris: 100% to r1 (1 replicas), requests wait for a replica"]


def test_lost_replicas_are_replaced() -> None:
    assert kinds(seen(records.serving(desired=2), [], routed=[])) == ["StartReplica", "StartReplica"]


def test_desired_replicas_are_clamped_again() -> None:
    api = records.serving(desired=9, max_replicas=2)
    assert kinds(seen(api, [], routed=[])) == ["StartReplica", "StartReplica"]


def test_deletion_withdraws_waits_stops_waits_and_removes() -> None:
    api = records.serving(delete_time=NOW)
    replica = records.replica("a")
    view = seen(api, [replica])
    assert effects(decide(view)) == [f"withdraw the route of {records.NAME}"]
    withdrawn = dataclasses.replace(view, published=None)
    assert effects(decide(withdrawn)) == []
    acked = dataclasses.replace(withdrawn, gateway=model.GatewayView(True, {}, frozenset(), {}, NOW))
    assert effects(decide(acked)) == ["stop replica a of r1, draining for at most 60 s"]
    draining = dataclasses.replace(replica, state=model.ReplicaState.DRAINING)
    assert effects(decide(dataclasses.replace(acked, replicas=(draining,)))) == []
    assert effects(decide(dataclasses.replace(acked, replicas=()))) == [f"remove the record of {records.NAME}"]


def test_orphans_are_stopped_once_no_gateway_can_reach_them() -> None:
    view = seen(None, [records.replica("a")], routed=[])
    assert effects(decide(view)) == ["stop replica a of r1, draining for at most 60 s"]
    assert effects(decide(dataclasses.replace(view, gateway_open=False))) == []
    assert effects(decide(dataclasses.replace(view, observe_time=NOW - 11))) == []


@pytest.mark.parametrize(("seconds", "stops"), [(59.0, 0), (61.0, 1)])
def test_without_a_gateway_a_stop_waits_a_minute_and_says_so(seconds: float, stops: int) -> None:
    view = disconnected(seen(records.serving(desired=0), [records.replica("a")], routed=[]), for_seconds=seconds)
    plan = decide(view)
    assert sum(isinstance(action, actions.StopReplica) for action in plan.actions) == stops
    warned = [
        a.event.type for a in plan.actions if isinstance(a, actions.RecordEvent) and a.event.type == "GatewayAbsent"
    ]
    assert len(warned) == stops
    if not stops:
        assert plan.requeue == pytest.approx(1.01)


def test_nothing_is_stopped_while_it_is_unknown_what_the_gateway_uses() -> None:
    view = seen(records.serving(desired=0), [records.replica("a")], routed=[])
    unknown = dataclasses.replace(view, gateway=dataclasses.replace(view.gateway, in_use=None))
    assert effects(decide(unknown)) == []


def test_the_same_observation_gives_the_same_plan() -> None:
    view = seen(records.rolling(desired=4), [records.replica(n) for n in "abcd"])
    assert decide(view) == decide(view)
    assert decide(view, seed=2).actions != decide(view).actions
