"""Protobuf to model and back. Total: what a message leaves out gets the default of the contract."""

from typing import Any

from cortex.apiserver.v1 import api_pb2, spec_pb2
from cortex.autoscaler.v1 import autoscaler_service_pb2 as pb
from cortex.type.v1 import condition_pb2
from services.autoscaler import explain, history, model

_DEFAULTS = model.Scaling()
_ACTIVATION_TIMEOUT = 120.0
# Reasons that mean: as it is, this revision will not start. Others (PENDING, STARTING...) mean: not yet.
_FAILURES = {
    condition_pb2.CONDITION_REASON_ENVIRONMENT_FAILED,
    condition_pb2.CONDITION_REASON_IMPORT_FAILED,
    condition_pb2.CONDITION_REASON_INVALID_PREDICTOR,
    condition_pb2.CONDITION_REASON_CONSTRUCTOR_FAILED,
    condition_pb2.CONDITION_REASON_CRASH_LOOP,
    condition_pb2.CONDITION_REASON_OUT_OF_MEMORY,
    condition_pb2.CONDITION_REASON_PROGRESS_DEADLINE_EXCEEDED,
    condition_pb2.CONDITION_REASON_REVISION_UNHEALTHY,
    condition_pb2.CONDITION_REASON_BUNDLE_FAILED,
    condition_pb2.CONDITION_REASON_MODEL_FAILED,
    condition_pb2.CONDITION_REASON_EXITED,
}
_MESSAGE_LIMIT = 2000


def api(message: api_pb2.Api) -> model.Api:
    status = message.status
    return model.Api(
        name=message.name,
        uid=message.uid,
        scaling=scaling(message.spec),
        activation_timeout=_seconds(message.spec.networking, "activation_timeout", _ACTIVATION_TIMEOUT),
        desired=status.desired_replicas,
        ready=status.ready_replicas,
        routable=status.routable_replicas,
        failure=_failure(status),
        replicas_known=not _is_unknown(status, "ReplicasAvailable"),
        deleting=message.HasField("delete_time"),
    )


def scaling(spec: spec_pb2.ApiSpec) -> model.Scaling:
    given = spec.autoscaling
    slots = max(1, spec.predictor.processes_per_replica) * max(1, spec.predictor.threads_per_process)
    lowest = _optional(given, "min_replicas", _DEFAULTS.min_replicas)
    return model.Scaling(
        min_replicas=lowest,
        max_replicas=max(lowest, given.max_replicas or _DEFAULTS.max_replicas),
        target_in_flight=given.target_in_flight if given.target_in_flight > 0 else float(slots),
        max_replica_concurrency=given.max_replica_concurrency or _DEFAULTS.max_replica_concurrency,
        window=max(1.0, _seconds(given, "window", _DEFAULTS.window)),
        downscale_stabilization_period=_seconds(
            given, "downscale_stabilization_period", _DEFAULTS.downscale_stabilization_period
        ),
        upscale_stabilization_period=_seconds(
            given, "upscale_stabilization_period", _DEFAULTS.upscale_stabilization_period
        ),
        max_downscale_factor=_optional(given, "max_downscale_factor", _DEFAULTS.max_downscale_factor),
        max_upscale_factor=_optional(given, "max_upscale_factor", _DEFAULTS.max_upscale_factor),
        downscale_tolerance=_optional(given, "downscale_tolerance", _DEFAULTS.downscale_tolerance),
        upscale_tolerance=_optional(given, "upscale_tolerance", _DEFAULTS.upscale_tolerance),
    )


def decision(record: history.Record, name: str) -> pb.Decision:
    made = record.decision
    message = pb.Decision(
        api=name,
        current_replicas=made.current,
        desired_replicas=made.desired,
        winning_term=_term(made.winning),
        explanation=explain.sentence(made),
        steps=[_step(step, made) for step in made.steps],
        average_in_flight=made.seen.average_in_flight or 0.0,
        in_flight=made.seen.in_flight,
        held_requests=made.seen.held,
        target_in_flight=made.scaling.target_in_flight,
        policy=made.policy,
    )
    message.time.FromNanoseconds(int(record.first * 1e9))
    message.last_time.FromNanoseconds(int(record.last * 1e9))
    return message


def _step(step: model.Step, made: model.Decision) -> pb.DecisionStep:
    return pb.DecisionStep(term=_term(step.term), replicas=step.after, detail=explain.detail(step, made))


def _term(term: model.Term) -> str:
    return f"DECISION_TERM_{term.value}"


def _failure(status: api_pb2.ApiStatus) -> model.Failure | None:
    """Why nothing can start. A new revision that failed beside one that can still serve is no reason to refuse."""
    rollout = status.rollout
    failed = rollout.state == api_pb2.ROLLOUT_STATE_FAILED
    if failed and status.serving_revision in ("", rollout.to_revision):
        return _because(rollout.reason, rollout.message, final=True)
    if status.serving_revision not in ("", status.target_revision):
        return None
    for condition in status.conditions:
        false = condition.status == condition_pb2.CONDITION_STATUS_FALSE
        if condition.type == "RevisionReady" and false and condition.reason in _FAILURES:
            return _because(condition.reason, condition.message, final=False)
    return None


def _because(reason: condition_pb2.ConditionReason, message: str, *, final: bool) -> model.Failure:
    name = condition_pb2.ConditionReason.Name(reason).removeprefix("CONDITION_REASON_")
    return model.Failure(name, message[-_MESSAGE_LIMIT:], final)


def _is_unknown(status: api_pb2.ApiStatus, kind: str) -> bool:
    unknown = condition_pb2.CONDITION_STATUS_UNKNOWN
    return any(condition.type == kind and condition.status == unknown for condition in status.conditions)


def _optional(message: Any, field: str, default: Any) -> Any:
    return getattr(message, field) if message.HasField(field) else default


def _seconds(message: Any, field: str, default: float) -> float:
    if not message.HasField(field):
        return default
    seconds: float = getattr(message, field).ToNanoseconds() / 1e9
    return seconds
