"""Reads an API's status: where a rollout stands, what to tell about it, and when to stop waiting. Pure."""

import dataclasses
import enum

from cortex.apiserver.v1 import api_pb2
from cortex.type.v1 import condition_pb2
from cortex_client import names


class Verdict(enum.Enum):
    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"
    SUPERSEDED = "superseded"


class Step(enum.Enum):
    """Where a phase of a rollout is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"


@dataclasses.dataclass(frozen=True, slots=True)
class Phase:
    name: str
    step: Step
    detail: str = ""


_STATES = api_pb2.ReplicaState
_STARTED = (api_pb2.REPLICA_STATE_STARTING, api_pb2.REPLICA_STATE_READY, api_pb2.REPLICA_STATE_UNREADY,
            api_pb2.REPLICA_STATE_BACKING_OFF)  # fmt: skip

_LEAVING = (api_pb2.REPLICA_STATE_DRAINING, api_pb2.REPLICA_STATE_STOPPED)


def condition(api: api_pb2.Api, kind: str) -> condition_pb2.Condition | None:
    return next((c for c in api.status.conditions if c.type == kind), None)


def holds(api: api_pb2.Api, kind: str) -> bool:
    found = condition(api, kind)
    return found is not None and found.status == condition_pb2.CONDITION_STATUS_TRUE


def reason(value: int) -> str:
    """`CONSTRUCTOR_FAILED` of a ConditionReason."""
    if value not in condition_pb2.ConditionReason.values():
        return str(value)
    return condition_pb2.ConditionReason.Name(value).removeprefix("CONDITION_REASON_")


def judge(api: api_pb2.Api, generation: int, revision: str) -> Verdict:
    """What became of the change that made `generation` and wants `revision` (a name; "" for whatever is wanted)."""
    status = api.status
    if status.observed_generation < generation:
        return Verdict.PENDING
    wanted = revision or status.target_revision
    if status.rollout.to_revision == wanted and status.rollout.state == api_pb2.ROLLOUT_STATE_FAILED:
        return Verdict.FAILED
    if status.target_revision != wanted:
        # Somebody wants another revision since, a newer one or (a rollback) an older one.
        return Verdict.SUPERSEDED
    if status.serving_revision == status.target_revision == wanted != status.rollout.to_revision:
        # Nothing had to move (a rollback out of a failed update): the last rollout is about another revision.
        return Verdict.DONE if holds(api, "RevisionReady") or holds(api, "Ready") else Verdict.PENDING
    complete = condition(api, "RolloutComplete")
    finished = complete is None or complete.status == condition_pb2.CONDITION_STATUS_TRUE
    if status.serving_revision == wanted and finished and holds(api, "Ready"):
        return Verdict.DONE
    return Verdict.PENDING


def scaled(api: api_pb2.Api, generation: int) -> bool:
    """Whether as many replicas are ready as are wanted."""
    status = api.status
    return status.observed_generation >= generation and status.ready_replicas == status.desired_replicas


def replicas_of(api: api_pb2.Api, revision: str) -> list[api_pb2.Replica]:
    return [replica for replica in api.status.replicas if replica.revision in (revision, names.last(revision))]


def phases(api: api_pb2.Api, generation: int, revision: str) -> list[Phase]:
    """The server's part of a deploy. A revision that is routed answers; it is complete once it alone does."""
    verdict = judge(api, generation, revision)
    if verdict is Verdict.DONE:
        return [Phase(name, Step.DONE) for name in ("environment", "start", "ready", "routed", "complete")]
    # A rollback may bring a revision back while its last replicas still finish their requests.
    replicas = [r for r in replicas_of(api, revision or api.status.target_revision) if r.state not in _LEAVING]
    built = any(replica.state in _STARTED for replica in replicas)
    ready = sum(replica.state == api_pb2.REPLICA_STATE_READY for replica in replicas)
    message = next((replica.message for replica in replicas if replica.message), "")
    count = f"{ready} of {len(replicas)} replicas" if replicas else ""
    complete = bool(replicas) and ready == len(replicas)
    wanted = revision or api.status.target_revision
    routed = ready > 0 and any(t.revision == wanted and t.percent > 0 for t in api.status.traffic)
    return [
        Phase("environment", Step.DONE if built else Step.RUNNING, "" if built else message),
        Phase("start", _step(done=ready > 0, running=built), "" if ready else message),
        Phase("ready", _step(done=complete, running=ready > 0), count),
        Phase("routed", _step(done=routed, running=complete)),
        Phase("complete", _step(done=False, running=routed), "watching the new revision" if routed else ""),
    ]


def _step(*, done: bool, running: bool) -> Step:
    return Step.DONE if done else Step.RUNNING if running else Step.WAITING


def failures(api: api_pb2.Api, revision: str) -> list[api_pb2.Replica]:
    """The replicas of a revision that failed, with why."""
    return [r for r in replicas_of(api, revision or api.status.target_revision) if r.HasField("last_failure")]


def summary(api: api_pb2.Api) -> str:
    """One or two words for a table: ready, updating, scaled to zero, or the reason why not."""
    if api.HasField("delete_time"):
        return "deleting"
    ready = condition(api, "Ready")
    if ready is None or ready.status == condition_pb2.CONDITION_STATUS_UNKNOWN:
        return "unknown" if ready is not None else "pending"
    rollout = api.status.rollout
    answers = holds(api, "Ready") or (bool(api.status.serving_revision) and holds(api, "ReplicasAvailable"))
    if answers and rollout.state == api_pb2.ROLLOUT_STATE_IN_PROGRESS:
        return "updating"
    if answers and rollout.state == api_pb2.ROLLOUT_STATE_FAILED:
        return "ready (update failed)"
    if ready.status != condition_pb2.CONDITION_STATUS_TRUE:
        return _words(ready.reason)
    active = condition(api, "Active")
    if active is not None and active.status == condition_pb2.CONDITION_STATUS_FALSE:
        return "scaled to zero"
    return "ready"


def given_up(api: api_pb2.Api) -> str:
    """The revision (id) of a failed rollout that the API has since stayed away from, "" where there is none."""
    rollout = api.status.rollout
    failed = rollout.state == api_pb2.ROLLOUT_STATE_FAILED and rollout.to_revision != api.status.target_revision
    return names.last(rollout.to_revision) if failed else ""


def _words(value: int) -> str:
    return reason(value).lower().replace("_", " ") if value else "not ready"
