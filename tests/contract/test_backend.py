"""What every backend must do: the fake, and the adapter of the node over a real socket."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable

import pytest

from cortex.apiserver.v1 import api_pb2
from services.apiserver import errors, model, ports
from services.apiserver import node as nodes
from services.chassis import channels, telemetry
from tests.fakes import records
from tests.fakes.backend import Behaviour, FakeBackend
from tests.fakes.clock import FakeClock
from tests.fakes.node_server import FakeNodeServer

REVISION = records.revision("r1")


class Rig:
    """A backend under test, and the fake behind it that does the work."""

    def __init__(self, clock: FakeClock, world: FakeBackend, port: ports.BackendPort) -> None:
        self.clock, self.world, self.port = clock, world, port
        self.changed: list[str] = []
        self.server: FakeNodeServer | None = None

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self.clock.advance(0.05)
                self.world.tick()
                await asyncio.sleep(0.002)

    def replicas(self) -> dict[str, model.Replica]:
        return dict(self.port.observed()[0])

    def states(self) -> list[model.ReplicaState]:
        return [replica.state for replica in self.replicas().values()]


# What is about the socket has no meaning for the fake.
ADAPTER_ONLY = pytest.mark.parametrize("rig", ["node"], indirect=True)


@pytest.fixture(params=["fake", "node"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    clock = FakeClock(records.NOW)
    world = FakeBackend(clock)
    async with contextlib.AsyncExitStack() as stack:
        made = Rig(clock, world, world)
        if request.param == "node":
            made.server = FakeNodeServer(world)
            await made.server.listen()
            stack.push_async_callback(made.server.close)
            channel = channels.connect(made.server.address, telemetry.Telemetry(None, None))
            stack.push_async_callback(channel.close)
            made.port = nodes.NodeBackend(channel, clock=clock, rng=random.Random(1), heartbeat=0.5)
        task = asyncio.create_task(made.port.run(made.changed.append))
        yield made
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_nothing_is_known_before_the_first_word(rig: Rig) -> None:
    assert rig.port.observed() == ({}, None)
    await rig.until(lambda: rig.port.observed()[1] is not None)


async def test_a_replica_lives_from_start_to_gone(rig: Rig) -> None:
    rig.world.behaviours["r1"] = Behaviour(drain_seconds=5.0)
    await rig.until(lambda: rig.port.observed()[1] is not None)
    await rig.port.start_replica("iris-r1-aaaaa", REVISION)
    await rig.until(lambda: rig.states() == [model.ReplicaState.READY])
    replica = rig.replicas()["iris-r1-aaaaa"]
    assert (replica.api, replica.revision) == (records.NAME, "r1")
    assert replica.http_address and replica.grpc_address and replica.ready_time is not None
    await rig.port.stop_replica("iris-r1-aaaaa", 5.0)
    await rig.until(lambda: rig.states() == [model.ReplicaState.DRAINING])
    await rig.until(lambda: rig.replicas() == {})
    assert set(rig.changed) == {records.NAME}


async def test_wishes_may_be_repeated_and_unknown_replicas_stopped(rig: Rig) -> None:
    for _ in range(2):
        await rig.port.start_replica("iris-r1-aaaaa", REVISION)
    await rig.port.stop_replica("nobody", 1.0)
    await rig.until(lambda: len(rig.replicas()) == 1)
    for _ in range(2):
        await rig.port.stop_replica("iris-r1-aaaaa", 1.0)
    await rig.until(lambda: rig.replicas() == {})


async def test_a_failure_is_told_with_its_traceback(rig: Rig) -> None:
    rig.world.behaviours["r1"] = Behaviour(failure=model.Reason.IMPORT_FAILED)
    await rig.port.start_replica("iris-r1-aaaaa", REVISION)
    await rig.until(lambda: rig.states() == [model.ReplicaState.BACKING_OFF])
    failure = rig.replicas()["iris-r1-aaaaa"].last_failure
    assert failure is not None and failure.reason is model.Reason.IMPORT_FAILED
    assert failure.message.startswith("Traceback") and failure.exit_code == 1


async def test_a_silent_node_ages_and_refuses(rig: Rig) -> None:
    await rig.until(lambda: rig.port.observed()[1] is not None)
    rig.world.silent = True
    with pytest.raises(errors.BackendUnavailable, match="iris-r1-aaaaa"):
        await rig.port.start_replica("iris-r1-aaaaa", REVISION)
    with pytest.raises(errors.BackendUnavailable, match="iris-r1-aaaaa"):
        await rig.port.stop_replica("iris-r1-aaaaa", 1.0)


@ADAPTER_ONLY
async def test_the_node_adapter_outlives_the_node(rig: Rig) -> None:
    assert rig.server is not None
    await rig.port.start_replica("iris-r1-aaaaa", REVISION)
    await rig.until(lambda: rig.states() == [model.ReplicaState.READY])
    await rig.server.close()
    before = rig.port.observed()
    rig.changed.clear()
    await rig.until(lambda: rig.changed != [])
    # The old picture stays, and is not renewed.
    heard = rig.port.observed()[1]
    assert rig.replicas() == dict(before[0]) and heard == before[1]
    rig.world.wipe()
    await rig.server.listen(rig.server.address)
    await rig.until(lambda: rig.replicas() == {})


@ADAPTER_ONLY
async def test_a_stream_without_heartbeat_is_dead(rig: Rig) -> None:
    assert rig.server is not None
    await rig.port.start_replica("iris-r1-aaaaa", REVISION)
    await rig.until(lambda: rig.states() == [model.ReplicaState.READY])
    rig.server.mute = True
    rig.changed.clear()
    await rig.until(lambda: rig.changed != [])
    rig.server.mute = False
    await rig.port.stop_replica("iris-r1-aaaaa", 1.0)
    await rig.until(lambda: rig.replicas() == {})


@ADAPTER_ONLY
async def test_the_node_is_told_what_to_run(rig: Rig) -> None:
    assert rig.server is not None
    await rig.port.start_replica("iris-r1-aaaaa", REVISION)
    request = rig.server.requests[0]
    assert request.revision == f"{records.NAME}/revisions/r1"
    assert request.bundle == "namespaces/default/bundles/" + "0" * 64
    assert request.spec.predictor.path == "predictor.py"


def test_a_word_from_a_newer_node_is_unknown_not_an_error() -> None:
    message = api_pb2.Replica(id="a", revision=f"{records.NAME}/revisions/r1", state=99)  # type: ignore[arg-type]
    assert nodes.replica_from_pb(message).state is model.ReplicaState.UNKNOWN
