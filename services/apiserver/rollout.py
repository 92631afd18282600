"""The judgement on a rollout: begun, coming forward, failed, complete. What follows is sizing and traffic.

A failed rollout moves the target back to the revision that serves; the record of the failure stays until the next
rollout. A first deployment has nothing to go back to: it keeps its target, and heals when a replica gets ready late.
"""

import dataclasses
from collections.abc import Sequence

from services.apiserver import model, observation

# How long a new replica has to answer requests before it counts and an old one may leave. A predictor that crashes on
# its first requests does so within this time when there is traffic at all; longer would slow every deploy down.
BAKE_SECONDS = 1.0
# Once a replica of the new revision has crashed, a quiet moment proves little.
BAKE_AFTER_CRASH_SECONDS = 15.0
# The second crash condemns: the first may be somebody's kill -9.
CRASHES_TO_CONDEMN = 2
# A process that dies while it loads and says nothing of why, or whose models cannot be fetched, gets this many tries:
# the cause may be outside.
CRASHES_WHILE_LOADING = 3
# A node may ask for a bundle a moment before the apiserver has it again; no bundle for this long is a failure.
BUNDLE_SECONDS = 10.0

_DETERMINISTIC = frozenset(
    {
        model.Reason.ENVIRONMENT_FAILED,
        model.Reason.IMPORT_FAILED,
        model.Reason.INVALID_PREDICTOR,
        model.Reason.CONSTRUCTOR_FAILED,
    }
)
CRASHES = frozenset(
    {model.Reason.CRASH_LOOP, model.Reason.EXITED, model.Reason.OUT_OF_MEMORY, model.Reason.UNSPECIFIED}
)


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """The record as it should be, in words why, and what to tell. `api` is the one judged when nothing changed."""

    api: model.Api
    why: str = ""
    events: tuple[model.Event, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class _Fault:
    reason: model.Reason
    message: str


def goal(api: model.Api) -> str:
    """The revision that should have all replicas."""
    if not api.serving_revision or in_progress(api):
        return api.target_revision
    return api.serving_revision


def in_progress(api: model.Api) -> bool:
    return api.rollout is not None and api.rollout.state is model.RolloutState.IN_PROGRESS


def proving(api: model.Api) -> bool:
    """Whether the goal has yet to show that it can serve."""
    return goal(api) != api.serving_revision


def desired(api: model.Api) -> int:
    """The autoscaler's word, clamped once more: the bounds may have changed since it was spoken."""
    bounds = api.spec.autoscaling
    return max(bounds.min_replicas, min(api.desired_replicas, bounds.max_replicas))


def wanted(api: model.Api) -> int:
    """Replicas of the goal. A rollout at zero proves the new revision with one replica before the pointer moves."""
    return max(1, desired(api)) if proving(api) and in_progress(api) else desired(api)


def advance(seen: observation.Observation, api: model.Api, now: float) -> Verdict:
    """Begins, carries forward or gives up the rollout that `api` asks for."""
    begun = _begin(api, now)
    if not proving(begun.api) or not in_progress(begun.api):
        return begun
    fault = _fault(seen, begun.api, now)
    if fault is not None:
        return _given_up(begun.api, fault, now)
    moved = _progress(seen, begun.api, now)
    return dataclasses.replace(moved, why=begun.why or moved.why, events=begun.events)


def shaken(seen: observation.Observation, revision: str) -> bool:
    """Whether a replica of it has crashed: those that run the same code may not have met the request yet."""
    mine = [replica for replica in seen.alive() if replica.revision == revision]
    return any(replica.restart_count or seen.crashes.get(replica.id, 0) for replica in mine)


def baked_at(api: model.Api, replica: model.Replica, *, shaken: bool) -> float:
    """When `replica`, ready now, has answered for long enough. Counts from when the gateway took it in. What has
    nothing to fall back to needs no proof: waiting would not make a first deployment any safer."""
    rollout = api.rollout
    since = max(replica.ready_time or replica.create_time, rollout.progress_time if rollout else 0.0)
    if shaken:
        return since + BAKE_AFTER_CRASH_SECONDS
    return since + BAKE_SECONDS if api.serving_revision else since


def conclude(api: model.Api, *, available: int, old: int, now: float) -> Verdict:
    """Completes the rollout when every wanted replica is `available` and no `old` one is left."""
    rollout = api.rollout
    unfinished = in_progress(api) or proving(api)
    if rollout is None or not unfinished or available < wanted(api) or old > 0 or (proving(api) and available == 0):
        return Verdict(api)
    healed = rollout.state is model.RolloutState.FAILED
    what = f"{api.target_revision} serves all traffic"
    done = dataclasses.replace(
        rollout, state=model.RolloutState.SUCCEEDED, end_time=now, reason=model.Reason.OK, message=f"{what}."
    )
    event = _event(api, "RolloutRecovered" if healed else "RolloutSucceeded", model.Severity.INFO, f"{what}.", now)
    return Verdict(dataclasses.replace(api, serving_revision=api.target_revision, rollout=done), what, (event,))


def _begin(api: model.Api, now: float) -> Verdict:
    """A target without a rollout of its own gets one, whoever moved the target."""
    rollout, target = api.rollout, api.target_revision
    running = in_progress(api)
    # A failed first deployment is not begun again: nothing but its own replicas can heal it.
    if rollout is not None and rollout.to_revision == target and (running or not api.serving_revision):
        return Verdict(api)
    if target == api.serving_revision:
        if rollout is None or not running:
            return Verdict(api)
        ended = dataclasses.replace(rollout, state=model.RolloutState.SUPERSEDED, end_time=now)
        why = f"the rollout of {rollout.to_revision} is given up for {target}"
        return Verdict(
            dataclasses.replace(api, rollout=ended),
            why,
            (_event(api, "RolloutSuperseded", model.Severity.INFO, why, now),),
        )
    fresh = model.Rollout(model.RolloutState.IN_PROGRESS, api.serving_revision, target, now, now)
    why = f"roll out {target}" + (f" in place of {rollout.to_revision}" if rollout is not None and running else "")
    event = _event(api, "RolloutStarted", model.Severity.INFO, f"Rolling out {target}.", now)
    return Verdict(dataclasses.replace(api, rollout=fresh), why, (event,))


def _progress(seen: observation.Observation, api: model.Api, now: float) -> Verdict:
    rollout = api.rollout
    assert rollout is not None
    serving = [r for r in seen.alive() if r.revision == api.target_revision and observation.ready(r)]
    count = sum(seen.reachable(r, now) for r in serving)
    if count <= rollout.ready_high_water:
        return Verdict(api)
    moved = dataclasses.replace(rollout, ready_high_water=count, progress_time=now)
    return Verdict(dataclasses.replace(api, rollout=moved), f"{count} replicas of {api.target_revision} take traffic")


def _fault(seen: observation.Observation, api: model.Api, now: float) -> _Fault | None:
    rollout = api.rollout
    assert rollout is not None
    replicas = [replica for replica in seen.alive() if replica.revision == api.target_revision]
    for replica in replicas:
        fault = _load_fault(seen, replica, rollout.start_time, now)
        if fault is not None:
            return fault
    return _health_fault(seen, replicas, rollout.start_time) or _deadline_fault(api, replicas, now)


def _load_fault(seen: observation.Observation, replica: model.Replica, since: float, now: float) -> _Fault | None:
    failure = replica.last_failure
    if failure is None or observation.ready(replica) or failure.time < max(since, replica.ready_time or 0.0):
        return None
    reason, tries = failure.reason, max(replica.restart_count, seen.crashes.get(replica.id, 0))
    fatal = reason in _DETERMINISTIC
    if reason is model.Reason.BUNDLE_FAILED:
        fatal = replica.restart_count > 0 or now - replica.create_time > BUNDLE_SECONDS
    elif (reason in CRASHES or reason is model.Reason.MODEL_FAILED) and replica.ready_time is None:
        fatal = tries >= CRASHES_WHILE_LOADING
    reason = model.Reason.CRASH_LOOP if reason is model.Reason.UNSPECIFIED else reason
    return _Fault(reason, f"Replica {replica.id} could not load:\n{failure.message}") if fatal else None


def _health_fault(seen: observation.Observation, replicas: Sequence[model.Replica], since: float) -> _Fault | None:
    """Replicas that got ready, took requests, and died of it."""
    counts = {replica.id: _crashes(seen, replica, since) for replica in replicas if replica.ready_time is not None}
    total = sum(counts.values())
    if total < CRASHES_TO_CONDEMN:
        return None
    words = [r.last_failure.message if r.last_failure else r.message for r in replicas if counts.get(r.id)]
    text = "\n".join(filter(None, words)) or "No reason was given; see `cortex logs`."
    return _Fault(
        model.Reason.REVISION_UNHEALTHY,
        f"Its replicas died {total} times after they had begun to take requests:\n{text}",
    )


def _crashes(seen: observation.Observation, replica: model.Replica, since: float) -> int:
    failure, count = replica.last_failure, seen.crashes.get(replica.id, 0)
    if failure is None or failure.reason not in CRASHES or failure.time < since:
        return count
    count = max(count, replica.restart_count)
    return max(count, CRASHES_TO_CONDEMN) if failure.reason is model.Reason.CRASH_LOOP else count


def _deadline_fault(api: model.Api, replicas: Sequence[model.Replica], now: float) -> _Fault | None:
    rollout, limit = api.rollout, api.spec.update_strategy.progress_deadline
    assert rollout is not None
    ready = sum(observation.ready(replica) for replica in replicas)
    if ready >= wanted(api) or now - rollout.progress_time <= limit:
        return None
    doing = (
        "; ".join(f"{r.id} is {r.state.value} {r.message}".strip() for r in replicas) or "no replica could be started"
    )
    words = "\n".join(r.last_failure.message for r in replicas if r.last_failure is not None)
    text = f"Nothing came forward for {limit:g} s ({ready} of {wanted(api)} replicas ready): {doing}.\n{words}"
    return _Fault(model.Reason.PROGRESS_DEADLINE_EXCEEDED, text.rstrip())


def _given_up(api: model.Api, fault: _Fault, now: float) -> Verdict:
    rollout, failed = api.rollout, api.target_revision
    assert rollout is not None
    after = (
        f"The old revision {api.serving_revision} keeps serving all traffic; fix the cause and deploy again."
        if api.serving_revision
        else "No earlier revision can serve; fix the cause and deploy again."
    )
    message = f"{failed} was given up ({fault.reason.value}). {after}\n{fault.message}"
    ended = dataclasses.replace(
        rollout, state=model.RolloutState.FAILED, end_time=now, reason=fault.reason, message=message
    )
    event = _event(api, "RolloutFailed", model.Severity.ERROR, message, now, fault.reason)
    target = api.serving_revision or failed
    return Verdict(
        dataclasses.replace(api, target_revision=target, rollout=ended),
        f"the rollout of {failed} failed: {fault.reason.value}",
        (event,),
    )


def _event(
    api: model.Api,
    kind: str,
    severity: model.Severity,
    message: str,
    now: float,
    reason: model.Reason = model.Reason.UNSPECIFIED,
) -> model.Event:
    return model.Event(api.name, kind, severity, message, now, reason, revision=api.target_revision)
