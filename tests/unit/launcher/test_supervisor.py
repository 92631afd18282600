"""What keeps the services alive is itself kept alive, and each service has its own time to end."""

import asyncio
import pathlib

import pytest

from services.launcher import catalog, cluster, layout, supervisor
from services.monitor import __main__ as monitor


async def test_a_failed_task_begins_anew_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    begun = 0
    third = asyncio.Event()

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun == 1:
            raise ValueError("a mistake")
        if begun == 3:
            third.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(supervisor.for_ever("node", work, pause=0.0))
    async with asyncio.timeout(10):
        await third.wait()
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "node: its supervision failed and begins anew",
        "node: its supervision ended by itself and begins anew",
    ]
    assert "a mistake" in caplog.text
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_the_monitor_may_save_its_last_metrics(tmp_path: pathlib.Path) -> None:
    ports = {name: f"127.0.0.1:{n}" for n, name in enumerate(cluster.SERVICES) if name != "gateway"}
    addresses = cluster.Addresses("127.0.0.1:8888", "127.0.0.1:8889", "127.0.0.1:8890", "/a.sock", ports)
    graces = {one.name: one.grace for one in catalog.services(addresses, layout.Layout(tmp_path), {})}
    assert graces["monitor"] > monitor._LAST_SAVE_SECONDS
    assert graces["apiserver"] == graces["gateway"] == 5.0
