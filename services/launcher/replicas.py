"""Ending every replica: through the node while it lives, which drains them; from its records when it is dead."""

import asyncio
import json
import pathlib
import time
from collections.abc import Iterator

from services.chassis import processes


async def drain(node_address: str, timeout: float) -> list[str]:
    """Asks the node to stop all its replicas and waits; the ids of those left after `timeout` seconds."""
    # Imported here: the supervisor itself never needs gRPC.
    import grpc
    from google.protobuf import duration_pb2

    from cortex.node.v1 import node_service_pb2, node_service_pb2_grpc

    ended = time.monotonic() + timeout
    async with grpc.aio.insecure_channel(node_address) as channel:
        stub: node_service_pb2_grpc.NodeServiceAsyncStub = node_service_pb2_grpc.NodeServiceStub(channel)
        asked: set[str] = set()
        try:
            while True:
                answer = await stub.ListReplicas(node_service_pb2.ListReplicasRequest(), timeout=5)
                names = [replica.id for replica in answer.replicas]
                for name in set(names) - asked:
                    wait = duration_pb2.Duration(seconds=max(0, int(ended - time.monotonic())))
                    request = node_service_pb2.StopReplicaRequest(replica_id=name, drain_timeout=wait)
                    await stub.StopReplica(request, timeout=5)
                    asked.add(name)
                # The node kills what does not drain two seconds after the time it was given.
                if not names or time.monotonic() > ended + 3:
                    return names
                await asyncio.sleep(0.05)
        except grpc.aio.AioRpcError as error:
            return [f"the node at {node_address} does not answer: {error.code().name}"]


def any_recorded(folder: pathlib.Path) -> bool:
    return any(folder.glob("*/record.json"))


def kill_recorded(folder: pathlib.Path) -> int:
    """Kills the session of every replica in the node's records; returns how many processes were hit.

    The records stay: a node that starts again finds the processes gone and does as its records say.
    """
    return sum(processes.kill_session(identity) for identity in _recorded(folder))


def _recorded(folder: pathlib.Path) -> Iterator[processes.Identity]:
    for path in folder.glob("*/record.json"):
        try:
            launch = json.loads(path.read_text()).get("launch")
            if launch:
                yield processes.Identity.from_json(launch["identity"])
        except (OSError, ValueError, KeyError, TypeError):
            continue


def forget_recorded(folder: pathlib.Path) -> None:
    """Removes the records of replicas that were killed, so that the next node does not start them again."""
    for path in folder.glob("*/record.json"):
        path.unlink(missing_ok=True)
