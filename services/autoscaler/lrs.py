"""Envoy's Load Reporting Service: each gateway opens a stream and tells twice a second how many requests are in flight.

Wire in, `gateways.Gateways` out. Clusters that are no revision of an API (the gateway's own, such as its stream to us)
are left aside.
"""

import collections
import itertools
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
import structlog

from services import xds_types
from services.autoscaler import gateways
from services.chassis import clock

_log = structlog.get_logger("lrs")
SERVICE = "envoy.service.load_stats.v3.LoadReportingService"


class LoadReports:
    def __init__(self, *, known: gateways.Gateways, time: clock.Clock, interval: float) -> None:
        self._known = known
        self._clock = time
        self._interval = interval
        self._streams = itertools.count(1)
        self._request = xds_types.message("envoy.service.load_stats.v3.LoadStatsRequest")
        self._response = xds_types.message("envoy.service.load_stats.v3.LoadStatsResponse")

    def handlers(self) -> grpc.GenericRpcHandler:
        stream = grpc.stream_stream_rpc_method_handler(
            self.stream,
            request_deserializer=self._request.FromString,
            response_serializer=self._response.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(SERVICE, {"StreamLoadStats": stream})

    async def stream(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        # Two gateways may share a node id during a hot restart, so the stream is the identity.
        stream, met = next(self._streams), False
        try:
            async for request in requests:
                if not met:
                    met = True
                    self._known.arrived(stream, request.node.id)
                    _log.info("a gateway reports its load", gateway=request.node.id, peer=context.peer())
                    yield self._ask()
                    continue
                self._known.report(stream, in_flight(request), self._clock.monotonic())
        finally:
            self._known.left(stream)
            _log.info("a gateway left", stream=stream)

    def _ask(self) -> Any:
        answer = self._response(send_all_clusters=True, report_endpoint_granularity=True)
        answer.load_reporting_interval.FromNanoseconds(int(self._interval * 1e9))
        return answer


def in_flight(request: Any) -> Mapping[str, int]:
    """Requests in progress per API, of one report; APIs without any are left out."""
    found: collections.Counter[str] = collections.Counter()
    for cluster in request.cluster_stats:
        api = api_of(cluster.cluster_name)
        if api:
            found[api] += sum(locality.total_requests_in_progress for locality in cluster.upstream_locality_stats)
    return +found


def api_of(cluster: str) -> str:
    """The API of a cluster `<api>/revisions/<revision>`, with or without `#grpc`; empty for any other cluster."""
    api, separator, revision = cluster.partition("/revisions/")
    return api if separator and revision and api.startswith("namespaces/") else ""
