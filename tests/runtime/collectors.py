"""Servers that take what a replica pushes: an OTLP collector for spans and a monitor for reports."""

import contextlib
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from cortex.monitor.v1 import monitor_service_pb2, monitor_service_pb2_grpc


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps every span."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.services: set[str] = set()

    def Export(self, request: Any, context: Any) -> Any:
        for resource in request.resource_spans:
            self.services |= {a.value.string_value for a in resource.resource.attributes if a.key == "service.name"}
            for scope in resource.scope_spans:
                self.spans += scope.spans
        return trace_service_pb2.ExportTraceServiceResponse()


class Monitor(monitor_service_pb2_grpc.MonitorServiceServicer):
    """Keeps every report."""

    def __init__(self) -> None:
        self.reports: list[monitor_service_pb2.ReportMetricsRequest] = []

    def ReportMetrics(self, request_iterator: Any, context: Any) -> monitor_service_pb2.ReportMetricsResponse:
        for report in request_iterator:
            self.reports.append(report)
        return monitor_service_pb2.ReportMetricsResponse()

    def GetApiMetrics(self, request: Any, context: Any) -> Any:
        raise NotImplementedError  # a replica never asks

    def ListApiMetrics(self, request: Any, context: Any) -> Any:
        raise NotImplementedError  # a replica never asks


@contextlib.contextmanager
def serving(collector: Collector, monitor: Monitor) -> Iterator[str]:
    """Both on one port; yields the address."""
    server = grpc.server(futures.ThreadPoolExecutor(8))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    monitor_service_pb2_grpc.add_MonitorServiceServicer_to_server(monitor, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait(5)
