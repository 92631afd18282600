"""What a change would lead to, as the lines of the actions the planner would take: the answer of a dry run.

The planner itself is asked, pass after pass, in an imagined world where replicas start at once and the gateway agrees
to everything. What it cannot foresee, crashes and full machines, is not in the answer.
"""

import dataclasses
import random
from collections.abc import Sequence

from services.apiserver import actions, model, observation, planner, rollout

LONGEST = 200
_MOST_PASSES = 1000
# Longer than any replica has to prove itself.
_IDLE_PASSES = 20
_SHOWN = actions.StartReplica | actions.StopReplica | actions.PublishRoute | actions.WithdrawRoute


@dataclasses.dataclass(slots=True)
class _World:
    """The imagined world: mutable, alive for one call."""

    api: model.Api
    revisions: dict[str, model.Revision]
    replicas: dict[str, model.Replica]
    route: model.Route | None
    now: float
    names: dict[str, str] = dataclasses.field(default_factory=dict)

    def observe(self) -> observation.Observation:
        acked = {self.api.name: self.route} if self.route is not None else {}
        used = observation.endpoint_ids(self.route)
        return observation.Observation(
            name=self.api.name,
            api=self.api,
            revisions=self.revisions,
            replicas=tuple(self.replicas.values()),
            observe_time=self.now,
            gateway=model.GatewayView(True, acked, used, {}, self.now),
            gateway_open=True,
            gateway_silent_since=self.now,
            published=self.route,
        )

    def apply(self, action: actions.Action) -> None:
        match action:
            case actions.UpdateRecord():
                self.api = action.api
            case actions.SetRevisionState():
                known = self.revisions[action.revision]
                self.revisions[action.revision] = dataclasses.replace(known, state=action.state, reason=action.reason)
            case actions.PublishRoute():
                self.route = action.route
            case actions.WithdrawRoute():
                self.route = None
            case actions.StartReplica():
                self.names[action.replica] = f"(new {len(self.names) + 1})"
                self.replicas[action.replica] = self._new(action)
            case actions.StopReplica():
                del self.replicas[action.replica]
            case actions.RecordEvent() | actions.RemoveApi():
                pass

    def _new(self, action: actions.StartReplica) -> model.Replica:
        state, address = model.ReplicaState.READY, f"{action.replica}:80"
        return model.Replica(
            action.replica, action.api, action.revision, state, self.now, self.now, http_address=address
        )


def preview(
    current: model.Api | None, wanted: model.Api, revision_changed: bool, replicas: Sequence[model.Replica]
) -> list[str]:
    """Lines, in order. `wanted.target_revision` names the revision that would be made when `revision_changed`."""
    start = current or wanted
    target = wanted.target_revision
    if revision_changed and current is not None and target == current.target_revision:
        target = "(the new revision)"
    # Only what serves now counts: how a rollout in progress ends is not known.
    mine = {r.id: r for r in replicas if r.api == wanted.name}
    ids = {target, start.serving_revision, *(r.revision for r in mine.values())} - {""}
    world = _World(
        api=dataclasses.replace(
            wanted, target_revision=target, serving_revision=current.serving_revision if current else ""
        ),
        revisions={identity: _revision(wanted, identity) for identity in ids},
        replicas=mine,
        route=None,
        now=wanted.update_time,
    )
    if current is not None:
        world.route = _present(world, dataclasses.replace(current, rollout=None))
    return _run(world)


def _present(world: _World, current: model.Api) -> model.Route | None:
    """The route as it is now: what the planner makes of the API as it is."""
    steady = dataclasses.replace(current, target_revision=current.serving_revision or current.target_revision)
    plan = planner.plan(dataclasses.replace(world.observe(), api=steady), world.now, random.Random(0))
    return next((action.route for action in plan.actions if isinstance(action, actions.PublishRoute)), None)


def _run(world: _World) -> list[str]:
    lines: list[str] = []
    rng = random.Random(0)
    idle = 0
    for _ in range(_MOST_PASSES):
        plan = planner.plan(world.observe(), world.now, rng)
        for action in plan.actions:
            world.apply(action)
            if isinstance(action, _SHOWN):
                lines.append(_named(action.line(), world))
        world.now += rollout.BAKE_SECONDS
        idle = 0 if plan.actions else idle + 1
        if idle > _IDLE_PASSES:
            break
    more = len(lines) - LONGEST
    return [*lines[:LONGEST], f"and {more} more"] if more > 0 else lines


def _named(line: str, world: _World) -> str:
    for identity, name in world.names.items():
        line = line.replace(identity, name)
    return line


def _revision(api: model.Api, identity: str) -> model.Revision:
    return model.Revision(api.name, identity, "", 0, api.spec, "", api.update_time)
