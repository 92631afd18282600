"""Reports to a monitor that refuses some: those are dropped and counted, the rest arrives."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest

from cortex.monitor.v1 import monitor_service_pb2 as pb
from cortex.monitor.v1 import monitor_service_pb2_grpc as pb_grpc
from runtime import config, metrics, proto_json, reporter

REFUSED = 999


class Monitor(pb_grpc.MonitorServiceServicer):
    """Refuses a report that holds the status 999."""

    def __init__(self) -> None:
        self.tries: list[int] = []
        self.refused: list[int] = []
        self.taken: dict[int, pb.ReportMetricsRequest] = {}
        self.changed = asyncio.Event()

    async def ReportMetrics(self, request_iterator: Any, context: Any) -> pb.ReportMetricsResponse:
        async for report in request_iterator:
            self.tries.append(report.sequence)
            if REFUSED in report.requests_by_status:
                self.refused.append(report.sequence)
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "report refused")
            self.taken[report.sequence] = report
            self.changed.set()
        return pb.ReportMetricsResponse()

    async def GetApiMetrics(self, request: Any, context: Any) -> Any:
        raise NotImplementedError  # a replica never asks

    async def ListApiMetrics(self, request: Any, context: Any) -> Any:
        raise NotImplementedError  # a replica never asks

    async def until(self, wanted: Callable[[pb.ReportMetricsRequest], bool]) -> pb.ReportMetricsRequest:
        async with asyncio.timeout(10):
            while not (found := [report for report in self.taken.values() if wanted(report)]):
                self.changed.clear()
                await self.changed.wait()
        return found[0]


class RefusingChannel:
    """Refuses while the first report is still in the writer's hands."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.twice = asyncio.Event()

    def stream_unary(self, *_: Any, **__: Any) -> Callable[[AsyncIterator[pb.ReportMetricsRequest]], Any]:
        return self._call

    def unary_unary(self, *_: Any, **__: Any) -> None:
        """The stub asks for these; a replica never calls them."""

    async def _call(self, reports: AsyncIterator[pb.ReportMetricsRequest]) -> None:
        report = await anext(reports)
        self.seen.append(report.sequence)
        if len(self.seen) == 2:
            self.twice.set()
        none = grpc.aio.Metadata()
        raise grpc.aio.AioRpcError(grpc.StatusCode.INVALID_ARGUMENT, none, none, details="report refused")


@contextlib.asynccontextmanager
async def channel_to(monitor: Monitor) -> AsyncIterator[grpc.aio.Channel]:
    server = grpc.aio.server()
    pb_grpc.add_MonitorServiceServicer_to_server(monitor, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(None)


async def test_a_refused_report_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporter, "_INTERVAL", 3600.0)  # reports are taken here, one after the other is dealt with
    settings = proto_json.Message({"api": "namespaces/default/apis/a", "revision": "r1", "replica": "a-r1-x"})
    monitor, measured = Monitor(), metrics.Metrics()
    pushing = reporter.Reporter(config.convert(settings), measured, lambda: (0, 0))
    async with channel_to(monitor) as channel:
        running = asyncio.create_task(pushing.run(channel))
        pushing.collect()
        await monitor.until(lambda report: report.sequence == 1)
        for _ in range(3):
            measured.ended(REFUSED, 0.1, 0.0)
        pushing.collect()
        async with asyncio.timeout(10):
            while not pushing._lost:
                await asyncio.sleep(0.001)
        pushing.collect()
        told = await monitor.until(lambda report: report.lost_observations > 0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert (told.sequence, told.lost_observations) == (3, 3)
    assert monitor.refused == [2] and monitor.tries.count(2) == 1


async def test_a_report_that_is_refused_before_it_was_sent_whole_is_not_sent_again() -> None:
    """What a stream still holds when the refusal arrives."""
    measured = metrics.Metrics()
    pushing = reporter.Reporter(config.convert(proto_json.Message({})), measured, lambda: (0, 0))
    channel = RefusingChannel()
    measured.ended(REFUSED, 0.1, 0.0)
    pushing.collect()
    pushing.collect()
    running = asyncio.create_task(pushing.run(channel))  # type: ignore[arg-type]  # stands for a channel
    async with asyncio.timeout(10):
        await channel.twice.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert channel.seen == [1, 2]
