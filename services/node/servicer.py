"""NodeService: convert in, one call, convert out."""

from collections.abc import AsyncIterator
from typing import Any

import grpc

from cortex.node.v1 import node_service_pb2 as pb
from cortex.node.v1 import node_service_pb2_grpc
from services.chassis import errors
from services.node import convert, supervisor, watch

_HEARTBEAT = 2.0


class NodeServicer(node_service_pb2_grpc.NodeServiceServicer):
    def __init__(
        self, node: pb.Node, replicas: supervisor.Supervisor, hub: watch.Hub, *, heartbeat: float = _HEARTBEAT
    ) -> None:
        self._node = node
        self._replicas = replicas
        self._hub = hub
        self._heartbeat = heartbeat

    async def GetNode(self, request: pb.GetNodeRequest, context: "grpc.aio.ServicerContext[Any, Any]") -> pb.Node:
        return self._node

    async def StartReplica(
        self, request: pb.StartReplicaRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> pb.StartReplicaResponse:
        view = await self._replicas.start(convert.wish(request))
        return pb.StartReplicaResponse(replica=convert.replica(view))

    async def StopReplica(
        self, request: pb.StopReplicaRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> pb.StopReplicaResponse:
        await self._replicas.stop(request.replica_id, convert.drain_timeout(request))
        return pb.StopReplicaResponse()

    async def ListReplicas(
        self, request: pb.ListReplicasRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> pb.ListReplicasResponse:
        return pb.ListReplicasResponse(replicas=[convert.replica(view) for view in self._replicas.views()])

    async def WatchReplicas(
        self, request: pb.WatchReplicasRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> AsyncIterator[pb.WatchReplicasResponse]:
        with self._hub.watcher() as watcher:
            for view in self._replicas.views():
                yield pb.WatchReplicasResponse(replica=convert.replica(view))
            yield pb.WatchReplicasResponse(synced=True)
            while not watcher.overflowed:
                change = await watcher.get(self._heartbeat)
                yield pb.WatchReplicasResponse() if change is None else _message(change)
        raise errors.ResourceExhausted("this watcher is too slow and missed changes; open the stream again")


def _message(change: watch.Change) -> pb.WatchReplicasResponse:
    return pb.WatchReplicasResponse(replica=convert.replica(change.view), removed=change.removed)
