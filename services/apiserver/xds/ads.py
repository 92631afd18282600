"""The aggregated discovery service (state of the world): Envoy's messages in and out of the streams."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import structlog

from services import xds_types
from services.apiserver.xds import gateway as gateways
from services.apiserver.xds import kinds
from services.apiserver.xds import stream as streams
from services.apiserver.xds.subscription import Push, Request
from services.chassis import clock as clocks
from services.chassis import errors

SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
_REQUEST = "envoy.service.discovery.v3.DiscoveryRequest"
_RESPONSE = "envoy.service.discovery.v3.DiscoveryResponse"
_LONGEST_WORDS = 4000
# Waiting ends by an event; this only bounds the harm of one that was missed.
_LONGEST_WAIT_SECONDS = 10.0
_log = structlog.get_logger("xds")


class Ads:
    """`handlers()` goes to `chassis.server.Server.add_generic`."""

    def __init__(self, gateway: gateways.Gateway, clock: clocks.Clock) -> None:
        self._gateway = gateway
        self._clock = clock

    def handlers(self) -> Sequence[grpc.GenericRpcHandler]:
        method = grpc.stream_stream_rpc_method_handler(
            self.stream,
            request_deserializer=xds_types.message(_REQUEST).FromString,
            response_serializer=xds_types.serialize,
        )
        return [grpc.method_handlers_generic_handler(SERVICE, {"StreamAggregatedResources": method})]

    async def stream(self, requests: AsyncIterator[Any], _context: Any) -> AsyncIterator[Any]:
        """Ends when the gateway goes. Reading and writing are independent, so neither can hold up the other."""
        first = await anext(requests, None)
        if first is None:
            return
        if not first.node.id:
            raise errors.InvalidArgument("the bootstrap must give the node an id", reason="INVALID_FIELD")
        stream, wake = streams.Stream(first.node.id, _agent(first.node), self._clock.now()), asyncio.Event()
        # Before it joins: one that has said nothing would count as a gateway that sends requests to no replica.
        self._heard(stream, first, wake)
        self._gateway.join(stream, wake)
        reader = asyncio.create_task(self._read(requests, stream, wake))
        try:
            while not reader.done():
                wake.clear()
                for push in self._gateway.pushes(stream):
                    yield _response(push)
                await self._wait(stream, wake)
            reader.result()
        finally:
            reader.cancel()
            self._gateway.leave(stream)

    async def _read(self, requests: AsyncIterator[Any], stream: streams.Stream, wake: asyncio.Event) -> None:
        try:
            async for request in requests:
                self._heard(stream, request, wake)
        finally:
            wake.set()

    def _heard(self, stream: streams.Stream, message: Any, wake: asyncio.Event) -> None:
        kind = kinds.BY_URL.get(message.type_url)
        if kind is None:
            _log.warning("asked for a type that is not served", node=stream.node_id, type_url=message.type_url[:200])
            return
        self._gateway.heard(stream, _request(kind, message))
        wake.set()

    async def _wait(self, stream: streams.Stream, wake: asyncio.Event) -> None:
        longest = streams.SETTLE_SECONDS if self._gateway.unsettled(stream) else _LONGEST_WAIT_SECONDS
        try:
            async with asyncio.timeout(longest):
                await wake.wait()
        except TimeoutError:
            return


def _request(kind: kinds.Kind, message: Any) -> Request:
    error = ""
    if message.HasField("error_detail"):
        error = message.error_detail.message[:_LONGEST_WORDS] or "refused without a word"
    return Request(kind, frozenset(message.resource_names), message.version_info, message.response_nonce, error)


def _response(push: Push) -> Any:
    message = xds_types.message(_RESPONSE)(
        version_info=push.version, type_url=push.kind.type_url, nonce=push.nonce, control_plane={"identifier": "cortex"}
    )
    for data in push.resources:
        message.resources.add().MergeFromString(data)
    return message


def _agent(node: Any) -> str:
    version = node.user_agent_build_version.version
    return f"{node.user_agent_name} {version.major_number}.{version.minor_number}.{version.patch}".strip()
