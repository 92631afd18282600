"""The steps of a rolling update, its failures and its way back."""

import dataclasses

import pytest

from services.apiserver import actions, model, observation, planner, rollout
from tests.fakes import records
from tests.fakes.observed import decide, effects, seen
from tests.fakes.records import replica

NOW = records.NOW
BAKED = NOW + rollout.BAKE_SECONDS


def record(plan: planner.Plan) -> model.Api | None:
    found = [action.api for action in plan.actions if isinstance(action, actions.UpdateRecord)]
    return found[0] if found else None


def rolled(*, routed: list[str], ready: float = NOW, now: float = BAKED, **parts: object) -> planner.Plan:
    """One old replica `a`, one new `b`, the gateway holding `routed`."""
    api = records.rolling(**parts)  # type: ignore[arg-type]
    going = dataclasses.replace(api.rollout, ready_high_water=1) if api.rollout else None
    new = replica("b", "r2", age=5, ready_time=ready)
    return decide(
        seen(dataclasses.replace(api, rollout=going), [replica("a"), new], routed=routed, observe_time=now), now
    )


def test_one_more_is_started_before_the_only_one_leaves() -> None:
    plan = decide(seen(records.rolling(), [replica("a")]))
    assert [type(a) for a in plan.actions if not isinstance(a, actions.RecordEvent)] == [actions.StartReplica]


def test_the_new_one_enters_the_route_when_ready_and_the_old_one_stays() -> None:
    assert "route /iris: 50% to r1 (1 replicas), 50% to r2 (1 replicas)" in effects(rolled(routed=["a"]))


def test_the_old_one_stays_until_the_gateway_has_taken_the_new_one_in() -> None:
    acked = [line for line in effects(rolled(routed=["a"])) if "100%" in line]
    assert acked == []


def test_the_old_one_stays_until_the_new_one_has_proven_itself() -> None:
    plan = rolled(routed=["a", "b"], now=BAKED - 0.5)
    assert effects(plan) == [] and plan.requeue == pytest.approx(0.5)
    assert effects(rolled(routed=["a", "b"])) == ["route /iris: 100% to r2 (1 replicas)"]


def test_the_rollout_is_over_when_the_old_one_is_out_of_every_gateway() -> None:
    plan = rolled(routed=["b"])
    api = record(plan)
    assert api is not None and api.rollout is not None
    assert (api.serving_revision, api.rollout.state) == ("r2", model.RolloutState.SUCCEEDED)
    assert effects(plan) == [
        f"record {records.NAME}: r2 serves all traffic",
        "revision r1 becomes RETIRED",
        "revision r2 becomes SERVING (OK)",
        "stop replica a of r1, draining for at most 60 s",
    ]


def test_progress_is_written_down_and_starts_the_proof() -> None:
    view = seen(records.rolling(since=NOW - 100), [replica("a"), replica("b", "r2", age=50)])
    api = record(decide(view))
    assert api is not None and api.rollout is not None
    assert (api.rollout.ready_high_water, api.rollout.progress_time) == (1, NOW)


def test_ten_replicas_move_within_the_bounds_of_kubernetes() -> None:
    olds = [replica(f"a{n}") for n in range(10)]
    plan = decide(seen(records.rolling(desired=10), olds))
    # 25 % of 10: three more at once, two fewer at once.
    assert sum(isinstance(a, actions.StartReplica) for a in plan.actions) == 3
    assert "route /iris: 100% to r1 (8 replicas)" in effects(plan)


def test_in_place_when_no_surge_is_allowed() -> None:
    api = records.rolling(max_surge="0", max_unavailable="1")
    assert effects(decide(seen(api, [replica("a")])))[0].startswith(
        "route /iris: 100% to r2 (0 replicas), requests wait"
    )
    plan = effects(decide(seen(api, [replica("a")], routed=[])))
    assert [line.split()[0] for line in plan] == ["stop", "start"]


def test_a_redeploy_in_the_middle_drains_both_older_ones_and_keeps_one_answering() -> None:
    api = records.rolling("r3")
    view = seen(api, [replica("a"), replica("b", "r2", age=5)])
    # The half-rolled r2 leaves first; r1 has proven that it can serve.
    assert effects(decide(view)) == ["revision r2 becomes SUPERSEDED", "route /iris: 100% to r1 (1 replicas)"]
    started = effects(decide(seen(api, [replica("a"), replica("b", "r2", age=5)], routed=["a"])))
    assert [line.split()[0] for line in started] == ["revision", "stop", "start"]


