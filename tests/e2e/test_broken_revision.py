"""A broken new revision never takes an API down: the old one serves on, and describe shows the user's own traceback."""

import asyncio

import pytest

from tests.e2e.cluster import Cluster
from tests.traffic.driver import Driver, Load

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

BREAKS = {
    "import error": ("import time\n", "import time\nimport no_such_module_anywhere\n", "no_such_module_anywhere"),
    "constructor raises": ('print("loaded", VERSION)', 'raise RuntimeError("weights are gone")', "weights are gone"),
    "crashes on the first request": (
        "payload = payload if",
        "os.kill(os.getpid(), 9)\n        payload = payload if",
        "",
    ),
    "never ready": ('print("loaded", VERSION)', "time.sleep(1000)", ""),
}


@pytest.mark.parametrize("how", BREAKS)
async def test_the_old_revision_keeps_serving(cluster: Cluster, how: str) -> None:
    old, new, shown = BREAKS[how]
    name = "broken-" + how.replace(" ", "-")[:20].strip("-")
    deadline = "  update_strategy:\n    progress_deadline: 8s\n  predictor:"
    project = cluster.project("probe", **{"name: probe": f"name: {name}", "  predictor:": deadline})
    await asyncio.to_thread(cluster.deploy, project)
    predictor = project / "predictor.py"
    predictor.write_text(predictor.read_text().replace(old, new, 1))
    driver = Driver(cluster.data_address, name, Load(http=15, grpc=10, payload={}))
    async with driver.running():
        driver.phase(how)
        said = await asyncio.to_thread(cluster.deploy, project, status=1)
        driver.phase("afterwards")
        await asyncio.sleep(2)
    print("\n" + driver.record.table())
    assert driver.record.failed() == []
    assert "old revision" in said.lower() or "still serves" in said.lower() or "keeps serving" in said.lower()
    described = cluster.run("describe", name)
    if shown:
        assert shown in described and "predictor.py" in described
        assert shown in said
    events = cluster.json("events", name)["events"]
    assert any(event["type"] == "RolloutFailed" for event in events), events


def test_a_first_deployment_that_fails_says_why_and_holds_no_one(cluster: Cluster) -> None:
    broken = {"name: probe": "name: stillborn", 'print("loaded", VERSION)': 'raise RuntimeError("no weights")'}
    said = cluster.deploy(cluster.project("probe", **broken), status=1)
    assert "no weights" in said and "predictor.py" in said
    cluster.run("delete", "stillborn", "-y")
