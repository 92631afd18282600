"""The real node in a process of its own, with a fake runtime and a fake apiserver around it."""

import asyncio
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from google.protobuf import duration_pb2

from cortex.apiserver.v1 import api_pb2, spec_pb2
from cortex.node.v1 import node_service_pb2, node_service_pb2_grpc
from services.chassis import processes
from tests.fakes import fake_bundles

_ROOT = pathlib.Path(__file__).parents[2]
FAKE_RUNTIME = _ROOT / "tests/fakes/fake_runtime.py"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class NodeProcess:
    """`start`, `kill`, `restart` the process; `stub` talks to it; `start_replica` asks it for a fake replica."""

    def __init__(self, home: pathlib.Path, bundles: fake_bundles.FakeBundles, apiserver: str, **environ: str) -> None:
        self.home = home
        self.bundles = bundles
        self.port = free_port()
        self._environ = {
            **os.environ,
            "CORTEX_HOME": str(home),
            "CORTEX_LISTEN": f"127.0.0.1:{self.port}",
            "CORTEX_APISERVER_ADDRESS": apiserver,
            "CORTEX_RUNTIME_COMMAND": f"{sys.executable} {FAKE_RUNTIME}",
            "CORTEX_MEMORY_ENFORCEMENT": "watch",
            # A node that is killed leaves its cgroups to the next one of its id, which no test has.
            "CORTEX_CGROUP": str(home / "no-cgroup"),
            **environ,
        }
        self._log = (home / "node.log").open("ab")
        self.process: subprocess.Popen[bytes] | None = None
        self.channel = grpc.aio.insecure_channel(
            f"127.0.0.1:{self.port}",
            options=[("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 100)],
        )
        self.stub: node_service_pb2_grpc.NodeServiceAsyncStub = node_service_pb2_grpc.NodeServiceStub(self.channel)

    async def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "services.node"], env=self._environ, stderr=self._log, stdin=subprocess.DEVNULL
        )
        await self.stub.GetNode(node_service_pb2.GetNodeRequest(), wait_for_ready=True, timeout=20)

    def end(self, number: int) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(10)

    async def start_replica(
        self, replica: str, files: dict[str, str] | None = None, **behaviour: Any
    ) -> api_pb2.Replica:
        compute = spec_pb2.Compute(memory_bytes=behaviour.pop("memory_bytes", 0))
        predictor = spec_pb2.Predictor(path="predictor.py", python_version=behaviour.pop("python_version", ""))
        predictor.config.update(behaviour)
        bundle = self.bundles.add(fake_bundles.pack(files or {"predictor.py": "x = 1\n"}))
        request = node_service_pb2.StartReplicaRequest(
            replica_id=replica,
            revision="namespaces/default/apis/iris/revisions/r1-abc",
            spec=spec_pb2.ApiSpec(kind=spec_pb2.API_KIND_REALTIME, predictor=predictor, compute=compute),
            bundle=bundle,
        )
        return (await self.stub.StartReplica(request, timeout=5)).replica

    async def stop_replica(self, replica: str, drain_timeout: float = 5.0) -> None:
        duration = duration_pb2.Duration()
        duration.FromMilliseconds(int(drain_timeout * 1000))
        request = node_service_pb2.StopReplicaRequest(replica_id=replica, drain_timeout=duration)
        await self.stub.StopReplica(request, timeout=5)

    async def replica(self, replica: str) -> api_pb2.Replica | None:
        answer = await self.stub.ListReplicas(node_service_pb2.ListReplicasRequest(), timeout=5)
        return next((found for found in answer.replicas if found.id == replica), None)

    async def until(
        self, replica: str, wanted: Callable[[api_pb2.Replica | None], bool], timeout: float = 15.0
    ) -> api_pb2.Replica | None:
        """Waits for a condition on a replica; on failure the node's log is part of the message."""
        began, found = time.monotonic(), await self.replica(replica)
        while not wanted(found):
            assert time.monotonic() - began < timeout, f"{found}\n{(self.home / 'node.log').read_text()[-4000:]}"
            await asyncio.sleep(0.01)
            found = await self.replica(replica)
        return found

    async def until_ready(self, replica: str, restarts: int = 0, timeout: float = 15.0) -> api_pb2.Replica:
        def ready(found: api_pb2.Replica | None) -> bool:
            return found is not None and found.state == api_pb2.REPLICA_STATE_READY and found.restart_count >= restarts

        found = await self.until(replica, ready, timeout)
        assert found is not None
        return found

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.end(signal.SIGKILL)
        for path in (self.home / "node/replicas").glob("*/record.json"):
            launch = json.loads(path.read_text()).get("launch")
            if launch:
                processes.kill_session(processes.Identity.from_json(launch["identity"]))
        self._log.close()


@contextlib.asynccontextmanager
async def running(home: pathlib.Path, **environ: str) -> AsyncIterator[NodeProcess]:
    bundles = fake_bundles.FakeBundles()  # type: ignore[abstract]  # only the node's part of the service
    server, address = await fake_bundles.serve(bundles)
    node = NodeProcess(home, bundles, address, **environ)
    try:
        await node.start()
        yield node
    finally:
        node.close()
        await node.channel.close()
        await server.stop(0)
