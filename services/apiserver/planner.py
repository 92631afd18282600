"""Decides what to do about one API. Pure: the same observation, time and random numbers give the same plan.

Level-triggered: nothing is remembered between passes but what the record, the node and the gateway say. What is unknown
or stale leads to no stop, no start and no shrunken route. A replica's life under this planner: started; in the route
once ready; counted once the gateway took it in and it has proven itself; out of the route; stopped once the gateway has
acknowledged that.
"""

import dataclasses
import random

from services.apiserver import actions, lifecycle, model, observation, quantities, rollout, sizing, status, traffic

# How soon to look again while the node is silent: its first word names only the APIs that have replicas.
_NODE_AGAIN_SECONDS = 0.5
_ID_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """`status` None: there is no such API. `requeue` is in seconds, None when only a change is worth another look.

    `synced` tells that the plan rests on a fresh observation, so that its route is the whole truth.
    """

    actions: tuple[actions.Action, ...]
    status: model.Status | None
    requeue: float | None
    synced: bool

    def lines(self) -> list[str]:
        return [action.line() for action in self.actions]


def plan(seen: observation.Observation, now: float, rng: random.Random) -> Plan:
    if seen.api is None or seen.api.delete_time is not None:
        return _end(seen, now)
    if not seen.fresh(now):
        return _wait(seen, seen.api, now)
    return _live(seen, seen.api, now, rng)


def _end(seen: observation.Observation, now: float) -> Plan:
    """Deletion, and replicas of an API that the store does not know: route, then replicas, then the record."""
    done = lifecycle.end(seen, now)
    shown = status.deleting(seen, seen.api, now) if seen.api is not None else None
    removed = any(isinstance(action, actions.RemoveApi) for action in done)
    requeue = None if removed or not (seen.api or seen.replicas) else 1.0
    return Plan(done, shown, requeue, seen.fresh(now))


def _wait(seen: observation.Observation, api: model.Api, now: float) -> Plan:
    """The node is silent. Its replicas may be well, so the route stays, with nothing but the user's words renewed."""
    wanted = seen.published
    if wanted is not None:
        spec = api.spec
        wanted = dataclasses.replace(
            wanted,
            endpoint=spec.networking.endpoint,
            networking=spec.networking,
            max_replica_concurrency=spec.autoscaling.max_replica_concurrency,
            to_zero=spec.autoscaling.min_replicas == 0,
        )
    elif seen.gateway_open:
        # A new API, or one never routed by us: nothing to shrink, and a declared API never answers 404.
        wanted = traffic.route(api, (), known=(), idle_revision=rollout.goal(api))
    todo: tuple[actions.Action, ...] = ()
    if wanted is not None and wanted != seen.published:
        todo = (actions.PublishRoute(wanted),)
    return Plan(todo, status.unknown(seen, api, wanted, now), _NODE_AGAIN_SECONDS, False)


def _live(seen: observation.Observation, api: model.Api, now: float, rng: random.Random) -> Plan:
    verdict = rollout.advance(seen, api, now)
    herd = _herd(seen, verdict.api, now)
    wanted = rollout.wanted(verdict.api)
    sized = sizing.size(herd, wanted, _budget(verdict.api))
    route = _route(seen, verdict.api, herd, sized)
    stopping = [r for r in sized.victims if r.id in herd.leaving and r.id not in observation.endpoint_ids(route)]
    old = sum(r.revision != herd.goal and r not in stopping for r in herd.replicas)
    left = {victim.id for victim in sized.victims}
    available = sum(identity not in left for identity in herd.available)
    end = rollout.conclude(verdict.api, available=available, old=old, now=now)
    todo = [
        *lifecycle.record(seen, api, end.api, [verdict, end]),
        *([actions.PublishRoute(route)] if route != seen.published else []),
        *lifecycle.stops(seen, api, stopping, now),
        *_starts(seen, api, sized, now, rng),
        *lifecycle.noticed(seen, now),
    ]
    picture = status.Picture(end.api, herd.goal, wanted, available, route, busy=bool(todo) or bool(sized.victims))
    return Plan(tuple(todo), status.build(seen, picture, now), _requeue(seen, end.api, herd, todo, now), True)


