"""The RPCs of the monitor, thin."""

from collections.abc import AsyncIterator
from typing import Any

import grpc

from cortex.monitor.v1 import monitor_service_pb2 as pb
from cortex.monitor.v1 import monitor_service_pb2_grpc
from services.chassis import clock, paging
from services.monitor import convert, queries, registry


class MonitorServicer(monitor_service_pb2_grpc.MonitorServiceServicer):
    def __init__(self, memory: registry.Registry, answers: queries.Queries, time_source: clock.Clock) -> None:
        self._memory = memory
        self._answers = answers
        self._clock = time_source

    async def ReportMetrics(
        self,
        request_iterator: AsyncIterator[pb.ReportMetricsRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> pb.ReportMetricsResponse:
        async for message in request_iterator:
            self._memory.take(convert.report(message), self._clock.now())
        return pb.ReportMetricsResponse()

    async def GetApiMetrics(
        self, request: pb.GetApiMetricsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ApiMetrics:
        """An API that did nothing, or that does not exist, has metrics of zero: existence is the apiserver's word."""
        name, window = convert.api_name(request.name), convert.window(request)
        since = convert.since(request)
        return convert.api_metrics(await self._answers.api(name, window, self._clock.now(), since))

    async def ListApiMetrics(
        self, request: pb.ListApiMetricsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListApiMetricsResponse:
        namespace, window = convert.namespace(request.parent), convert.window(request)
        query = ("ListApiMetrics", request.parent, window)
        after = paging.open_token(query, request.page_token) or ""
        size, now = paging.clamp(request.page_size), self._clock.now()
        left = [name for name in await self._answers.names(namespace, window, now) if name > after]
        page = left[:size]
        summaries = await self._answers.many(page, window, now)
        token = paging.seal(query, page[-1]) if len(left) > size else ""
        return pb.ListApiMetricsResponse(
            metrics=[convert.api_metrics(summary) for summary in summaries], next_page_token=token
        )
