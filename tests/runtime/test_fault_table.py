"""Faults of each process of a replica under load: what fails is what was inside the victim, and nothing else.

Every request is counted; run with `-s` for the table.
"""

import asyncio
import contextlib
import os
import pathlib
import signal
import time
from collections.abc import AsyncIterator, Callable

import pytest

from tests.runtime.replica import Replica, running, wait_for
from tests.traffic.driver import Driver, Load

SOURCE = """
import time

class PythonPredictor:
    def predict(self):
        time.sleep(0.015)
        return 1
"""
WORKERS = 3
REQUESTS_PER_SECOND = 60.0


async def until(what: Callable[[], object], timeout: float = 15.0) -> float:
    """Seconds it took."""
    began = time.monotonic()
    await asyncio.to_thread(wait_for, what, timeout)
    return time.monotonic() - began


def replaced(replica: Replica, victims: set[int]) -> Callable[[], bool]:
    return lambda: len(replica.worker_pids) == WORKERS and not victims & set(replica.worker_pids)


@contextlib.asynccontextmanager
async def loaded(replica: Replica, name: str, rate: float = REQUESTS_PER_SECOND) -> AsyncIterator[Driver]:
    driver = Driver(f"127.0.0.1:{replica.http_port}", "", Load(http=rate, payload={}))
    async with driver.running():
        driver.phase(name)
        yield driver
        await until(lambda: driver.record.count() > 100)
    print("\n" + driver.record.table())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_each_worker_in_turn(tmp_path: pathlib.Path, number: signal.Signals) -> None:
    with running(tmp_path, SOURCE, predictor={"processesPerReplica": WORKERS}) as replica:
        victims = replica.worker_pids
        async with loaded(replica, f"{number.name} of each worker") as driver:
            for victim in victims:
                siblings = set(replica.worker_pids) - {victim}
                os.kill(victim, number)
                await until(replaced(replica, {victim}))
                assert siblings <= set(replica.worker_pids)
                assert replica.state["state"] == "READY"
        # One thread each: one request inside.
        assert len(driver.record.failed()) <= len(victims)
        assert [outcome.problem for outcome in driver.record.failed() if "503" not in outcome.problem] == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_the_fork_server_and_then_a_worker(tmp_path: pathlib.Path, number: signal.Signals) -> None:
    with running(tmp_path, SOURCE, predictor={"processesPerReplica": WORKERS}) as replica:
        server, victim = replica.state["fork_server"], replica.worker_pids[0]
        async with loaded(replica, f"{number.name} of the fork server") as driver:
            os.kill(server, number)
            await until(lambda: driver.record.count() > 20)
            assert not driver.record.failed()
            os.kill(victim, signal.SIGKILL)
            await until(replaced(replica, {victim}))
            await until(lambda: replica.state["fork_server"] not in (None, server))
        assert len(driver.record.failed()) <= 1


async def test_a_stopped_worker_that_goes_on_loses_nothing(tmp_path: pathlib.Path) -> None:
    with running(tmp_path, SOURCE, predictor={"processesPerReplica": WORKERS}) as replica:
        before = replica.worker_pids
        async with loaded(replica, "SIGSTOP and SIGCONT of a worker") as driver:
            os.kill(before[0], signal.SIGSTOP)
            await until(lambda: any(worker["state"] == "STOPPED" for worker in replica.state["workers"]))
            os.kill(before[0], signal.SIGCONT)
            await until(lambda: set(replica.worker_pids) == set(before))
        assert not driver.record.failed()


def test_a_replica_without_a_moving_worker_is_not_ready(tmp_path: pathlib.Path) -> None:
    with running(tmp_path, SOURCE) as replica:
        (pid,) = replica.worker_pids
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        wait_for(lambda: replica.client.get("/healthz/ready").status_code == 503)
        wait_for(lambda: replica.state["state"] == "UNREADY")
        assert time.monotonic() - began < 1
        # It is ended and replaced, and who came meanwhile is served.
        assert replica.client.post("/").status_code == 200
        assert pid not in replica.worker_pids
        line = replica.wait_line("was stopped for")
        assert line["reason"] == "WORKER_DIED"


def test_a_worker_that_hangs_is_ended(tmp_path: pathlib.Path) -> None:
    source = SOURCE.replace("self):", "self, query_params):").replace("0.015", "float(query_params.get('s', 0))")
    policy = {"worker": {"hangTimeout": "0.5s"}}
    with running(tmp_path, source, predictor=policy) as replica:
        (pid,) = replica.worker_pids
        assert replica.client.post("/?s=0.2").status_code == 200
        died = replica.client.post("/?s=30")
        assert (died.status_code, died.headers["x-cortex-retry"]) == (503, "worker-died")
        assert replica.client.post("/").status_code == 200
        assert pid not in replica.worker_pids
        assert "made no progress for 0.5 s" in replica.wait_line("restarting")["message"]


def test_a_cancelled_request_that_goes_on_costs_its_worker(tmp_path: pathlib.Path) -> None:
    source = SOURCE.replace("self):", "self, query_params):").replace("0.015", "float(query_params.get('s', 0))")
    policy = {"worker": {"onCancel": "CANCEL_POLICY_KILL", "cancelGrace": "0.5s"}}
    with running(tmp_path, source, predictor=policy) as replica:
        (pid,) = replica.worker_pids
        late = replica.client.post("/?s=30", headers={"x-request-timeout-ms": "2000"})
        assert late.status_code == 504
        assert replica.client.post("/").status_code == 200
        assert pid not in replica.worker_pids
        assert "went on with a cancelled request" in replica.wait_line("restarting")["message"]


def test_a_blocked_event_loop_is_told(tmp_path: pathlib.Path) -> None:
    source = SOURCE.replace("def predict(self):", "async def predict(self, query_params):")
    source = source.replace("0.015", "float(query_params.get('s', 0))")
    with running(tmp_path, source) as replica:
        assert replica.client.post("/?s=1.2").status_code == 200
        assert replica.wait_line("the event loop stood still")["level"] == "warning"


async def test_a_batch_that_a_stopped_worker_has_not_begun(tmp_path: pathlib.Path) -> None:
    source = SOURCE.replace("self):", "self, payload):").replace("return 1", "return payload")
    predictor = {
        "processesPerReplica": WORKERS,
        "serverSideBatching": {"maxBatchSize": 4, "batchInterval": "0.005s"},
    }
    with running(tmp_path, source, predictor=predictor) as replica:
        before = replica.worker_pids
        async with loaded(replica, "SIGSTOP and SIGCONT of each, batching") as driver:
            for victim in before:
                os.kill(victim, signal.SIGSTOP)
                await until(lambda: any(worker["state"] == "STOPPED" for worker in replica.state["workers"]))
                os.kill(victim, signal.SIGCONT)
                await until(lambda: set(replica.worker_pids) == set(before))
            os.kill(before[0], signal.SIGSTOP)
            await until(replaced(replica, {before[0]}))
        assert len(driver.record.failed()) <= 4
