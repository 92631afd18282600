"""Conditions: what is true of an API now, why, and what to do about it. Built anew at every pass, never remembered.

`Ready` sums up RevisionReady, RolloutComplete, ReplicasAvailable and GatewayProgrammed. `Active` tells whether a
request finds a replica at once, or waits for one.
"""

import dataclasses
from collections.abc import Sequence

from services.apiserver import model, observation, rollout

_T, _F, _U = model.Truth.TRUE, model.Truth.FALSE, model.Truth.UNKNOWN
_NODE_SILENT = "The node that runs the replicas has not answered {since}; see `cortex status`. What is shown is old."


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """What the planner made of the observation. `route` is the one wanted, None while nothing can be said of it."""

    api: model.Api
    goal: str
    wanted: int
    available: int
    route: model.Route | None
    busy: bool


@dataclasses.dataclass(frozen=True, slots=True)
class _Fact:
    type: str
    status: model.Truth
    reason: model.Reason
    message: str


def build(seen: observation.Observation, picture: Picture, now: float) -> model.Status:
    facts = [
        _revision(seen, picture),
        _rollout(seen, picture),
        _replicas(seen, picture),
        _gateway(seen, picture),
    ]
    return _status(seen, picture, [_sum(facts, seen, picture), *facts, _active(seen, picture)], now, fresh=True)


def unknown(seen: observation.Observation, api: model.Api, route: model.Route | None, now: float) -> model.Status:
    """The node is silent, or has not been heard yet."""
    picture = Picture(api, rollout.goal(api), rollout.wanted(api), 0, route, busy=True)
    heard = seen.observe_time
    since = "since the apiserver started" if heard is None else f"for {now - heard:.0f} s"
    text = _NODE_SILENT.format(since=since)
    names = ("Ready", "RevisionReady", "RolloutComplete", "ReplicasAvailable")
    facts = [_Fact(name, _U, model.Reason.NODE_UNREACHABLE, text) for name in names]
    if not rollout.in_progress(api):
        facts[2] = _rollout(seen, picture)
    active = _Fact("Active", _U, model.Reason.NODE_UNREACHABLE, text)
    return _status(seen, picture, [*facts, _gateway(seen, picture), active], now, fresh=False)


def deleting(seen: observation.Observation, api: model.Api, now: float) -> model.Status:
    left = sum(r.state is not model.ReplicaState.STOPPED for r in seen.replicas or ())
    text = f"The API is being removed: {left} replicas finish their requests."
    picture = Picture(api, rollout.goal(api), 0, 0, None, busy=True)
    return _status(seen, picture, [_Fact("Ready", _F, model.Reason.DELETING, text)], now, fresh=seen.fresh(now))


def _status(
    seen: observation.Observation, picture: Picture, facts: Sequence[_Fact], now: float, *, fresh: bool
) -> model.Status:
    replicas = seen.replicas or ()
    if not fresh:
        replicas = tuple(dataclasses.replace(replica, state=model.ReplicaState.UNKNOWN) for replica in replicas)
    acked = seen.acked()
    return model.Status(
        observed_generation=picture.api.generation,
        conditions=tuple(_condition(fact, seen.previous, now) for fact in facts),
        reconciling=picture.busy or rollout.in_progress(picture.api) or acked != picture.route,
        url=f"{seen.gateway_url}{picture.api.spec.networking.endpoint}" if seen.gateway_url else "",
        traffic={part.revision: part.weight for part in acked.revisions} if acked is not None else {},
        ready_replicas=sum(observation.ready(replica) for replica in replicas),
        updated_replicas=sum(replica.revision == picture.goal for replica in replicas),
        routable_replicas=_routable(seen) if fresh else 0,
        replicas=tuple(sorted(replicas, key=lambda replica: (replica.create_time, replica.id))),
        observe_time=seen.observe_time,
    )


def _condition(fact: _Fact, previous: model.Status | None, now: float) -> model.Condition:
    before = {condition.type: condition for condition in previous.conditions} if previous is not None else {}
    same = before.get(fact.type)
    since = same.last_transition_time if same is not None and same.status is fact.status else now
    return model.Condition(fact.type, fact.status, fact.reason, fact.message, since)


def _routable(seen: observation.Observation) -> int:
    return sum(observation.ready(replica) and replica.id in seen.acked_ids() for replica in seen.alive())


def _revision(seen: observation.Observation, picture: Picture) -> _Fact:
    api, goal = picture.api, picture.goal
    mine = [replica for replica in seen.alive() if replica.revision == goal]
    if any(observation.ready(replica) for replica in mine):
        return _Fact("RevisionReady", _T, model.Reason.OK, f"{goal} is loaded and answers.")
    if api.rollout is not None and api.rollout.state is model.RolloutState.FAILED and api.rollout.to_revision == goal:
        return _Fact("RevisionReady", _F, api.rollout.reason, api.rollout.message)
    if picture.wanted == 0 and goal == api.serving_revision:
        return _Fact(
            "RevisionReady", _T, model.Reason.SCALED_TO_ZERO, f"{goal} has served; the next request starts it."
        )
    reason, text = _doing(mine, goal)
    return _Fact("RevisionReady", _F, reason, text)


