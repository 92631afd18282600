"""Logs, metrics and scaling decisions: the calls to the services that watch an API."""

import datetime
from collections.abc import Callable, Iterator
from typing import Any

from cortex.autoscaler.v1 import autoscaler_service_pb2, autoscaler_service_pb2_grpc
from cortex.logstream.v1 import logstream_service_pb2, logstream_service_pb2_grpc
from cortex.monitor.v1 import monitor_service_pb2, monitor_service_pb2_grpc
from cortex_client.transport import Pending, Transport

LogEntry = logstream_service_pb2.LogEntry
DroppedNotice = logstream_service_pb2.DroppedNotice
ApiMetrics = monitor_service_pb2.ApiMetrics
Decision = autoscaler_service_pb2.Decision

Since = datetime.datetime | datetime.timedelta | None


def tail_request(api: str, *, since: Since, **filters: Any) -> logstream_service_pb2.TailLogsRequest:
    request = logstream_service_pb2.TailLogsRequest(api=api, **filters)
    if isinstance(since, datetime.timedelta):
        since = datetime.datetime.now(datetime.UTC) - since
    if since is not None:
        request.since.FromDatetime(since.astimezone(datetime.UTC))
    return request


def logs(
    transport: Transport,
    request: logstream_service_pb2.TailLogsRequest,
    on_dropped: Callable[[DroppedNotice], None] | None,
    resuming: Callable[[Callable[[], Iterator[Any]], bool], Iterator[Any]],
) -> Iterator[LogEntry]:
    stub = logstream_service_pb2_grpc.LogstreamServiceStub(transport.channel)

    def start() -> Iterator[logstream_service_pb2.TailLogsResponse]:
        return transport.stream(stub.TailLogs, request, None)

    for message in resuming(start, request.follow):
        if message.HasField("dropped") and on_dropped is not None:
            on_dropped(message.dropped)
        yield from message.entries
        if message.resume_token:
            request.resume_token = message.resume_token


def metrics(
    transport: Transport,
    api: str,
    window: datetime.timedelta | None,
    timeout: float,
    since: datetime.datetime | None = None,
) -> Pending:
    request = monitor_service_pb2.GetApiMetricsRequest(name=api)
    if window is not None:
        request.window.FromTimedelta(window)
    if since is not None:
        request.since.FromDatetime(since)
    return transport.start(_monitor(transport).GetApiMetrics, request, timeout)


def list_metrics(
    transport: Transport, parent: str, window: datetime.timedelta | None, page_token: str, timeout: float
) -> Pending:
    request = monitor_service_pb2.ListApiMetricsRequest(parent=parent, page_size=1000, page_token=page_token)
    if window is not None:
        request.window.FromTimedelta(window)
    return transport.start(_monitor(transport).ListApiMetrics, request, timeout)


def decision(transport: Transport, api: str, timeout: float) -> Pending:
    request = autoscaler_service_pb2.GetDecisionRequest(name=api)
    return transport.start(_autoscaler(transport).GetDecision, request, timeout)


def decisions(transport: Transport, api: str, page_token: str, timeout: float) -> Pending:
    request = autoscaler_service_pb2.ListDecisionsRequest(parent=api, page_size=1000, page_token=page_token)
    return transport.start(_autoscaler(transport).ListDecisions, request, timeout)


def _monitor(transport: Transport) -> Any:
    return monitor_service_pb2_grpc.MonitorServiceStub(transport.channel)


def _autoscaler(transport: Transport) -> Any:
    return autoscaler_service_pb2_grpc.AutoscalerServiceStub(transport.channel)
