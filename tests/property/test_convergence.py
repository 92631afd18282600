"""Whatever the planner is shown, its plans are safe; and carried out faithfully, they come to an end."""

import dataclasses
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from services.apiserver import actions, model, observation, planner, quantities, rollout, traffic
from tests.fakes import records
from tests.fakes.observed import seen

NOW = records.NOW
REVISIONS = ("r1", "r2", "r3")
REASONS = (model.Reason.IMPORT_FAILED, model.Reason.EXITED, model.Reason.CRASH_LOOP, model.Reason.BUNDLE_FAILED)


@st.composite
def replicas(draw: st.DrawFn) -> tuple[model.Replica, ...]:
    found = []
    for number in range(draw(st.integers(0, 7))):
        age = draw(st.floats(0, 100))
        failed = draw(st.sampled_from((None, *REASONS)))
        found.append(
            records.replica(
                f"a{number}",
                draw(st.sampled_from(REVISIONS)),
                age=age,
                state=draw(st.sampled_from(model.ReplicaState)),
                ready_time=draw(st.sampled_from((None, NOW - age, NOW))),
                restart_count=draw(st.integers(0, 4)),
                last_failure=records.failed(failed, NOW - draw(st.floats(0, 50))) if failed else None,
            )
        )
    return tuple(found)


@st.composite
def apis(draw: st.DrawFn) -> model.Api:
    target, serving = draw(st.sampled_from(REVISIONS)), draw(st.sampled_from(("", *REVISIONS)))
    started = NOW - draw(st.floats(0, 700))
    going = None
    if draw(st.booleans()):
        state = draw(st.sampled_from(model.RolloutState))
        going = model.Rollout(state, serving, draw(st.sampled_from(REVISIONS)), started, started)
    surge, unavailable = draw(st.sampled_from((("25%", "25%"), ("0", "1"), ("1", "0"), ("100%", "100%"), ("0", "0"))))
    return records.api(
        target=target,
        serving=serving,
        desired=draw(st.integers(0, 6)),
        rollout=going,
        max_surge=surge,
        max_unavailable=unavailable,
        max_replicas=5,
        delete_time=draw(st.sampled_from((None, None, None, NOW))),
    )


@st.composite
def observations(draw: st.DrawFn) -> observation.Observation:
    """Anything a reconciler might be shown, sense or nonsense."""
    api, known = draw(st.none() | apis()), draw(st.none() | replicas())
    ids = [replica.id for replica in known or ()]
    used = draw(st.none() | st.sets(st.sampled_from(ids)) if ids else st.none() | st.just(set()))
    connected = draw(st.booleans())
    routed = draw(st.sets(st.sampled_from(ids))) if ids else set()
    view = seen(api, known, routed=sorted(routed))
    acked = view.gateway.acked if draw(st.booleans()) else {}
    in_use = frozenset(used) if connected and used is not None else None
    return dataclasses.replace(
        view,
        gateway=model.GatewayView(connected, acked, in_use, {}, NOW),
        gateway_open=draw(st.booleans()),
        gateway_silent_since=NOW - draw(st.sampled_from((1.0, 100.0))),
        observe_time=None if known is None else NOW - draw(st.sampled_from((0.0, 9.0, 11.0))),
        published=view.published if draw(st.booleans()) else None,
        crashes={identity: draw(st.integers(0, 3)) for identity in ids},
    )


@settings(max_examples=300)
@given(observations())
def test_every_plan_is_safe(view: observation.Observation) -> None:
    plan = planner.plan(view, NOW, random.Random(1))
    assert plan == planner.plan(view, NOW, random.Random(1)), "not deterministic"
    stops = {action.replica for action in plan.actions if isinstance(action, actions.StopReplica)}
    starts = [action for action in plan.actions if isinstance(action, actions.StartReplica)]
    gone = not view.gateway.connected and view.gateway_silent_since < NOW - observation.GATEWAY_GONE_SECONDS
    if not gone:
        assert view.gateway.in_use is not None or not stops
        assert stops.isdisjoint(view.gateway.in_use or ()) and stops.isdisjoint(
            observation.endpoint_ids(view.published)
        )
    if not view.fresh(NOW):
        assert not stops and not starts
    for action in plan.actions:
        if isinstance(action, actions.PublishRoute):
            check_route(action.route, stops)
    check_ceiling(view, plan, stops, len(starts))


