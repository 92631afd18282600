"""Domain words -> protobuf for what only goes out: APIs with their status, revisions, events, gateways.

Status older than its source is unknown: ten seconds after the node was last heard of, replicas and the conditions that
rest on them say so, whatever the last pass wrote.
"""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

from cortex.apiserver.v1 import api_pb2, event_pb2, gateway_pb2, revision_pb2
from cortex.type.v1 import condition_pb2
from services.apiserver import convert, model, observation, resource_names, wire

# These rest on the record or on the gateway, not on the node.
_NOT_FROM_NODE = {"GatewayProgrammed", "RolloutComplete"}
_FIRST_LOOK = "accepted; it is looked at within a second"


def etag(api: model.Api) -> str:
    return hashlib.sha256(f"{api.uid}/{api.version}".encode()).hexdigest()[:24]


def reason(value: model.Reason) -> str:
    """Protobuf takes an enum by its name."""
    return f"CONDITION_REASON_{value.value}"


def api_to_pb(api: model.Api, status: model.Status | None, *, heard: float | None, now: float) -> api_pb2.Api:
    """`heard` is when the node last confirmed what `status` says."""
    return api_pb2.Api(
        name=api.name,
        uid=api.uid,
        generation=api.generation,
        etag=etag(api),
        labels=api.labels,
        spec=convert.spec_to_pb(api.spec),
        status=_status(api, shown(api, status, heard, now), heard),
        create_time=wire.timestamp(api.create_time),
        update_time=wire.timestamp(api.update_time),
        delete_time=wire.timestamp(api.delete_time),
    )


def shown(api: model.Api, status: model.Status | None, heard: float | None, now: float) -> model.Status:
    """What may be said of `api` at `now`."""
    if status is None:
        return _unseen(api)
    if heard is not None and now - heard <= observation.STALE_SECONDS:
        return status
    conditions = tuple(_doubt(condition, heard, now) for condition in status.conditions)
    replicas = tuple(_lost(replica) for replica in status.replicas)
    return dataclasses.replace(status, conditions=conditions, replicas=replicas)


def _unseen(api: model.Api) -> model.Status:
    kind = model.Reason.DELETING if api.delete_time is not None else model.Reason.PENDING
    ready = model.Condition("Ready", model.Truth.UNKNOWN, kind, _FIRST_LOOK, api.update_time)
    return model.Status(
        observed_generation=0,
        conditions=(ready,),
        reconciling=True,
        url="",
        traffic={},
        ready_replicas=0,
        updated_replicas=0,
        routable_replicas=0,
        replicas=(),
        observe_time=None,
    )


def _doubt(condition: model.Condition, heard: float | None, now: float) -> model.Condition:
    if condition.type in _NOT_FROM_NODE or condition.status is model.Truth.UNKNOWN:
        return condition
    if condition.reason is model.Reason.DELETING:
        return condition
    age = "since the apiserver started" if heard is None else f"for {now - heard:.0f} s"
    return dataclasses.replace(
        condition,
        status=model.Truth.UNKNOWN,
        reason=model.Reason.NODE_UNREACHABLE,
        message=f"The node has not been heard of {age}; last known: {condition.message}",
        last_transition_time=now if heard is None else heard + observation.STALE_SECONDS,
    )


def _lost(replica: model.Replica) -> model.Replica:
    ended = replica.state is model.ReplicaState.STOPPED
    return replica if ended else dataclasses.replace(replica, state=model.ReplicaState.UNKNOWN)


def _status(api: model.Api, status: model.Status, heard: float | None) -> api_pb2.ApiStatus:
    return api_pb2.ApiStatus(
        observed_generation=status.observed_generation,
        conditions=[_condition(condition) for condition in status.conditions],
        reconciling=status.reconciling or _pending(api, status),
        url=status.url,
        serving_revision=resource_names.revision(api.name, api.serving_revision),
        target_revision=resource_names.revision(api.name, api.target_revision),
        traffic=[
            api_pb2.TrafficTarget(revision=resource_names.revision(api.name, revision), percent=share)
            for revision, share in status.traffic.items()
        ],
        desired_replicas=api.desired_replicas,
        ready_replicas=status.ready_replicas,
        updated_replicas=status.updated_replicas,
        replicas=[replica_to_pb(replica) for replica in status.replicas],
        rollout=None if api.rollout is None else _rollout(api.name, api.rollout),
        observe_time=wire.timestamp(heard),
        routable_replicas=status.routable_replicas,
        not_in_effect=api.spec.not_in_effect,
    )


