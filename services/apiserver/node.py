"""The backend of this machine: the node service, over gRPC.

What the node says is kept as it was said, with the time it was last heard. A break loses nothing: the new stream begins
with the whole state, and until that is complete the old picture stays, growing old.
"""

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import grpc
import structlog

from cortex.apiserver.v1 import api_pb2
from cortex.node.v1 import node_service_pb2 as pb
from cortex.node.v1 import node_service_pb2_grpc
from cortex.type.v1 import condition_pb2
from services.apiserver import convert, errors, model, ports, resource_names, wire
from services.chassis import backoff
from services.chassis import clock as clocks

# The node sends a heartbeat every two seconds; a stream without three of them is dead whatever TCP says.
HEARTBEAT_SECONDS = 6.0
_CALL_SECONDS = 8.0
_RETRY = backoff.Backoff(first=0.1, longest=2.0)
_log = structlog.get_logger("node")


class NodeBackend:
    """`ports.BackendPort` for one node. The channel belongs to the caller."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        clock: clocks.Clock,
        rng: random.Random,
        heartbeat: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._stub = node_service_pb2_grpc.NodeServiceStub(channel)
        self._clock = clock
        self._rng = rng
        self._heartbeat = heartbeat
        self._replicas: dict[str, model.Replica] = {}
        self._heard: float | None = None

    async def start_replica(self, replica_id: str, revision: model.Revision) -> None:
        digest = revision.spec.bundle_digest.removeprefix("sha256:")
        request = pb.StartReplicaRequest(
            replica_id=replica_id,
            revision=resource_names.revision(revision.api, revision.id),
            spec=convert.spec_to_pb(revision.spec),
            bundle=resource_names.bundle(resource_names.namespace_of(revision.api), digest),
        )
        await self._call(self._stub.StartReplica(request, timeout=_CALL_SECONDS), f"start {replica_id}")

    async def stop_replica(self, replica_id: str, drain_timeout: float) -> None:
        request = pb.StopReplicaRequest(replica_id=replica_id, drain_timeout=wire.duration(drain_timeout))
        await self._call(self._stub.StopReplica(request, timeout=_CALL_SECONDS), f"stop {replica_id}")

    def observed(self) -> tuple[Mapping[str, model.Replica], float | None]:
        return self._replicas, self._heard

    async def run(self, changed: ports.Changed) -> None:
        failures = 0
        while True:
            before = self._heard
            try:
                await self._watch(changed)
            except (grpc.aio.AioRpcError, TimeoutError) as error:
                _log.warning("the node is not heard any more, will reconnect", error=_words(error))
            for api in self._apis():
                changed(api)
            failures = 0 if self._heard != before else failures + 1
            await self._clock.sleep(_RETRY.delay(failures, self._rng))

    async def _watch(self, changed: ports.Changed) -> None:
        call = self._stub.WatchReplicas(pb.WatchReplicasRequest())
        try:
            await self._take(call, changed)
        finally:
            call.cancel()

    async def _take(self, call: Any, changed: ports.Changed) -> None:
        whole: dict[str, model.Replica] | None = {}
        while True:
            # Not wait_for: it can swallow a cancellation that comes together with a message.
            async with asyncio.timeout(self._heartbeat):
                message = await call.read()
            if message is grpc.aio.EOF:
                return
            replica = replica_from_pb(message.replica) if message.HasField("replica") else None
            if whole is None:
                self._heard = self._clock.now()
                if replica is not None:
                    self._apply(replica, message.removed, changed)
            elif message.synced:
                self._replace(whole, changed)
                whole = None
            elif replica is not None:
                whole[replica.id] = replica

    def _apply(self, replica: model.Replica, removed: bool, changed: ports.Changed) -> None:
        # A new mapping each time: `observed` hands out what was true when it was asked.
        self._replicas = {identity: known for identity, known in self._replicas.items() if identity != replica.id}
        if not removed:
            self._replicas[replica.id] = replica
        changed(replica.api)

    def _replace(self, whole: dict[str, model.Replica], changed: ports.Changed) -> None:
        apis = self._apis()
        self._replicas, self._heard = whole, self._clock.now()
        for api in sorted(apis | self._apis()):
            changed(api)

    def _apis(self) -> set[str]:
        return {replica.api for replica in self._replicas.values()}

    async def _call(self, call: Any, what: str) -> None:
        try:
            await call
        except grpc.aio.AioRpcError as error:
            raise errors.BackendUnavailable(f"the node did not {what}: {_words(error)}; will retry") from error


def replica_from_pb(message: api_pb2.Replica) -> model.Replica:
    api, revision = message.revision.rsplit("/revisions/", 1)
    state = _word(api_pb2.ReplicaState, message.state, "REPLICA_STATE_")
    return model.Replica(
        id=message.id,
        api=api,
        revision=revision,
        # A node newer than this apiserver may know a state that we do not: then we do not know.
        state=model.ReplicaState.__members__.get(state, model.ReplicaState.UNKNOWN),
        create_time=_time(message.create_time) or 0.0,
        ready_time=_time(message.ready_time) if message.HasField("ready_time") else None,
        pid=message.pid,
        restart_count=message.restart_count,
        last_failure=_failure(message.last_failure) if message.HasField("last_failure") else None,
        message=message.message,
        http_address=message.http_address,
        grpc_address=message.grpc_address,
    )


def _failure(message: api_pb2.ReplicaFailure) -> model.ReplicaFailure:
    name = _word(condition_pb2.ConditionReason, message.reason, "CONDITION_REASON_")
    reason = model.Reason.__members__.get(name, model.Reason.UNSPECIFIED)
    return model.ReplicaFailure(reason, message.message, _time(message.time), message.exit_code)


def _time(stamp: Any) -> float:
    return float(stamp.seconds + stamp.nanos / 1e9)


def _word(kind: Any, number: int, prefix: str) -> str:
    value = kind.DESCRIPTOR.values_by_number.get(number)
    return value.name.removeprefix(prefix) if value is not None else ""


def _words(error: BaseException) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    return "no heartbeat"