def check_route(route: model.Route, stops: set[str]) -> None:
    assert sum(part.weight for part in route.revisions) == 100
    assert all(part.endpoints for part in route.revisions) or route.activate
    assert stops.isdisjoint(observation.endpoint_ids(route))


def check_ceiling(view: observation.Observation, plan: planner.Plan, stops: set[str], starts: int) -> None:
    if not starts or view.api is None:
        return
    # The record as the plan leaves it; a rollout that ends in this very plan was sized as one in progress.
    after = next((a.api for a in plan.actions if isinstance(a, actions.UpdateRecord)), view.api)
    most = max(rollout.wanted(view.api), rollout.wanted(after), 1)
    ceiling = quantities.budget(view.api.spec.update_strategy, most).ceiling
    assert len([r for r in view.alive() if r.id not in stops]) + starts <= ceiling


@settings(max_examples=150)
@given(apis(), replicas(), st.integers(0, 2**16))
def test_carried_out_faithfully_plans_come_to_an_end(
    api: model.Api, known: tuple[model.Replica, ...], seed: int
) -> None:
    """Replicas start at once and never fail, the gateway obeys: in a few passes there is nothing left to do."""
    rng, now = random.Random(seed), NOW
    healthy = [
        dataclasses.replace(replica, last_failure=None, restart_count=0, state=model.ReplicaState.READY, ready_time=NOW)
        for replica in known
    ]
    view = seen(api, healthy)
    idle = 0
    for _ in range(60):
        plan = planner.plan(view, now, rng)
        for action in plan.actions:
            view = applied(view, action, now)
        now += 1.0
        view = dataclasses.replace(view, observe_time=now, gateway_silent_since=now, previous=plan.status)
        idle = 0 if plan.actions else idle + 1
        if view.api is None or idle > 4:
            break
    else:
        raise AssertionError(f"no rest after 60 passes: {plan.lines()}")
    check_end(view)


def check_end(view: observation.Observation) -> None:
    if view.api is None:
        assert view.replicas == () and view.published is None
        return
    assert not rollout.in_progress(view.api)
    goal, wanted = rollout.goal(view.api), rollout.wanted(view.api)
    assert [r.revision for r in view.alive()] == [goal] * wanted
    assert view.published == traffic.route(view.api, view.alive(), known=(), idle_revision=goal)


def applied(view: observation.Observation, action: actions.Action, now: float) -> observation.Observation:
    known, gateway = view.replicas or (), view.gateway
    match action:
        case actions.UpdateRecord():
            return dataclasses.replace(view, api=action.api)
        case actions.RemoveApi():
            return dataclasses.replace(view, api=None)
        case actions.PublishRoute():
            acked = {view.name: action.route}
            gateway = dataclasses.replace(gateway, acked=acked, in_use=observation.endpoint_ids(action.route))
            return dataclasses.replace(view, published=action.route, gateway=gateway)
        case actions.WithdrawRoute():
            gateway = dataclasses.replace(gateway, acked={}, in_use=frozenset())
            return dataclasses.replace(view, published=None, gateway=gateway)
        case actions.StartReplica():
            fresh = records.replica(action.replica, action.revision, create_time=now, ready_time=now)
            return dataclasses.replace(view, replicas=(*known, fresh))
        case actions.StopReplica():
            return dataclasses.replace(view, replicas=tuple(r for r in known if r.id != action.replica))
        case actions.SetRevisionState():
            changed = dataclasses.replace(view.revisions[action.revision], state=action.state, reason=action.reason)
            return dataclasses.replace(view, revisions={**view.revisions, action.revision: changed})
        case _:
            return view