def _pending(api: model.Api, status: model.Status) -> bool:
    """Whether the record wants what no pass has looked at yet."""
    moving = api.target_revision != api.serving_revision
    begun = api.rollout is not None and api.rollout.to_revision == api.target_revision
    return (
        status.observed_generation < api.generation
        or api.delete_time is not None
        or (api.rollout is not None and api.rollout.state is model.RolloutState.IN_PROGRESS)
        or (moving and not begun)
    )


def _condition(condition: model.Condition) -> condition_pb2.Condition:
    return condition_pb2.Condition(
        type=condition.type,
        status=f"CONDITION_STATUS_{condition.status.value}",
        reason=reason(condition.reason),
        message=condition.message,
        last_transition_time=wire.timestamp(condition.last_transition_time),
    )


def replica_to_pb(replica: model.Replica) -> api_pb2.Replica:
    failure = replica.last_failure
    return api_pb2.Replica(
        id=replica.id,
        revision=resource_names.revision(replica.api, replica.revision),
        state=f"REPLICA_STATE_{replica.state.value}",
        pid=replica.pid,
        restart_count=replica.restart_count,
        last_failure=None
        if failure is None
        else api_pb2.ReplicaFailure(
            reason=reason(failure.reason),
            message=failure.message,
            time=wire.timestamp(failure.time),
            exit_code=failure.exit_code,
        ),
        create_time=wire.timestamp(replica.create_time),
        ready_time=wire.timestamp(replica.ready_time),
        message=replica.message,
        http_address=replica.http_address,
        grpc_address=replica.grpc_address,
    )


def _rollout(api: str, rollout: model.Rollout) -> api_pb2.Rollout:
    return api_pb2.Rollout(
        state=f"ROLLOUT_STATE_{rollout.state.value}",
        from_revision=resource_names.revision(api, rollout.from_revision),
        to_revision=resource_names.revision(api, rollout.to_revision),
        reason=reason(rollout.reason),
        message=rollout.message,
        start_time=wire.timestamp(rollout.start_time),
        end_time=wire.timestamp(rollout.end_time),
    )


def revision_to_pb(revision: model.Revision) -> revision_pb2.Revision:
    return revision_pb2.Revision(
        name=resource_names.revision(revision.api, revision.id),
        uid=revision.uid,
        number=revision.number,
        spec=convert.spec_to_pb(revision.spec),
        content_digest=revision.content_digest,
        create_time=wire.timestamp(revision.create_time),
        cause=f"REVISION_CAUSE_{revision.cause.value}",
        state=f"REVISION_STATE_{revision.state.value}",
        reason=reason(revision.reason),
        message=revision.message,
    )


def event_to_pb(event: model.Event) -> event_pb2.Event:
    return event_pb2.Event(
        name=resource_names.event(event.api, event.id),
        api=event.api,
        revision=resource_names.revision(event.api, event.revision),
        replica=event.replica,
        type=event.type,
        severity=f"EVENT_SEVERITY_{event.severity.value}",
        reason=reason(event.reason),
        message=event.message,
        time=wire.timestamp(event.time),
        count=event.count,
        actor=event.actor,
        trace_id=event.trace_id,
    )


def gateways_to_pb(statuses: Sequence[Any]) -> list[gateway_pb2.Gateway]:
    return [_gateway(status) for status in sorted(statuses, key=lambda status: status.node_id)]


def _gateway(status: Any) -> gateway_pb2.Gateway:
    return gateway_pb2.Gateway(
        name=resource_names.gateway(status.node_id),
        connected=status.connected,
        connect_time=wire.timestamp(status.connect_time),
        resources=[_gateway_resource(resource) for resource in status.resources],
        in_sync=status.in_sync,
        user_agent=status.user_agent,
    )


def _gateway_resource(resource: Any) -> gateway_pb2.GatewayResourceStatus:
    return gateway_pb2.GatewayResourceStatus(
        type=resource.type,
        sent_version=resource.sent_version,
        acked_version=resource.acked_version,
        error=resource.error,
        ack_time=wire.timestamp(resource.ack_time),
        nack_time=wire.timestamp(resource.nack_time),
    )
