"""kill -9 of each process in turn under load: the table of what fails, and that nothing healthy was restarted."""

import asyncio
import functools
import time

import pytest

from tests.e2e import cluster as clusters
from tests.e2e.cluster import Cluster
from tests.traffic.driver import Driver, Load

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
LOAD = Load(http=40, grpc=20, payload={"sleep": 0.02})
CONTROL_PLANE = ("apiserver", "autoscaler", "logstream", "monitor", "node")


@pytest.fixture(scope="module")
def deployed(cluster: Cluster) -> None:
    two = {
        "min_replicas: 1": "min_replicas: 2",
        "    threads_per_process: 8": "    processes_per_replica: 2\n    threads_per_process: 4",
    }
    cluster.deploy(cluster.project("probe", **two))


async def under_load(cluster: Cluster, name: str, victim: int, settle: float = 4.0) -> Driver:
    """Kills `victim` while requests flow, waits until the cluster says it is well again, returns the driver."""
    driver = Driver(cluster.data_address, "probe", LOAD)
    async with driver.running():
        await asyncio.sleep(1)
        driver.phase(f"kill -9 {name}")
        clusters.kill(victim)
        await asyncio.sleep(settle)
        await asyncio.to_thread(clusters.wait_for, lambda: healthy(cluster), f"recovery after {name} died", 20)
    print("\n" + driver.record.table())
    return driver


def healthy(cluster: Cluster) -> bool:
    status = cluster.api("probe")["status"]
    ready = {c["type"]: c["status"] for c in status["conditions"]}.get("Ready")
    return ready == "CONDITION_STATUS_TRUE" and int(status["ready_replicas"]) == 2


async def test_a_killed_worker_fails_at_most_what_it_held(cluster: Cluster, deployed: None) -> None:
    replicas = cluster.replica_pids("probe")
    worker = clusters.children(replicas[0])[0]
    result = await under_load(cluster, "worker", worker)
    # Retries are on: what the worker held is sent to another.
    assert result.record.failed() == []
    assert cluster.replica_pids("probe") == replicas


async def test_a_killed_replica_costs_no_request(cluster: Cluster, deployed: None) -> None:
    replicas = cluster.replica_pids("probe")
    result = await under_load(cluster, "replica", replicas[0])
    assert result.record.failed() == []
    assert len(set(replicas) & set(cluster.replica_pids("probe"))) == 1


@pytest.mark.parametrize("service", CONTROL_PLANE)
async def test_a_killed_control_plane_process_costs_nothing(cluster: Cluster, deployed: None, service: str) -> None:
    replicas, victim = cluster.replica_pids("probe"), cluster.services()[service]
    result = await under_load(cluster, service, victim)
    assert result.record.failed() == []
    assert cluster.replica_pids("probe") == replicas
    assert cluster.services()[service] != victim


async def test_a_killed_gateway_fails_only_what_it_held(cluster: Cluster, deployed: None) -> None:
    replicas, victim = cluster.replica_pids("probe"), cluster.services()["gateway"]
    result = await under_load(cluster, "gateway", victim)
    failed = result.record.failed()
    # The one hop there is: while it is away nobody answers. It must be back within three seconds.
    print(f"{len(failed)} requests failed while the gateway was away")
    connection = ("refused", "unavailable", "incomplete", "reset", "broken pipe")
    assert all(any(word in o.problem.lower() for word in connection) for o in failed), {o.problem for o in failed}
    assert max((o.start for o in failed), default=0) - min((o.start for o in failed), default=0) < 3
    assert cluster.replica_pids("probe") == replicas


async def test_the_data_plane_outlives_the_whole_control_plane(cluster: Cluster, deployed: None) -> None:
    replicas = cluster.replica_pids("probe")
    load = Driver(cluster.data_address, "probe", LOAD)
    async with load.running():
        load.phase("control plane dead for 60 s")
        pids = cluster.services()
        for service in CONTROL_PLANE:
            await asyncio.to_thread(cluster.launcher, "stop-service", service)
            await asyncio.to_thread(clusters.wait_for, functools.partial(clusters.dead, pids[service]), service)
        await asyncio.sleep(60)
        load.phase("control plane comes back")
        for service in CONTROL_PLANE:
            await asyncio.to_thread(cluster.launcher, "start-service", service)
        began = time.monotonic()
        await asyncio.to_thread(clusters.wait_for, lambda: healthy(cluster), "a true status", 20)
        seconds = time.monotonic() - began
    print(f"\nstatus true after {seconds:.1f} s\n{load.record.table()}")
    assert load.record.failed() == []
    assert seconds < 10
    assert cluster.replica_pids("probe") == replicas
