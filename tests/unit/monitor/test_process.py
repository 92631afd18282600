"""The real process: whether it is stopped or killed, its history is there when it comes back."""

import asyncio
import contextlib
import os
import pathlib
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator

import grpc
import httpx
import pytest
from google.protobuf import duration_pb2

from cortex.monitor.v1 import monitor_service_pb2 as pb
from cortex.monitor.v1 import monitor_service_pb2_grpc
from services.chassis import channels, telemetry
from tests.fakes import replica_reports

ROOT = pathlib.Path(__file__).parents[3]
QUIET = telemetry.Telemetry(None, None)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Process:
    """One monitor process on ports that stay the same over its lives."""

    def __init__(self, home: pathlib.Path) -> None:
        self.home = home
        self.port, self.metrics_port = free_port(), free_port()
        self.channel = channels.connect(f"127.0.0.1:{self.port}", QUIET)
        self.stub = monitor_service_pb2_grpc.MonitorServiceStub(self.channel)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        environ = os.environ | {
            "CORTEX_HOME": str(self.home),
            "CORTEX_LISTEN": f"127.0.0.1:{self.port}",
            "CORTEX_METRICS_ADDRESS": f"127.0.0.1:{self.metrics_port}",
            "CORTEX_MONITOR_SAVE_SECONDS": "0.2",
        }
        with (self.home / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.monitor", cwd=ROOT, env=environ, stderr=log
            )
        await self.get()

    async def stop(self, number: signal.Signals) -> int:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
        return await asyncio.wait_for(self._process.wait(), 10)

    async def get(self, window: int = 900) -> pb.ApiMetrics:
        request = pb.GetApiMetricsRequest(name=replica_reports.API, window=duration_pb2.Duration(seconds=window))
        found: pb.ApiMetrics = await self.stub.GetApiMetrics(request, timeout=20, wait_for_ready=True)
        return found

    async def until(self, count: int, window: int = 900) -> pb.ApiMetrics:
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    found = await self.get(window)
                    if found.total.requests_2xx == count:
                        return found
                await asyncio.sleep(0.02)

    async def scrape(self) -> str:
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10)
            assert answer.status_code == 200
            return answer.text

    async def until_scraped(self, text: str) -> None:
        async with asyncio.timeout(10):
            while text not in await self.scrape():
                await asyncio.sleep(0.02)


@pytest.fixture
async def monitor(tmp_path: pathlib.Path) -> AsyncIterator[Process]:
    one = Process(tmp_path)
    await one.start()
    yield one
    await one.channel.close()
    await one.stop(signal.SIGKILL)


async def report(monitor: Process, *messages: pb.ReportMetricsRequest) -> None:
    call = monitor.stub.ReportMetrics(timeout=10)
    for message in messages:
        await call.write(message)
    await call.done_writing()
    await call


async def test_history_survives_a_kill_and_a_stop(monitor: Process) -> None:
    message = replica_reports.message(1, end=time.time(), statuses={200: 7}, latencies=[0.25], in_flight=3)
    await report(monitor, message)
    found = await monitor.until(7)
    assert found.total.in_flight == 3 and found.total.latency.p99 == pytest.approx(0.25, rel=0.01)
    await saved(monitor)
    assert await monitor.stop(signal.SIGKILL) == -signal.SIGKILL

    await monitor.start()
    assert (await monitor.until(7)).total.latency.p99 == pytest.approx(0.25, rel=0.01)
    await report(monitor, replica_reports.message(2, end=time.time(), statuses={200: 1}))
    assert (await monitor.until(8)).revisions["r1-aaaa"].requests_2xx == 8
    assert 'code="200",namespace="default",revision="r1-aaaa"} 1.0' in await monitor.scrape(), "counters begin anew"
    await report(monitor, replica_reports.message(3, end=time.time(), statuses={200: 2}))
    assert await monitor.stop(signal.SIGTERM) == 0

    await monitor.start()
    await monitor.until(10)
    assert (await monitor.until(10, window=7 * 86400)).total.latency.count == 1


async def saved(monitor: Process) -> None:
    """Waits until the database is connected and the next save is done: its write-ahead log grew after a report."""
    await monitor.until_scraped("cortex_monitor_database_connected 1.0")
    wal = monitor.home / "monitor" / "monitor.db-wal"
    size = wal.stat().st_size if wal.exists() else 0
    await report(monitor, replica_reports.message(1, end=time.time(), replica="other", statuses={503: 1}))
    async with asyncio.timeout(10):
        while not wal.exists() or wal.stat().st_size <= size:
            await asyncio.sleep(0.02)
