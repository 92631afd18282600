"""The actions a decision comes down to, in the order that is safe: write down, route, stop what nobody uses, start.

Stops come before starts, which count on the room: a stop that fails ends the pass before the ceiling is broken.
"""

import dataclasses
from collections.abc import Iterator, Sequence

from services.apiserver import actions, model, observation, rollout

# Replicas of an API whose record is gone have no drain timeout of their own any more.
_ORPHAN_DRAIN_SECONDS = 60.0


def record(
    seen: observation.Observation, before: model.Api, after: model.Api, verdicts: Sequence[rollout.Verdict]
) -> list[actions.Action]:
    """The decision is written before anything is done about it: afterwards its evidence may be gone."""
    todo: list[actions.Action] = []
    if after != before:
        why = "; ".join(dict.fromkeys(verdict.why for verdict in verdicts if verdict.why))
        todo.append(actions.UpdateRecord(after, why))
    todo.extend(_revision_states(seen, after))
    todo.extend(actions.RecordEvent(event) for verdict in verdicts for event in verdict.events)
    return todo


def _revision_states(seen: observation.Observation, api: model.Api) -> Iterator[actions.Action]:
    for revision in sorted(seen.revisions.values(), key=lambda revision: revision.number):
        state, reason, message = _state(revision, api)
        if state is not revision.state:
            yield actions.SetRevisionState(api.name, revision.id, state, reason, message)


def _state(revision: model.Revision, api: model.Api) -> tuple[model.RevisionState, model.Reason, str]:
    last = api.rollout
    if revision.id == api.serving_revision:
        return model.RevisionState.SERVING, model.Reason.OK, ""
    if last is not None and last.to_revision == revision.id and last.state is model.RolloutState.FAILED:
        return model.RevisionState.FAILED, last.reason, last.message
    if revision.id == api.target_revision:
        return model.RevisionState.PENDING, model.Reason.ROLLING_OUT, ""
    if revision.state is model.RevisionState.FAILED:
        return revision.state, revision.reason, revision.message
    # Only what served may be what a rollback goes to by itself.
    served = revision.state in (model.RevisionState.SERVING, model.RevisionState.RETIRED)
    state = model.RevisionState.RETIRED if served else model.RevisionState.SUPERSEDED
    return state, model.Reason.UNSPECIFIED, f"{api.target_revision} took its place."


def started(api: model.Api, revision: str, replica: str, now: float) -> actions.RecordEvent:
    message = f"Started a replica of {revision}."
    event = model.Event(
        api.name, "ReplicaStarted", model.Severity.INFO, message, now, revision=revision, replica=replica
    )
    return actions.RecordEvent(event)


def stops(
    seen: observation.Observation, api: model.Api, replicas: Sequence[model.Replica], now: float
) -> list[actions.Action]:
    drain = api.spec.update_strategy.drain_timeout
    todo: list[actions.Action] = []
    for replica in replicas:
        todo.append(actions.StopReplica(api.name, replica.revision, replica.id, drain))
        message = f"Stopping a replica of {replica.revision} that is not needed any more."
        todo.append(_event(seen.name, "ReplicaStopping", model.Severity.INFO, message, now, replica))
    if replicas and seen.gateway_gone(now):
        text = "No gateway has been connected for a minute: replicas are stopped without its acknowledgement."
        todo.append(_event(seen.name, "GatewayAbsent", model.Severity.WARNING, text, now, None))
    return todo


def end(seen: observation.Observation, now: float) -> tuple[actions.Action, ...]:
    """What is left to do for an API that shall not be."""
    todo: list[actions.Action] = []
    if seen.published is not None:
        todo.append(actions.WithdrawRoute(seen.name))
    if not seen.fresh(now):
        return tuple(todo)
    strategy = seen.api.spec.update_strategy if seen.api is not None else None
    drain = strategy.drain_timeout if strategy is not None else _ORPHAN_DRAIN_SECONDS
    for replica in seen.alive():
        if replica.state is not model.ReplicaState.UNKNOWN and seen.released(replica, now):
            todo.append(actions.StopReplica(seen.name, replica.revision, replica.id, drain))
    left = [r for r in seen.replicas or () if r.state is not model.ReplicaState.STOPPED]
    withdrawn = seen.published is None and (seen.acked() is None or seen.gateway_gone(now))
    if seen.api is not None and withdrawn and not left:
        text = f"{seen.name} is removed."
        todo.append(_event(seen.name, "ApiRemoved", model.Severity.INFO, text, now, None))
        todo.append(actions.RemoveApi(seen.name, seen.api.uid))
    return tuple(todo)


def noticed(seen: observation.Observation, now: float) -> Iterator[actions.Action]:
    """Events for what happened to replicas since the last pass."""
    if seen.previous is None:
        return
    before = {replica.id: replica for replica in seen.previous.replicas}
    for replica in seen.alive():
        known = before.get(replica.id)
        failure = replica.last_failure
        if failure is not None and (known is None or known.last_failure != failure):
            event = _event(seen.name, "ReplicaFailed", model.Severity.WARNING, failure.message, now, replica)
            yield dataclasses.replace(event, event=dataclasses.replace(event.event, reason=failure.reason))
        if observation.ready(replica) and known is not None and known.ready_time != replica.ready_time:
            yield _event(seen.name, "ReplicaReady", model.Severity.INFO, "The replica is ready.", now, replica)


def _event(
    api: str, kind: str, severity: model.Severity, message: str, now: float, replica: model.Replica | None
) -> actions.RecordEvent:
    revision, identity = (replica.revision, replica.id) if replica is not None else ("", "")
    return actions.RecordEvent(model.Event(api, kind, severity, message, now, revision=revision, replica=identity))
