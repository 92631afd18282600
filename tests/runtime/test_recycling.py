"""Workers that are due are replaced under load without a failed request."""

import asyncio
import os
import pathlib
import re
import signal
from typing import Any

import pytest

from tests.runtime.replica import running, wait_for
from tests.runtime.test_fault_table import loaded, until

LEAK = """
import os, time

class PythonPredictor:
    def __init__(self):
        self.kept = []
        time.sleep(float(os.environ.get("LOAD_SECONDS", "0")))

    def predict(self, query_params):
        self.kept.append(b"x" * int(query_params.get("bytes", 0)))
        time.sleep(0.01)
        return os.getpid()
"""
MIB = 1024 * 1024


async def test_max_requests(tmp_path: pathlib.Path) -> None:
    predictor = {"processesPerReplica": 2, "worker": {"maxRequests": 60}}
    with running(tmp_path, LEAK, predictor=predictor) as replica:
        before = set(replica.worker_pids)
        async with loaded(replica, "max_requests", 60) as driver:
            await until(lambda: len(replica.worker_pids) == 2 and not before & set(replica.worker_pids))
        assert not driver.record.failed()
        assert replica.state["failure"] is None
        assert "max_requests" in replica.wait_line("replacing worker")["message"]
        assert not [line for line in replica.lines() if "restarting" in line["message"]]


@pytest.mark.parametrize("workers", [1, 2])
async def test_memory_beyond_the_limit(tmp_path: pathlib.Path, workers: int) -> None:
    predictor = {"processesPerReplica": workers, "worker": {"memoryBytes": str(100 * MIB)}}
    with running(tmp_path, LEAK, predictor=predictor) as replica:
        async with loaded(replica, f"memory_bytes, {workers} workers", 60) as driver:
            leaked = (await asyncio.to_thread(replica.client.post, f"/?bytes={105 * MIB}")).json()
            await until(lambda: len(replica.worker_pids) == workers and leaked not in replica.worker_pids)
        assert not driver.record.failed()
        assert "limit 104857600" in replica.wait_line("replacing worker")["message"]


async def test_much_too_much_memory_ends_it(tmp_path: pathlib.Path) -> None:
    predictor = {"processesPerReplica": 2, "worker": {"memoryBytes": str(60 * MIB)}}
    with running(tmp_path, LEAK, predictor=predictor) as replica:

        def told() -> list[str]:
            """Why workers went; without a reason where they were only due."""
            lines = [line for line in replica.lines() if re.search("restarting|replacing worker", line["message"])]
            return [line.get("reason", "") for line in lines]

        async def grow() -> None:
            before = len(told())
            leaked = (await asyncio.to_thread(replica.client.post, f"/?bytes={150 * MIB}")).json()
            await until(lambda: len(replica.worker_pids) == 2 and leaked not in replica.worker_pids)
            await until(lambda: len(told()) > before)

        async with loaded(replica, "hard limit", 60) as driver:
            # A look in the middle of the growth finds a worker that is only due; then another one has to grow.
            while "OUT_OF_MEMORY" not in told():
                await grow()
        assert len(driver.record.failed()) <= 1
        assert "OUT_OF_MEMORY" in [worker["last_end"] for worker in replica.state["workers"]]


async def test_no_room_for_two(tmp_path: pathlib.Path) -> None:
    """The successor comes after its predecessor has left; callers wait for it."""
    predictor = {"worker": {"maxRequests": 30}, "env": {"LOAD_SECONDS": "0.3"}}
    spec = {"compute": {"memoryBytes": str(1 * MIB)}}
    with running(tmp_path, LEAK, predictor=predictor, spec=spec) as replica:
        (before,) = replica.worker_pids
        async with loaded(replica, "no room for two", 60) as driver:
            ready = []

            def replaced() -> bool:
                ready.append(replica.client.get("/healthz/ready").status_code)
                return bool(replica.worker_pids) and before not in replica.worker_pids

            await until(replaced)
        assert (driver.record.failed(), set(ready)) == ([], {200})
        assert len(replica.state["workers"]) == 1


async def test_a_successor_that_does_not_load_leaves_the_old_one_serving(tmp_path: pathlib.Path) -> None:
    source = LEAK.replace("self.kept = []", "self.kept = []\n        assert not os.path.exists('broken')")
    with running(tmp_path, source, predictor={"worker": {"maxRequests": 30}}) as replica:
        (before,) = replica.worker_pids
        (tmp_path / "project" / "broken").touch()
        async with loaded(replica, "broken successor", 60) as driver:
            await until(lambda: any("AssertionError" in line["message"] for line in replica.lines()))
        assert (driver.record.failed(), replica.worker_pids, replica.state["state"]) == ([], [before], "READY")


async def test_killed_while_it_drains(tmp_path: pathlib.Path) -> None:
    source = LEAK.replace("time.sleep(0.01)", "time.sleep(float(query_params.get('seconds', 0.01)))")
    predictor = {"threadsPerProcess": 2, "worker": {"maxRequests": 30}}
    with running(tmp_path, source, predictor=predictor) as replica:
        (before,) = replica.worker_pids
        async with loaded(replica, "SIGKILL while draining", 60) as driver:
            await until(lambda: driver.record.count() > 5)
            inside = asyncio.create_task(asyncio.to_thread(replica.client.post, "/?seconds=20"))
            await until(lambda: any(worker["state"] == "DRAINING" for worker in replica.state["workers"]))
            os.kill(before, signal.SIGKILL)
            assert (await inside).status_code == 503
        assert not driver.record.failed()
        wait_for(lambda: len(replica.state["workers"]) == 1)


def test_what_is_too_large_from_the_start_is_not_replaced_for_ever(tmp_path: pathlib.Path) -> None:
    source = LEAK.replace("self.kept = []", f"self.kept = [b'x' * {70 * MIB}]")
    predictor: dict[str, Any] = {"worker": {"memoryBytes": str(75 * MIB)}, "env": {"LOAD_SECONDS": "0.2"}}
    with running(tmp_path, source, predictor=predictor) as replica:
        replica.wait_line("replacing worker")
        wait_for(lambda: sum("replacing worker" in line["message"] for line in replica.lines()) == 3)
        times = [line["time"] for line in replica.lines() if "replacing worker" in line["message"]]
        assert len(set(times)) == 3