def _doing(replicas: Sequence[model.Replica], goal: str) -> tuple[model.Reason, str]:
    failed = [replica for replica in replicas if replica.last_failure is not None]
    if failed and failed[0].last_failure is not None:
        failure = failed[0].last_failure
        return failure.reason, f"Replica {failed[0].id} failed and is tried again:\n{failure.message}"
    words = {
        model.ReplicaState.BUILDING_ENVIRONMENT: (
            model.Reason.BUILDING_ENVIRONMENT,
            "Its Python environment is being built",
        ),
        model.ReplicaState.STARTING: (model.Reason.STARTING, "Its predictor is being loaded"),
    }
    for replica in replicas:
        if replica.state in words:
            reason, text = words[replica.state]
            return reason, f"{goal}: {text}{': ' + replica.message if replica.message else ''}."
    return model.Reason.PENDING, f"{goal} waits for its first replica."


def _rollout(seen: observation.Observation, picture: Picture) -> _Fact:
    last = picture.api.rollout
    if last is not None and last.state is model.RolloutState.FAILED:
        return _Fact("RolloutComplete", _F, last.reason, last.message)
    if last is not None and last.state is model.RolloutState.IN_PROGRESS:
        text = f"{picture.available} of {picture.wanted} replicas of {last.to_revision} have proven themselves."
        return _Fact("RolloutComplete", _F, model.Reason.ROLLING_OUT, text)
    return _Fact("RolloutComplete", _T, model.Reason.OK, f"{picture.api.serving_revision} serves all traffic.")


def _replicas(seen: observation.Observation, picture: Picture) -> _Fact:
    """Growing is no fault: replicas that start for the first time beside ready ones do not make an API unavailable."""
    alive = seen.alive()
    ready = sum(observation.ready(replica) for replica in alive)
    text = f"Replicas ready: {ready}, wanted: {picture.wanted}."
    ill = [r for r in alive if not observation.ready(r) and (r.last_failure is not None or r.ready_time is not None)]
    if ready >= picture.wanted or (ready > 0 and not ill):
        return _Fact("ReplicasAvailable", _T, model.Reason.OK, text)
    for replica in ill:
        if replica.last_failure is not None:
            text += f" {replica.id} is {replica.state.value}:\n{replica.last_failure.message}"
            break
    return _Fact("ReplicasAvailable", _F, model.Reason.REPLICAS_UNAVAILABLE, text)


def _gateway(seen: observation.Observation, picture: Picture) -> _Fact:
    name, words = "GatewayProgrammed", seen.gateway.rejected.get(seen.name)
    if words is not None:
        return _Fact(name, _F, model.Reason.GATEWAY_REJECTED, f"The gateway refused its configuration: {words}")
    if not seen.gateway.connected:
        text = "No gateway is connected; callers reach the API once one is. See `cortex status`."
        return _Fact(name, _U, model.Reason.GATEWAY_PENDING, text)
    if picture.route is not None and seen.acked() == picture.route:
        return _Fact(name, _T, model.Reason.OK, "The gateway has acknowledged the newest routes.")
    return _Fact(name, _F, model.Reason.GATEWAY_PENDING, "The gateway has not acknowledged the newest routes yet.")


def _active(seen: observation.Observation, picture: Picture) -> _Fact:
    if _routable(seen) > 0:
        return _Fact("Active", _T, model.Reason.OK, "Requests reach a replica at once.")
    budget = f"{picture.api.spec.networking.activation_timeout:g} s"
    if picture.wanted == 0:
        text = f"Scaled to zero. The first request starts a replica and waits for it, at most {budget}."
        return _Fact("Active", _F, model.Reason.SCALED_TO_ZERO, text)
    return _Fact("Active", _F, model.Reason.ACTIVATING, f"Requests wait for the first ready replica, at most {budget}.")


def _sum(facts: Sequence[_Fact], seen: observation.Observation, picture: Picture) -> _Fact:
    """The first false one speaks, then the first unknown one. A rollout explains itself better than what it causes."""
    order = sorted(facts, key=lambda fact: fact.type not in ("RevisionReady", "RolloutComplete"))
    for truth in (_F, _U):
        for fact in order:
            if fact.status is truth and not _harmless(fact, seen, picture):
                return _Fact("Ready", fact.status, fact.reason, fact.message)
    if picture.wanted == 0:
        return _Fact("Ready", _T, model.Reason.SCALED_TO_ZERO, "The API is at zero; the next request starts a replica.")
    return _Fact("Ready", _T, model.Reason.OK, "The API serves as wanted.")


def _harmless(fact: _Fact, seen: observation.Observation, picture: Picture) -> bool:
    """An acknowledgement on its way does not make an API unready whose callers reach a replica by the same path."""
    acked, route = seen.acked(), picture.route
    if fact.reason is not model.Reason.GATEWAY_PENDING or acked is None or route is None or not seen.gateway.connected:
        return False
    same = (acked.endpoint, acked.networking) == (route.endpoint, route.networking)
    return same and (_routable(seen) > 0 or picture.wanted == 0)