def _herd(seen: observation.Observation, api: model.Api, now: float) -> sizing.Herd:
    goal, alive, proving = rollout.goal(api), seen.alive(), rollout.proving(api)
    shaken = rollout.shaken(seen, goal)
    available = {
        r.id
        for r in alive
        if r.revision == goal
        and observation.ready(r)
        and seen.reachable(r, now)
        and (not proving or now >= rollout.baked_at(api, r, shaken=shaken))
    }
    return sizing.Herd(
        goal=goal,
        fallback=api.serving_revision,
        replicas=alive,
        available=available,
        distrusted={r.id for r in alive if r.revision != goal and _distrusted(seen, api, r.revision)},
        leaving={r.id for r in alive if seen.released(r, now)},
    )


def _budget(api: model.Api) -> quantities.Budget:
    bounds = quantities.budget(api.spec.update_strategy, rollout.wanted(api))
    # The one replica that proves a new revision of an API at zero is owed to nobody: the old one need not stand in.
    return dataclasses.replace(bounds, floor=min(bounds.floor, rollout.desired(api)))


def _distrusted(seen: observation.Observation, api: model.Api, revision: str) -> bool:
    """Whether a revision failed in a way that makes its ready replicas worthless. Being slow is not such a way."""
    just = api.rollout
    if just is not None and just.to_revision == revision and just.state is model.RolloutState.FAILED:
        return just.reason is not model.Reason.PROGRESS_DEADLINE_EXCEEDED
    known = seen.revisions.get(revision)
    failed = known is not None and known.state is model.RevisionState.FAILED
    return failed and known is not None and known.reason is not model.Reason.PROGRESS_DEADLINE_EXCEEDED


def _route(seen: observation.Observation, api: model.Api, herd: sizing.Herd, sized: sizing.Sizing) -> model.Route:
    out = {victim.id for victim in sized.victims}
    staying = [r for r in herd.replicas if r.id not in out and r.id not in herd.distrusted]
    idle = herd.goal
    if herd.fallback and any(r.revision == herd.fallback for r in staying):
        # Neither is ready, and the one that has served before is the surer one to wait for.
        idle = herd.fallback
    known = seen.acked_ids() | observation.endpoint_ids(seen.published)
    return traffic.route(api, staying, known=known, idle_revision=idle)


def _starts(
    seen: observation.Observation, api: model.Api, sized: sizing.Sizing, now: float, rng: random.Random
) -> list[actions.Action]:
    taken = {replica.id for replica in seen.replicas or ()}
    todo: list[actions.Action] = []
    for revision, count in sized.starts:
        for _ in range(count if revision in seen.revisions else 0):
            identity = _new_id(api, revision, taken, rng)
            taken.add(identity)
            todo.append(actions.StartReplica(api.name, revision, identity))
            todo.append(lifecycle.started(api, revision, identity, now))
    return todo


def _new_id(api: model.Api, revision: str, taken: set[str], rng: random.Random) -> str:
    while True:
        suffix = "".join(rng.choices(_ID_LETTERS, k=5))
        identity = f"{api.name.rpartition('/')[2]}-{revision}-{suffix}"
        if identity not in taken:
            return identity


def _requeue(
    seen: observation.Observation, api: model.Api, herd: sizing.Herd, todo: list[actions.Action], now: float
) -> float | None:
    """When this API is worth another look although nothing happens."""
    if any(isinstance(action, actions.UpdateRecord | actions.SetRevisionState) for action in todo):
        return 0.0
    moments = []
    if rollout.proving(api):
        waiting = [
            r for r in herd.replicas if r.revision == herd.goal and observation.ready(r) and r.id not in herd.available
        ]
        shaken = rollout.shaken(seen, herd.goal)
        moments += [rollout.baked_at(api, r, shaken=shaken) for r in waiting]
    if rollout.in_progress(api) and api.rollout is not None:
        moments.append(api.rollout.progress_time + api.spec.update_strategy.progress_deadline + 0.01)
    if not seen.gateway.connected:
        moments.append(seen.gateway_silent_since + observation.GATEWAY_GONE_SECONDS + 0.01)
    if seen.observe_time is not None and now - seen.observe_time > observation.STALE_SECONDS / 3:
        moments.append(seen.observe_time + observation.STALE_SECONDS + 0.01)
    ahead = [moment - now for moment in moments if moment > now]
    return max(0.01, min(ahead)) if ahead else None
