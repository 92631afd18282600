"""The node as a process, with real replica processes: start, crash, stop, and the death of the node itself."""

import asyncio
import json
import os
import pathlib
import signal
import time
import urllib.request
from collections.abc import AsyncIterator

import pytest

from cortex.apiserver.v1 import api_pb2
from cortex.node.v1 import node_service_pb2
from cortex.type.v1 import condition_pb2
from services.chassis import processes
from tests.fakes import node_process


@pytest.fixture
async def node(tmp_path: pathlib.Path) -> AsyncIterator[node_process.NodeProcess]:
    async with node_process.running(tmp_path) as started:
        yield started


def _get(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/", timeout=5) as answer:
        return str(answer.read().decode())


async def test_a_replica_starts_serves_and_stops(node: node_process.NodeProcess) -> None:
    first = await node.start_replica("iris-r1-aaaaa")
    again = await node.start_replica("iris-r1-aaaaa")
    assert (first.http_address, first.id) == (again.http_address, again.id)
    ready = await node.until_ready("iris-r1-aaaaa")
    assert await asyncio.to_thread(_get, ready.http_address) == str(ready.pid)
    config = json.loads((node.home / "node/replicas/iris-r1-aaaaa/replica.json").read_text())
    assert pathlib.Path(config["projectDir"], "predictor.py").read_text() == "x = 1\n"
    assert os.access(config["python"], os.X_OK)
    assert config["logFile"].endswith("logs/replicas/default/iris/r1-abc/iris-r1-aaaaa.jsonl")
    assert config["modelCacheDir"] == str(node.home / "node/models")
    assert pathlib.Path(config["adminTokenFile"]).stat().st_mode & 0o777 == 0o600
    await node.stop_replica("iris-r1-aaaaa")
    await node.until("iris-r1-aaaaa", lambda found: found is None)
    assert processes.identify(ready.pid) is None
    assert not (node.home / "node/replicas/iris-r1-aaaaa").exists()


async def test_a_killed_replica_serves_again_at_once_without_orphans(node: node_process.NodeProcess) -> None:
    await node.start_replica("iris-r1-bbbbb", worker=True)
    before = await node.until_ready("iris-r1-bbbbb")
    identity = processes.identify(before.pid)
    assert identity is not None
    session = processes.session_members(identity)
    assert len(session) == 2
    os.kill(before.pid, signal.SIGKILL)
    began = time.monotonic()
    after = await node.until_ready("iris-r1-bbbbb", restarts=1)
    assert time.monotonic() - began < 5
    assert (after.http_address, after.grpc_address) == (before.http_address, before.grpc_address)
    assert after.pid != before.pid
    assert after.last_failure.reason == condition_pb2.CONDITION_REASON_EXITED
    assert after.last_failure.exit_code == -9
    assert processes.session_members(identity) == []


async def test_a_killed_node_finds_its_replicas_again(node: node_process.NodeProcess) -> None:
    await node.start_replica("iris-r1-ccccc")
    before = await node.until_ready("iris-r1-ccccc")
    assert node.end(signal.SIGKILL) == -9
    await node.start()
    after = await node.until_ready("iris-r1-ccccc")
    assert (after.pid, after.restart_count) == (before.pid, 0)
    os.kill(before.pid, signal.SIGKILL)
    again = await node.until_ready("iris-r1-ccccc", restarts=1)
    assert again.pid != before.pid


async def test_sigterm_ends_the_node_and_no_replica(node: node_process.NodeProcess) -> None:
    await node.start_replica("iris-r1-ddddd")
    before = await node.until_ready("iris-r1-ddddd")
    assert node.end(signal.SIGTERM) == 0
    assert await asyncio.to_thread(_get, before.http_address) == str(before.pid)


async def test_a_stop_outlives_the_node(node: node_process.NodeProcess) -> None:
    await node.start_replica("iris-r1-eeeee", ignore_term=True)
    before = await node.until_ready("iris-r1-eeeee")
    await node.stop_replica("iris-r1-eeeee", drain_timeout=0.5)
    identity = processes.identify(before.pid)
    assert identity is not None
    assert node.end(signal.SIGKILL) == -9
    assert processes.alive(identity)
    await node.start()
    await node.until("iris-r1-eeeee", lambda found: found is None)
    assert not processes.alive(identity)


async def test_a_process_no_record_names_is_adopted(node: node_process.NodeProcess) -> None:
    await node.start_replica("iris-r1-fffff")
    before = await node.until_ready("iris-r1-fffff")
    node.end(signal.SIGKILL)
    path = node.home / "node/replicas/iris-r1-fffff/record.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "launch": None}))
    await node.start()
    after = await node.until_ready("iris-r1-fffff")
    assert after.pid == before.pid


async def test_a_failing_predictor_backs_off_and_says_why(node: node_process.NodeProcess) -> None:
    await node.start_replica("iris-r1-ggggg", fail="IMPORT_FAILED")

    def looping(found: api_pb2.Replica | None) -> bool:
        return found is not None and found.restart_count >= 3 and found.state == api_pb2.REPLICA_STATE_BACKING_OFF

    found = await node.until("iris-r1-ggggg", looping)
    assert found is not None
    assert found.last_failure.reason == condition_pb2.CONDITION_REASON_IMPORT_FAILED
    assert found.last_failure.message == "Traceback: no good"
    assert found.last_failure.exit_code == 1


async def test_a_replica_that_is_stopped_is_unready_and_then_replaced(node: node_process.NodeProcess) -> None:
    await node.start_replica("iris-r1-kkkkk")
    before = await node.until_ready("iris-r1-kkkkk")
    os.kill(before.pid, signal.SIGSTOP)

    def still(found: api_pb2.Replica | None) -> bool:
        """Or no more: on a busy machine it may be replaced between two looks."""
        return found is not None and (found.state == api_pb2.REPLICA_STATE_UNREADY or found.pid != before.pid)

    await node.until("iris-r1-kkkkk", still)

    def replaced(found: api_pb2.Replica | None) -> bool:
        return found is not None and found.pid != before.pid and found.state == api_pb2.REPLICA_STATE_READY

    found = await node.until("iris-r1-kkkkk", replaced)
    assert found is not None and "was stopped" in found.last_failure.message


async def test_memory_over_the_limit_is_named(node: node_process.NodeProcess) -> None:
    await node.start_replica("iris-r1-hhhhh", allocate_mb=300, memory_bytes=100 * 1024**2)

    def killed(found: api_pb2.Replica | None) -> bool:
        return found is not None and found.restart_count >= 1

    found = await node.until("iris-r1-hhhhh", killed)
    assert found is not None
    assert found.last_failure.reason == condition_pb2.CONDITION_REASON_OUT_OF_MEMORY
    assert "100 MiB" in found.last_failure.message
    await node.stop_replica("iris-r1-hhhhh")  # else one of its restarts outlives the node
    await node.until("iris-r1-hhhhh", lambda replica: replica is None)


async def test_the_kernel_enforces_memory_where_it_can(tmp_path: pathlib.Path) -> None:
    async with node_process.running(tmp_path, CORTEX_MEMORY_ENFORCEMENT="auto", CORTEX_CGROUP="") as node:
        described = await node.stub.GetNode(node_service_pb2.GetNodeRequest(), timeout=5)
        if not described.memory_enforcement.startswith("cgroup"):
            pytest.skip("no memory cgroup can be written here")
        await node.start_replica("iris-r1-jjjjj", allocate_mb=300, memory_bytes=100 * 1024**2)
        found = await node.until("iris-r1-jjjjj", lambda r: r is not None and r.restart_count >= 1)
        assert found is not None
        assert found.last_failure.reason == condition_pb2.CONDITION_REASON_OUT_OF_MEMORY
        await node.stop_replica("iris-r1-jjjjj")
        await node.until("iris-r1-jjjjj", lambda r: r is None)
        assert not list(pathlib.Path("/sys/fs/cgroup").glob(f"**/cortex-{described.id}/iris-r1-jjjjj"))


async def test_watchers_see_the_whole_state_then_changes_then_heartbeats(node: node_process.NodeProcess) -> None:
    await node.start_replica("iris-r1-iiiii")
    await node.until_ready("iris-r1-iiiii")
    call = node.stub.WatchReplicas(node_service_pb2.WatchReplicasRequest(), timeout=20)
    messages = aiter(call)
    assert (await anext(messages)).replica.id == "iris-r1-iiiii"
    assert (await anext(messages)).synced
    beat = await anext(messages)
    assert not beat.HasField("replica") and not beat.synced
    await node.stop_replica("iris-r1-iiiii")
    seen = [message async for message in _until_removed(messages)]
    assert seen[0].replica.state == api_pb2.REPLICA_STATE_DRAINING
    assert seen[-1].removed
    call.cancel()


async def _until_removed(
    messages: AsyncIterator[node_service_pb2.WatchReplicasResponse],
) -> AsyncIterator[node_service_pb2.WatchReplicasResponse]:
    async for message in messages:
        yield message
        if message.removed:
            return
