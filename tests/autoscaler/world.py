"""An autoscaler with real gRPC on every side: a small apiserver that the test steers, and a gateway's two calls."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from google.protobuf import json_format

from cortex.apiserver.v1 import api_pb2
from cortex.apiserver.v1 import api_service_pb2 as pb
from cortex.autoscaler.v1 import autoscaler_service_pb2, autoscaler_service_pb2_grpc
from services import xds_types
from services.autoscaler import __main__ as program
from services.autoscaler import settings
from services.chassis import channels, clock, telemetry

NAME = "namespaces/default/apis/iris"
Json = dict[str, Any]
_QUIET = telemetry.Telemetry(None, None)


class FakeApiServer:
    """Keeps APIs, grants every ScaleApi, and streams changes. `starts`: whether a wanted replica gets ready at once."""

    def __init__(self) -> None:
        self.apis: dict[str, api_pb2.Api] = {}
        self.scaled: list[pb.ScaleApiRequest] = []
        self.starts = False
        self.refusals = 0
        self._streams: list[asyncio.Queue[pb.WatchApisResponse]] = []

    def put(self, status: Json, spec: Json | None = None, *, name: str = NAME) -> None:
        known = self.apis.get(name) or api_pb2.Api(name=name, uid=f"uid-{name}")
        json_format.ParseDict({"spec": spec or {}, "status": status}, known)
        self.publish(known)

    def publish(self, api: api_pb2.Api) -> None:
        self.apis[api.name] = api
        self._tell(pb.WatchApisResponse(api=api, type=pb.WATCH_EVENT_TYPE_UPDATED))

    def delete(self, name: str) -> None:
        api = self.apis.pop(name)
        gone = api_pb2.Api(name=name, uid=api.uid)
        self._tell(pb.WatchApisResponse(api=gone, type=pb.WATCH_EVENT_TYPE_DELETED))

    def _tell(self, message: pb.WatchApisResponse) -> None:
        copy = pb.WatchApisResponse.FromString(message.SerializeToString())
        for stream in self._streams:
            stream.put_nowait(copy)

    @property
    def watchers(self) -> int:
        return len(self._streams)

    async def WatchApis(self, request: pb.WatchApisRequest, context: Any) -> AsyncIterator[pb.WatchApisResponse]:
        stream: asyncio.Queue[pb.WatchApisResponse] = asyncio.Queue()
        self._streams.append(stream)
        try:
            for api in self.apis.values():
                yield pb.WatchApisResponse(api=api, type=pb.WATCH_EVENT_TYPE_UPDATED)
            yield pb.WatchApisResponse(type=pb.WATCH_EVENT_TYPE_SYNCED)
            while True:
                yield await stream.get()
        finally:
            self._streams.remove(stream)

    async def ScaleApi(self, request: pb.ScaleApiRequest, context: Any) -> api_pb2.Api:
        if self.refusals:
            self.refusals -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the database is away")
        self.scaled.append(request)
        api = self.apis[request.name]
        api.status.desired_replicas = request.desired_replicas
        if self.starts:
            api.status.ready_replicas = api.status.routable_replicas = request.desired_replicas
        self.publish(api)
        return api


@dataclasses.dataclass(slots=True)
class World:
    apiserver: FakeApiServer
    channel: grpc.aio.Channel
    address: str
    upstream: grpc.aio.Server
    upstream_address: str

    async def stop_apiserver(self) -> None:
        await self.upstream.stop(0)

    async def start_apiserver(self) -> None:
        """Again, at the same address."""
        self.upstream = grpc.aio.server()
        _serve(self.apiserver, self.upstream)
        self.upstream.add_insecure_port(self.upstream_address)
        await self.upstream.start()

    @property
    def decisions(self) -> Any:
        return autoscaler_service_pb2_grpc.AutoscalerServiceStub(self.channel)

    def check(self, api: str = NAME, *, timeout: float = 10.0, headers: dict[str, str] | None = None) -> Any:
        """What Envoy asks while it holds a request."""
        request = xds_types.message("envoy.service.auth.v3.CheckRequest")()
        request.attributes.context_extensions["api"] = api
        request.attributes.request.http.headers.update(headers or {})
        response = xds_types.message("envoy.service.auth.v3.CheckResponse")
        call = self.channel.unary_unary(
            "/envoy.service.auth.v3.Authorization/Check",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
        return call(request, timeout=timeout)

    async def held(self, api: str = NAME) -> int:
        try:
            decision = await self.decisions.GetDecision(autoscaler_service_pb2.GetDecisionRequest(name=api))
        except grpc.aio.AioRpcError as error:
            # The first decision is made a tick after the API is known.
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            return 0
        return int(decision.held_requests)

    @contextlib.asynccontextmanager
    async def gateway(self, in_flight: Callable[[], dict[str, int]]) -> AsyncIterator[None]:
        """A gateway that reports as often as it was told to."""
        reporting = asyncio.ensure_future(self._report(in_flight))
        try:
            yield
        finally:
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)

    async def _report(self, in_flight: Callable[[], dict[str, int]]) -> None:
        request = xds_types.message("envoy.service.load_stats.v3.LoadStatsRequest")
        response = xds_types.message("envoy.service.load_stats.v3.LoadStatsResponse")
        call: Any = self.channel.stream_stream(
            "/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )()
        await call.write(xds_types.from_dict(request.DESCRIPTOR.full_name, {"node": {"id": "gateway"}}))
        answer = await call.read()
        assert answer.send_all_clusters and answer.report_endpoint_granularity
        while True:
            await asyncio.sleep(answer.load_reporting_interval.ToNanoseconds() / 1e9)
            stats = [
                {"cluster_name": name, "upstream_locality_stats": [{"total_requests_in_progress": count}]}
                for name, count in in_flight().items()
            ]
            await call.write(xds_types.from_dict(request.DESCRIPTOR.full_name, {"cluster_stats": stats}))


def _serve(fake: FakeApiServer, server: grpc.aio.Server) -> None:
    """Only the two methods that are called here."""
    handlers: dict[str, Any] = {
        "WatchApis": grpc.unary_stream_rpc_method_handler(
            fake.WatchApis, pb.WatchApisRequest.FromString, pb.WatchApisResponse.SerializeToString
        ),
        "ScaleApi": grpc.unary_unary_rpc_method_handler(
            fake.ScaleApi, pb.ScaleApiRequest.FromString, api_pb2.Api.SerializeToString
        ),
    }
    service = grpc.method_handlers_generic_handler("cortex.apiserver.v1.ApiService", handlers)
    server.add_generic_rpc_handlers((service,))


@contextlib.asynccontextmanager
async def world(*, interval: float = 0.05) -> AsyncIterator[World]:
    fake = FakeApiServer()
    upstream = grpc.aio.server()
    _serve(fake, upstream)
    upstream_address = f"127.0.0.1:{upstream.add_insecure_port('127.0.0.1:0')}"
    await upstream.start()
    chosen = settings.Settings("127.0.0.1:0", upstream_address, "info", interval, interval)
    to_apiserver = channels.connect(upstream_address, _QUIET)
    serving, loops = program.assemble(chosen, to_apiserver, _QUIET, clock.SystemClock())
    await serving.start()
    running = [asyncio.ensure_future(loop) for loop in loops]
    address = f"127.0.0.1:{serving.port}"
    async with grpc.aio.insecure_channel(address) as channel:
        here = World(fake, channel, address, upstream, upstream_address)
        try:
            yield here
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await serving.drain(0)
            await to_apiserver.close()
            await here.stop_apiserver()


async def until(condition: Callable[[], Any], what: str, timeout: float = 5.0) -> None:
    """Waits for `condition` (a function or a coroutine function) to hold."""
    ends = time.monotonic() + timeout
    while time.monotonic() < ends:
        found = condition()
        if await found if asyncio.iscoroutine(found) else found:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"still not after {timeout} s: {what}")