def test_a_target_that_nobody_made_a_rollout_for_gets_one() -> None:
    plan = decide(seen(dataclasses.replace(records.rolling("r2"), target_revision="r3"), [replica("a")]))
    api = record(plan)
    assert api is not None and api.rollout is not None
    assert (api.rollout.from_revision, api.rollout.to_revision) == ("r1", "r3")


@pytest.mark.parametrize(
    "reason",
    [
        model.Reason.IMPORT_FAILED,
        model.Reason.INVALID_PREDICTOR,
        model.Reason.CONSTRUCTOR_FAILED,
        model.Reason.ENVIRONMENT_FAILED,
    ],
)
def test_code_that_cannot_load_ends_the_rollout_at_the_first_failure(reason: model.Reason) -> None:
    broken = replica("b", "r2", age=2, state=model.ReplicaState.BACKING_OFF, last_failure=records.failed(reason))
    plan = decide(seen(records.rolling(since=NOW - 5), [replica("a"), broken]))
    api = record(plan)
    assert api is not None and api.rollout is not None
    assert (api.target_revision, api.rollout.state, api.rollout.reason) == ("r1", model.RolloutState.FAILED, reason)
    assert "Traceback: boom" in api.rollout.message and "r1 keeps serving" in api.rollout.message
    assert effects(plan)[-1] == "stop replica b of r2, draining for at most 60 s"
    assert next(a.event.type for a in plan.actions if isinstance(a, actions.RecordEvent)) == "RolloutFailed"


def test_a_failure_that_is_over_fails_nothing() -> None:
    healed = replica("b", "r2", age=5, ready_time=NOW, last_failure=records.failed(model.Reason.IMPORT_FAILED))
    api = record(decide(seen(records.rolling(since=NOW - 5), [replica("a"), healed])))
    assert api is not None and api.rollout is not None and api.rollout.state is model.RolloutState.IN_PROGRESS


@pytest.mark.parametrize(("crashes", "state"), [(1, None), (2, model.RolloutState.FAILED)])
def test_the_second_crash_under_traffic_condemns(crashes: int, state: model.RolloutState | None) -> None:
    failure = records.failed(model.Reason.EXITED)
    fallen = replica("b", "r2", age=5, state=model.ReplicaState.UNREADY, ready_time=NOW - 3, last_failure=failure)
    view = seen(records.rolling(since=NOW - 5), [replica("a"), fallen], routed=["a"], crashes={"b": crashes})
    plan = decide(view)
    api = record(plan)
    assert (api.rollout.state if api and api.rollout else None) == state
    if api is not None and api.rollout is not None:
        assert api.rollout.reason is model.Reason.REVISION_UNHEALTHY


def test_a_condemned_replica_that_is_ready_again_gets_no_more_traffic() -> None:
    again = replica("b", "r2", age=5, ready_time=NOW, restart_count=2, last_failure=records.failed(model.Reason.EXITED))
    lines = effects(decide(seen(records.rolling(since=NOW - 5), [replica("a"), again])))
    assert "route /iris: 100% to r1 (1 replicas)" in lines


def test_after_a_crash_the_proof_takes_longer() -> None:
    api = records.rolling(since=NOW - 30)
    once = replica("b", "r2", ready_time=NOW - 5)
    waits = rollout.baked_at(api, once, shaken=True) - rollout.baked_at(api, once, shaken=False)
    assert waits == rollout.BAKE_AFTER_CRASH_SECONDS - rollout.BAKE_SECONDS


def test_the_crash_of_one_casts_doubt_on_all_that_run_the_same() -> None:
    api = records.rolling(since=NOW - 10, desired=2)
    going = dataclasses.replace(api.rollout, ready_high_water=2) if api.rollout else None
    news = [replica(name, "r2", age=5, ready_time=NOW - 5) for name in ("c", "d")]
    olds = [replica("a"), replica("b")]
    api = dataclasses.replace(api, rollout=dataclasses.replace(going, progress_time=NOW - 5) if going else None)
    calm = decide(seen(api, [*olds, *news]))
    assert "route /iris: 100% to r2 (2 replicas)" in effects(calm)
    failure = records.failed(model.Reason.EXITED)
    fallen = dataclasses.replace(news[1], state=model.ReplicaState.BACKING_OFF, restart_count=1, last_failure=failure)
    doubted = decide(seen(api, [*olds, news[0], fallen], routed=["a", "b", "c"]))
    assert not [line for line in effects(doubted) if line.startswith("route")]


