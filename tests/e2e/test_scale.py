"""1 -> 5 -> 1 under a driven load, for real; the rule itself is tested on a virtual clock beside the policy."""

import asyncio

import pytest

from tests.e2e.cluster import Cluster, wait_for
from tests.traffic.driver import Driver, Load

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
QUICK = """autoscaling:
    target_in_flight: 2
    window: 2s
    upscale_stabilization_period: 0s
    downscale_stabilization_period: 3s
    max_upscale_factor: 10
    max_downscale_factor: 0
"""


async def test_replicas_follow_the_load_up_and_down(cluster: Cluster) -> None:
    project = cluster.project("probe", **{"name: probe": "name: elastic", "autoscaling:\n": QUICK})
    await asyncio.to_thread(cluster.deploy, project)
    # 100 requests/s that last 0.1 s are 10 in flight: five replicas of two.
    driver = Driver(cluster.data_address, "elastic", Load(http=100, payload={"sleep": 0.1}))
    async with driver.running():
        await asyncio.to_thread(wait_for, lambda: ready(cluster) == 5, "five replicas", 60)
        decision = cluster.run("describe", "elastic")
    await asyncio.to_thread(wait_for, lambda: ready(cluster) == 1, "one replica", 60)
    print("\n" + driver.record.table())
    assert driver.record.failed() == []
    assert "in flight" in decision.lower()
    events = {event["type"] for event in cluster.json("events", "elastic")["events"]}
    assert {"ScaledUp", "ScaledDown"} <= events


def ready(cluster: Cluster) -> int:
    return int(cluster.api("elastic")["status"].get("ready_replicas", 0))
