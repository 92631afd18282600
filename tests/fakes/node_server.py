"""A node on a socket: cortex.node.v1 in front of a FakeBackend, so that the real adapter has somebody to talk to."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf import timestamp_pb2

from cortex.apiserver.v1 import api_pb2
from cortex.node.v1 import node_service_pb2 as pb
from cortex.node.v1 import node_service_pb2_grpc
from services.apiserver import errors, model
from tests.fakes import records
from tests.fakes.backend import FakeBackend


class FakeNodeServer(node_service_pb2_grpc.NodeServiceServicer):
    """`mute` keeps streams open and says nothing on them, as a machine that hangs does."""

    def __init__(self, backend: FakeBackend, *, heartbeat: float = 0.01) -> None:
        self.backend = backend
        self.requests: list[Any] = []
        self.mute = False
        self.address = ""
        self._heartbeat = heartbeat
        self._server: grpc.aio.Server | None = None

    async def listen(self, address: str = "127.0.0.1:0") -> None:
        self._server = grpc.aio.server()
        node_service_pb2_grpc.add_NodeServiceServicer_to_server(self, self._server)
        port = self._server.add_insecure_port(address)
        self.address = f"127.0.0.1:{port}"
        await self._server.start()

    async def close(self) -> None:
        if self._server is not None:
            await self._server.stop(0)

    async def StartReplica(self, request: pb.StartReplicaRequest, context: Any) -> pb.StartReplicaResponse:
        self.requests.append(request)
        api, revision = request.revision.rsplit("/revisions/", 1)
        await self._guard(context, self.backend.start_replica(request.replica_id, records.revision(revision, api)))
        return pb.StartReplicaResponse(replica=to_pb(self.backend.real()[request.replica_id]))

    async def StopReplica(self, request: pb.StopReplicaRequest, context: Any) -> pb.StopReplicaResponse:
        self.requests.append(request)
        drain = request.drain_timeout.ToTimedelta().total_seconds()
        await self._guard(context, self.backend.stop_replica(request.replica_id, drain))
        return pb.StopReplicaResponse()

    async def GetNode(self, request: pb.GetNodeRequest, context: Any) -> pb.Node:
        return pb.Node(id="fake")

    async def ListReplicas(self, request: pb.ListReplicasRequest, context: Any) -> pb.ListReplicasResponse:
        return pb.ListReplicasResponse(replicas=[to_pb(replica) for replica in self.backend.real().values()])

    async def WatchReplicas(
        self, request: pb.WatchReplicasRequest, context: Any
    ) -> AsyncIterator[pb.WatchReplicasResponse]:
        told = dict(self.backend.observed()[0])
        for replica in told.values():
            yield pb.WatchReplicasResponse(replica=to_pb(replica))
        yield pb.WatchReplicasResponse(synced=True)
        while True:
            await asyncio.sleep(self._heartbeat)
            if self.mute:
                continue
            now = dict(self.backend.observed()[0])
            for identity in told.keys() | now.keys():
                if told.get(identity) != now.get(identity):
                    gone = identity not in now
                    yield pb.WatchReplicasResponse(
                        replica=to_pb(told[identity] if gone else now[identity]), removed=gone
                    )
            told = now
            yield pb.WatchReplicasResponse()

    async def _guard(self, context: Any, call: Any) -> None:
        try:
            await call
        except errors.Unavailable as error:
            await context.abort(error.code, error.message)


def to_pb(replica: model.Replica) -> api_pb2.Replica:
    message = api_pb2.Replica(
        id=replica.id,
        revision=f"{replica.api}/revisions/{replica.revision}",
        state=f"REPLICA_STATE_{replica.state.value}",
        pid=replica.pid,
        restart_count=replica.restart_count,
        create_time=_time(replica.create_time),
        message=replica.message,
        http_address=replica.http_address,
        grpc_address=replica.grpc_address,
    )
    if replica.ready_time is not None:
        message.ready_time.CopyFrom(_time(replica.ready_time))
    if replica.last_failure is not None:
        failure = replica.last_failure
        message.last_failure.reason = f"CONDITION_REASON_{failure.reason.value}"  # type: ignore[assignment]  # protobuf takes names
        message.last_failure.message, message.last_failure.exit_code = failure.message, failure.exit_code
        message.last_failure.time.CopyFrom(_time(failure.time))
    return message


def _time(seconds: float) -> timestamp_pb2.Timestamp:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromMicroseconds(round(seconds * 1e6))
    return stamp
