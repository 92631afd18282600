"""The RPCs and the metrics endpoint, over real sockets, inside one process."""

import contextlib
import random
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import grpc
import httpx
import prometheus_client
import pytest

from cortex.monitor.v1 import monitor_service_pb2 as pb
from cortex.monitor.v1 import monitor_service_pb2_grpc
from services.chassis import channels, clock, server, telemetry
from services.monitor import exposition, history, ports, prometheus, queries, registry, servicer
from tests.fakes import history as fakes
from tests.fakes import replica_reports

if TYPE_CHECKING:
    from cortex.monitor.v1.monitor_service_pb2_grpc import MonitorServiceAsyncStub as Stub


async def store() -> ports.HistoryStore:
    return fakes.MemoryHistory()


@pytest.fixture
async def memory() -> registry.Registry:
    return registry.Registry(most_replicas=3)


@pytest.fixture
async def stub(memory: registry.Registry) -> "AsyncIterator[Stub]":
    quiet, time_source = telemetry.Telemetry(None, None), clock.SystemClock()
    past = history.History(memory, store, save_seconds=5.0, time_source=time_source, rng=random.Random(1))
    handler = servicer.MonitorServicer(memory, queries.Queries(memory, past), time_source)
    one = server.Server("127.0.0.1:0", quiet)
    one.add(monitor_service_pb2_grpc.add_MonitorServiceServicer_to_server, handler, "cortex.monitor.v1.MonitorService")
    await one.start()
    async with channels.connect(f"127.0.0.1:{one.port}", quiet) as channel:
        yield monitor_service_pb2_grpc.MonitorServiceStub(channel)
    await one.drain(0.1)


@pytest.fixture
async def url(memory: registry.Registry) -> AsyncIterator[str]:
    shown = prometheus_client.CollectorRegistry()
    shown.register(prometheus.MonitorCollector(memory, history.Health(), time.time))
    endpoint = exposition.Endpoint(shown)
    yield f"http://127.0.0.1:{await endpoint.start('127.0.0.1:0')}/metrics"
    endpoint.close()


async def report(stub: "Stub", *messages: pb.ReportMetricsRequest) -> None:
    call = stub.ReportMetrics(timeout=10)
    for message in messages:
        with contextlib.suppress(grpc.aio.AioRpcError):  # told when the call is awaited
            await call.write(message)
    await call.done_writing()
    await call


async def test_reports_become_metrics(stub: "Stub") -> None:
    now = time.time()
    first = replica_reports.message(1, end=now, statuses={200: 2}, latencies=[0.1], in_flight=1)
    await report(stub, first, replica_reports.message(2, end=now, statuses={200: 1, 503: 1}, in_flight=4))
    found = await stub.GetApiMetrics(pb.GetApiMetricsRequest(name=replica_reports.API), timeout=10)
    assert (found.total.requests_2xx, found.total.requests_5xx, found.total.in_flight) == (3, 1, 4)
    assert set(found.revisions) == {"r1-aaaa"} and set(found.replicas) == {"iris-r1-abcde"}
    assert found.start_time.seconds <= now - 900 and found.end_time.seconds >= int(now)


async def test_metrics_of_what_nobody_reported_are_zero(stub: "Stub") -> None:
    found = await stub.GetApiMetrics(pb.GetApiMetricsRequest(name="namespaces/a/apis/none"), timeout=10)
    assert found.api == "namespaces/a/apis/none" and not found.total.requests_by_status and not found.replicas


async def test_a_replica_too_many_is_refused(stub: "Stub") -> None:
    messages = [replica_reports.message(1, end=time.time(), replica=f"iris-{n}") for n in range(4)]
    await report(stub, *messages[:3])
    with pytest.raises(grpc.aio.AioRpcError) as told:
        await report(stub, messages[3])
    assert told.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("parent", ["", "x", "namespaces/", "namespaces/A", "namespaces/a/apis/b"])
async def test_a_wrong_parent_is_refused(stub: "Stub", parent: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as told:
        await stub.ListApiMetrics(pb.ListApiMetricsRequest(parent=parent), timeout=10)
    assert told.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_malformed_report_ends_its_stream_only(stub: "Stub") -> None:
    bad = replica_reports.message(1, end=time.time(), statuses={200: 1})
    bad.revision = "../x"
    with pytest.raises(grpc.aio.AioRpcError) as told:
        await report(stub, bad)
    assert told.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "revision" in (told.value.details() or "")
    await report(stub, replica_reports.message(1, end=time.time(), statuses={200: 1}))
    found = await stub.GetApiMetrics(pb.GetApiMetricsRequest(name=replica_reports.API), timeout=10)
    assert found.total.requests_2xx == 1


async def test_lists_by_namespace_and_page(stub: "Stub") -> None:
    for name in ("a/apis/one", "a/apis/two", "b/apis/one"):
        message = replica_reports.message(end=time.time(), api=f"namespaces/{name}", statuses={200: 1})
        await report(stub, message)
    request = pb.ListApiMetricsRequest(parent="namespaces/-", page_size=2)
    first = await stub.ListApiMetrics(request, timeout=10)
    request.page_token = first.next_page_token
    second = await stub.ListApiMetrics(request, timeout=10)
    names = [one.api.removeprefix("namespaces/") for page in (first, second) for one in page.metrics]
    assert names == ["a/apis/one", "a/apis/two", "b/apis/one"] and not second.next_page_token
    only = await stub.ListApiMetrics(pb.ListApiMetricsRequest(parent="namespaces/b"), timeout=10)
    assert [one.api for one in only.metrics] == ["namespaces/b/apis/one"]


async def test_openmetrics_is_negotiated_and_large_requests_are_dropped(url: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(url, headers={"Accept": "application/openmetrics-text; version=1.0.0"}, timeout=10)
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        assert answer.text.endswith("# EOF\n")
        with pytest.raises(httpx.HTTPError):
            await client.get(url, headers={"X": "y" * 100_000}, timeout=10)
        plain = await client.get(url, timeout=10)
    assert plain.status_code == 200 and "cortex_monitor_reports_total" in plain.text
