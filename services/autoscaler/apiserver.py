"""The apiserver as the autoscaler sees it: a stream of APIs in, wanted replicas out. The only importer of its stub.

The stream may break at any time; the catalog keeps what was known, and the next stream begins with the whole state.
"""

import asyncio
import random

import grpc
import structlog

from cortex.apiserver.v1 import api_service_pb2, api_service_pb2_grpc
from services.autoscaler import catalog, convert
from services.chassis import backoff, clock, errors

_log = structlog.get_logger("apiserver")
_RETRY = backoff.Backoff(first=0.1, longest=2.0)
_SCALE_TIMEOUT = 5.0
# A stream that says nothing for so long, not even a heartbeat, is opened again: cheap, and it heals what we cannot see.
_QUIET_LIMIT = 60.0
_ACTOR = "autoscaler"


class ApiServer:
    def __init__(
        self,
        *,
        channel: grpc.aio.Channel,
        known: catalog.Catalog,
        time: clock.Clock,
        rng: random.Random,
        quiet_limit: float = _QUIET_LIMIT,
    ) -> None:
        self._stub = api_service_pb2_grpc.ApiServiceStub(channel)
        self._catalog = known
        self._clock = time
        self._rng = rng
        self._quiet_limit = quiet_limit

    async def scale(self, api: str, desired: int, reason: str) -> None:
        request = api_service_pb2.ScaleApiRequest(name=api, desired_replicas=desired, reason=reason, actor=_ACTOR)
        try:
            answer = await self._stub.ScaleApi(request, timeout=_SCALE_TIMEOUT)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise errors.NotFound(f"{api} is gone") from error
            raise errors.Unavailable(f"ScaleApi: {error.code().name}: {error.details()}") from error
        # Before the stream tells us: the next decision must not be made against the old number.
        if answer.name == api and self._catalog.get(api) is not None:
            self._catalog.put(convert.api(answer))

    async def watch(self) -> None:
        """Keeps the catalog true until cancelled."""
        failures = 0
        while True:
            try:
                await self._follow()
                failures = 0
            except (grpc.aio.AioRpcError, TimeoutError) as error:
                failures = 0 if self._catalog.fresh(self._clock.monotonic()) else failures + 1
                words = error.details() if isinstance(error, grpc.aio.AioRpcError) else "silent for too long"
                _log.warning("the watch of APIs broke; opening it again", error=words)
            self._catalog.disconnected(self._clock.monotonic())
            await self._clock.sleep(_RETRY.delay(failures, self._rng))

    async def _follow(self) -> None:
        call = self._stub.WatchApis(api_service_pb2.WatchApisRequest(parent="namespaces/-"))
        told: set[str] = set()
        try:
            while True:
                message = await self._next(call)
                if message is None:
                    return
                self._take(message, told)
        finally:
            call.cancel()

    async def _next(self, call: grpc.aio.UnaryStreamCall) -> api_service_pb2.WatchApisResponse | None:  # type: ignore[type-arg]
        # Not wait_for: it can swallow a cancellation that comes together with a message.
        async with asyncio.timeout(self._quiet_limit):
            message = await call.read()
        return message if isinstance(message, api_service_pb2.WatchApisResponse) else None

    def _take(self, message: api_service_pb2.WatchApisResponse, told: set[str]) -> None:
        match message.type:
            case api_service_pb2.WATCH_EVENT_TYPE_UPDATED:
                told.add(message.api.name)
                self._catalog.put(convert.api(message.api))
            case api_service_pb2.WATCH_EVENT_TYPE_DELETED:
                told.discard(message.api.name)
                self._catalog.remove(message.api.name)
            case api_service_pb2.WATCH_EVENT_TYPE_SYNCED:
                self._catalog.keep_only(told)
                self._catalog.connected(self._clock.monotonic())
                _log.info("watching", apis=len(told))
            case _:
                pass
