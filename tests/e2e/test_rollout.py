"""A caller never notices a rollout: ten in a row under load over HTTP, gRPC and streams, and not one request fails."""

import asyncio
import time

import pytest

from tests.e2e.cluster import Cluster
from tests.traffic.driver import Driver, Load

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

LOAD = Load(
    http=40, grpc=20, streams=3, payload={"sleep": 0.01}, stream_payload={"chunks": 20, "sleep": 0.05}, stream_end="end"
)
DEPLOYS = 10
SECONDS = 60.0


async def test_ten_rollouts_under_load_fail_no_request(cluster: Cluster) -> None:
    await asyncio.to_thread(cluster.deploy, cluster.project("probe"))
    driver = Driver(cluster.data_address, "probe", LOAD)
    began = time.monotonic()
    async with driver.running():
        for number in range(2, DEPLOYS + 2):
            driver.phase(f"rollout to v{number}")
            await asyncio.to_thread(cluster.deploy, cluster.project("probe", v1=f"v{number}"))
        driver.phase("after the last rollout")
        await asyncio.sleep(max(3.0, SECONDS - (time.monotonic() - began)))
    print(f"\n{DEPLOYS} deploys, {time.monotonic() - began:.0f} s\n{driver.record.table()}")
    assert driver.record.failed() == []
    assert driver.record.count() == driver.record.sent
    assert driver.record.sent >= SECONDS * (LOAD.http + LOAD.grpc)
    # Every version has answered, and the last one alone at the end: the traffic really moved.
    versions = {f"v{number}" for number in range(1, DEPLOYS + 2)}
    assert driver.record.served_by() == versions
    last = [o.served_by for o in driver.record.outcomes if o.phase == "after the last rollout" and o.served_by]
    assert set(last[len(last) // 2 :]) == {f"v{DEPLOYS + 1}"}


async def test_history_rollback_and_refresh(cluster: Cluster) -> None:
    project = cluster.project("probe", **{"name: probe": "name: rolls"})
    await asyncio.to_thread(cluster.deploy, project)
    (project / "predictor.py").write_text((project / "predictor.py").read_text().replace("v1", "v2"))
    await asyncio.to_thread(cluster.deploy, project)
    assert len(cluster.json("history", "rolls")["revisions"]) == 2
    driver = Driver(cluster.data_address, "rolls", Load(http=30, payload={}))
    async with driver.running():
        driver.phase("rollback")
        await asyncio.to_thread(cluster.run, "rollback", "rolls")
        driver.phase("refresh")
        await asyncio.to_thread(cluster.run, "refresh", "rolls")
    print("\n" + driver.record.table())
    assert driver.record.failed() == []
    assert [o.served_by for o in driver.record.outcomes][-1] == "v1"
