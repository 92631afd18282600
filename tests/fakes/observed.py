"""Observations for tests of pure decisions."""

import dataclasses
import random
from collections.abc import Sequence
from typing import Any

from services.apiserver import model, observation, planner, rollout, traffic
from tests.fakes import records


def seen(
    api: model.Api | None,
    replicas: Sequence[model.Replica] | None = (),
    *,
    routed: Sequence[str] | None = None,
    **fields: Any,
) -> observation.Observation:
    """A connected gateway that has acknowledged a route with the replicas `routed` (by default: all that are ready)."""
    known = list(replicas or ())
    ids = [r.id for r in known if observation.ready(r)] if routed is None else list(routed)
    route = settled(api, [r for r in known if r.id in ids]) if api is not None else None
    name = api.name if api is not None else records.NAME
    acked = {name: route} if route is not None else {}
    identities = {r.revision for r in known} | ({api.target_revision, api.serving_revision} if api else set())
    states = {api.serving_revision: model.RevisionState.SERVING} if api else {}
    revisions = {
        i: records.revision(i, name, states.get(i, model.RevisionState.PENDING)) for i in sorted(identities - {""})
    }
    defaults: dict[str, Any] = {
        "name": name,
        "api": api,
        "revisions": revisions,
        "replicas": None if replicas is None else tuple(replicas),
        "observe_time": None if replicas is None else records.NOW,
        "gateway": model.GatewayView(True, acked, frozenset(ids), {}, records.NOW),
        "gateway_open": True,
        "gateway_silent_since": records.NOW,
        "published": route,
    }
    return observation.Observation(**{**defaults, **fields})


def settled(api: model.Api, replicas: Sequence[model.Replica]) -> model.Route:
    """The route with exactly these replicas, as the planner would have published it."""
    known = [replica.id for replica in replicas]
    return traffic.route(api, replicas, known=known, idle_revision=rollout.goal(api))


def disconnected(view: observation.Observation, *, for_seconds: float) -> observation.Observation:
    """The same, with the gateway gone."""
    gone = model.GatewayView(False, {}, None, {}, records.NOW - for_seconds)
    return dataclasses.replace(view, gateway=gone, gateway_silent_since=records.NOW - for_seconds)


def decide(view: observation.Observation, now: float = records.NOW, seed: int = 1) -> planner.Plan:
    return planner.plan(view, now, random.Random(seed))


def effects(plan: planner.Plan) -> list[str]:
    """The lines of what is done to the world, without the events."""
    return [line for line in plan.lines() if not line.startswith("event ")]
