"""Pushes a report to the monitor each second. Lossy on purpose: what does not fit is counted, never waited for."""

import asyncio
import collections
import random
import time
from collections.abc import AsyncIterator, Callable

import grpc

from cortex.monitor.v1 import monitor_service_pb2 as pb
from cortex.monitor.v1 import monitor_service_pb2_grpc as pb_grpc
from runtime import metrics
from runtime.config import Settings
from services.chassis import backoff

_INTERVAL = 1.0
_KEPT_REPORTS = 60


class Reporter:
    """Two tasks: one takes a report a second, one sends what there is for as long as a monitor listens."""

    def __init__(self, settings: Settings, measured: metrics.Metrics, load: Callable[[], tuple[int, int]]) -> None:
        self._settings = settings
        self._metrics = measured
        self._load = load
        self._reports: collections.deque[pb.ReportMetricsRequest] = collections.deque()
        self._offered: pb.ReportMetricsRequest | None = None
        self._fresh = asyncio.Event()
        self._sequence = 0
        self._lost = 0

    async def run(self, channel: grpc.aio.Channel) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._collect())
            group.create_task(self._send(channel))

    def collect(self) -> None:
        """Takes one report now; also called at the very end, so that a short life is not forgotten."""
        self._sequence += 1
        report = self._metrics.take(time.time(), *self._load())
        report.api, report.revision = self._settings.api, self._settings.revision
        report.replica, report.sequence = self._settings.replica, self._sequence
        if len(self._reports) >= _KEPT_REPORTS:
            self._lost += _weight(self._reports.popleft())
        report.lost_observations = self._lost
        self._reports.append(report)
        self._fresh.set()

    async def flush(self, channel: grpc.aio.Channel, timeout: float) -> None:
        """One last report, so that a short life is not forgotten; given up when the monitor does not take it."""
        self.collect()
        left, self._reports = list(self._reports), collections.deque()
        try:
            await pb_grpc.MonitorServiceStub(channel).ReportMetrics(iter(left), timeout=timeout)
        except grpc.aio.AioRpcError:
            return

    async def _collect(self) -> None:
        while True:
            await asyncio.sleep(_INTERVAL)
            self.collect()

    async def _send(self, channel: grpc.aio.Channel) -> None:
        wait = backoff.Backoff(first=0.2, longest=5.0)
        rng = random.Random()
        failures = 0
        while True:
            before = self._sequence
            try:
                await pb_grpc.MonitorServiceStub(channel).ReportMetrics(self._stream())
            except grpc.aio.AioRpcError as error:
                # A monitor that is down is its own supervisor's matter; it says so itself.
                if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
                    self._refused()
                failures = 0 if self._sequence > before + 10 else failures + 1
            await asyncio.sleep(wait.delay(failures, rng))

    def _refused(self) -> None:
        """It would be refused again, and what waits behind it would never arrive."""
        report = self._offered
        if report is not None:
            self._done_with(report)
            self._lost += _weight(report)

    async def _stream(self) -> AsyncIterator[pb.ReportMetricsRequest]:
        self._offered = None
        while True:
            while self._reports:
                self._offered = report = self._reports[0]
                yield report
                # Only now has the report been taken over; a broken stream keeps it.
                self._done_with(report)
            self._fresh.clear()
            await self._fresh.wait()

    def _done_with(self, report: pb.ReportMetricsRequest) -> None:
        # While it was on its way it may have been dropped for a newer one.
        if self._reports and self._reports[0] is report:
            self._reports.popleft()


def _weight(report: pb.ReportMetricsRequest) -> int:
    """How many observations are lost with it; an idle second counts as one."""
    return max(1, sum(report.requests_by_status.values()))
