"""From zero: a first request waits and succeeds, so do fifty at once and a large body; no start ends in 503."""

import asyncio
import json

import pytest

from tests.e2e.cluster import Cluster, wait_for
from tests.traffic import http_client

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
ZERO = {"min_replicas: 1": "min_replicas: 0", "max_replicas: 5": "max_replicas: 2"}


async def post(address: str, path: str, body: bytes, content_type: str) -> http_client.Response:
    return await post_with(address, path, body, {"content-type": content_type})


async def post_with(address: str, path: str, body: bytes, headers: dict[str, str]) -> http_client.Response:
    host, _, port = address.rpartition(":")
    connection = http_client.Connection(*await asyncio.open_connection(host, int(port)))
    try:
        head = http_client.head("POST", path, address, headers, len(body))
        return await asyncio.wait_for(connection.request(head, body), 60)
    finally:
        connection.close()


def at_zero(cluster: Cluster, name: str) -> None:
    cluster.run("scale", name, "--replicas", "0")
    wait_for(lambda: cluster.api(name)["status"].get("replicas", []) == [], f"{name} at zero")


def replicas_of(cluster: Cluster, name: str) -> list[object]:
    return list(cluster.api(name)["status"].get("replicas", []))


async def test_the_first_request_is_held_and_answered(cluster: Cluster) -> None:
    await asyncio.to_thread(cluster.deploy, cluster.project("probe", **{"name: probe": "name: sleeper", **ZERO}))
    for bodies in (1, 50):
        await asyncio.to_thread(at_zero, cluster, "sleeper")
        requests = [post(cluster.data_address, "/sleeper", b"{}", "application/json") for _ in range(bodies)]
        replies = await asyncio.gather(*requests)
        assert [reply.status for reply in replies] == [200] * bodies, {reply.body for reply in replies}


async def test_a_body_of_ten_megabytes_is_held(cluster: Cluster) -> None:
    await asyncio.to_thread(cluster.deploy, cluster.project("probe", **{"name: probe": "name: large", **ZERO}))
    await asyncio.to_thread(at_zero, cluster, "large")
    body = b"x" * (10 * 1024 * 1024)
    reply = await post(cluster.data_address, "/large", body, "application/octet-stream")
    assert (reply.status, json.loads(reply.body)["size"]) == (200, len(body))


async def test_an_api_that_cannot_start_ends_in_503_within_its_budget(cluster: Cluster) -> None:
    budget = "  networking:\n    activation_timeout: 3s\n  predictor:"
    slow = {"name: probe": "name: never", "  predictor:": budget, 'print("loaded", VERSION)': "time.sleep(1000)"}
    await asyncio.to_thread(cluster.deploy, cluster.project("probe", **slow), "--no-wait")
    began = asyncio.get_running_loop().time()
    reply = await post(cluster.data_address, "/never", b"{}", "application/json")
    assert asyncio.get_running_loop().time() - began < 10
    assert reply.status == 503 and int(reply.headers["retry-after"]) >= 1 and json.loads(reply.body)["error"]
    await asyncio.to_thread(cluster.run, "delete", "never", "-y")


async def test_what_is_held_while_a_deploy_replaces_its_revision_is_served_by_the_new_one(cluster: Cluster) -> None:
    slow = cluster.home / "slow"
    stuck = f'[time.sleep(0.1) for _ in range(600) if __import__("os").path.exists("{slow}")]'
    names = {"name: probe": "name: swapped", **ZERO}
    await asyncio.to_thread(cluster.deploy, cluster.project("probe", **names, **{'print("loaded", VERSION)': stuck}))
    await asyncio.to_thread(at_zero, cluster, "swapped")
    slow.touch()
    held = asyncio.create_task(post(cluster.data_address, "/swapped", b"{}", "application/json"))
    await asyncio.to_thread(wait_for, lambda: replicas_of(cluster, "swapped"), "the old revision to start")
    await asyncio.to_thread(cluster.deploy, cluster.project("probe", **names, v1="v2"))
    reply = await held
    assert (reply.status, json.loads(reply.body)["version"]) == (200, "v2"), reply.body