def test_a_first_deployment_is_over_as_soon_as_it_is_routed() -> None:
    going = model.Rollout(model.RolloutState.IN_PROGRESS, "", "r1", NOW - 5, NOW, ready_high_water=1)
    api = records.api(rollout=going)
    ready = replica("a", age=5, ready_time=NOW)
    done = record(decide(seen(api, [ready])))
    assert done is not None and done.serving_revision == "r1"
    fallen = dataclasses.replace(ready, restart_count=1)
    assert record(decide(seen(api, [fallen]))) is None


@pytest.mark.parametrize(("waited", "fails"), [(599.0, False), (601.0, True)])
def test_a_revision_that_never_gets_ready_is_given_up(waited: float, fails: bool) -> None:
    slow = replica("b", "r2", state=model.ReplicaState.STARTING, message="loading weights")
    api = record(decide(seen(records.rolling(since=NOW - waited), [replica("a"), slow])))
    assert (api is not None) == fails
    if api is not None and api.rollout is not None:
        assert api.rollout.reason is model.Reason.PROGRESS_DEADLINE_EXCEEDED
        assert "loading weights" in api.rollout.message


def test_after_a_failure_the_old_revision_gets_its_full_count_back() -> None:
    state = model.RolloutState.FAILED
    over = model.Rollout(state, "r1", "r2", NOW - 9, NOW - 9, NOW, model.Reason.REVISION_UNHEALTHY, "boom")
    api = records.api(desired=4, target="r1", serving="r1", rollout=over)
    replicas = [replica("a"), replica("b"), replica("c"), replica("x", "r2", age=5), replica("y", "r2", age=5)]
    lines = effects(decide(seen(api, replicas)))
    assert "route /iris: 100% to r1 (3 replicas)" in lines
    lines = effects(decide(seen(api, replicas, routed=["a", "b", "c"])))
    assert [line.split()[0] for line in lines] == ["revision", "stop", "stop", "start"]


def test_a_first_deployment_that_failed_keeps_its_replica_and_heals() -> None:
    over = model.Rollout(model.RolloutState.FAILED, "", "r1", NOW - 9, NOW - 9, NOW, model.Reason.IMPORT_FAILED, "boom")
    api = records.api(rollout=over)
    down = replica("a", state=model.ReplicaState.BACKING_OFF, last_failure=records.failed(model.Reason.IMPORT_FAILED))
    assert not [line for line in effects(decide(seen(api, [down], routed=[]))) if line.startswith(("stop", "start"))]
    healed = record(decide(seen(api, [replica("a")])))
    assert healed is not None and healed.rollout is not None
    assert (healed.serving_revision, healed.rollout.state) == ("r1", model.RolloutState.SUCCEEDED)


def test_a_rollout_at_zero_proves_one_replica_and_wakes_no_old_one() -> None:
    plan = decide(seen(records.rolling(desired=0), [], routed=[]))
    assert [a.revision for a in plan.actions if isinstance(a, actions.StartReplica)] == ["r2"]


def test_capacity_lost_in_a_rollout_comes_back_as_the_old_revision() -> None:
    starting = replica("b", "r2", age=1, state=model.ReplicaState.STARTING)
    plan = decide(seen(records.rolling(), [starting], routed=[]))
    assert [a.revision for a in plan.actions if isinstance(a, actions.StartReplica)] == ["r1"]


def test_going_back_to_what_serves_supersedes_the_rollout() -> None:
    api = dataclasses.replace(records.rolling("r2"), target_revision="r1")
    plan = decide(seen(api, [replica("a"), replica("b", "r2", age=5)], routed=["a"]))
    ended = record(plan)
    assert ended is not None and ended.rollout is not None
    assert ended.rollout.state is model.RolloutState.SUPERSEDED
    assert "stop replica b of r2, draining for at most 60 s" in effects(plan)


def test_a_failed_revision_that_is_wanted_again_is_tried_again() -> None:
    over = model.Rollout(
        model.RolloutState.FAILED, "r1", "r2", NOW - 9, NOW - 9, NOW, model.Reason.IMPORT_FAILED, "boom"
    )
    api = records.api(target="r2", serving="r1", rollout=over)
    begun = record(decide(seen(api, [replica("a")])))
    assert begun is not None and begun.rollout is not None
    assert begun.rollout.state is model.RolloutState.IN_PROGRESS


def test_ready_needs_an_address() -> None:
    assert not observation.ready(replica("a", http_address=""))
