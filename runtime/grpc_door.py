"""The gRPC server: PredictionService with the meaning of the HTTP door, health and reflection."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from cortex.runtime.v1 import prediction_service_pb2 as pb
from runtime import (
    config,
    errors,
    grpc_bridge,
    grpc_direct,
    grpc_errors,
    grpc_messages,
    grpc_pools,
    grpc_wishes,
    http_heads,
    tracing,
)
from runtime.awaited import AwaitedCall
from runtime.bodies import FREE_BYTES
from runtime.calls import DEFAULT_PRIORITY, Stage
from runtime.dispatch import Dispatcher
from runtime.errors import InferError
from runtime.http_door import HttpDoor

_SERVICE = pb.DESCRIPTOR.services_by_name["PredictionService"].full_name


class Rpc(AwaitedCall):
    """A call of PredictionService."""

    __slots__ = ("held", "wants_json")

    def __init__(self, began: float, wants_json: bool) -> None:
        super().__init__(began)
        self.wants_json = wants_json
        self.held = 0  # bytes of the body on the account of all bodies


class Predictions:
    """Turns RPCs into calls. The context's cancellation, by the caller or its deadline, cancels the call.

    Requests come as bytes and are parsed here, because gRPC would answer those that do not parse with UNKNOWN.
    """

    def __init__(self, dispatcher: Dispatcher, door: HttpDoor) -> None:
        self._dispatcher = dispatcher
        self._door = door

    def handlers(self) -> grpc.GenericRpcHandler:
        methods: dict[str, Any] = {
            "Predict": grpc.unary_unary_rpc_method_handler(self.predict, response_serializer=_as_it_is),
            "PredictStream": grpc.unary_stream_rpc_method_handler(self.predict_stream, response_serializer=_as_it_is),
        }
        return grpc.method_handlers_generic_handler(_SERVICE, methods)

    async def predict(self, data: bytes, context: Any) -> bytes:
        call = await self._submit(data, context)
        try:
            body = await call.answer()
            await self._check(call, context, body)
            answer = await self._encoded(body, call, context)
            await self._open(call, context)
            return answer
        finally:
            self._end(call)

    async def predict_stream(self, data: bytes, context: Any) -> AsyncIterator[bytes]:
        call = await self._submit(data, context)
        try:
            await call.opening
            if call.refused:
                await self._check(call, context, await call.answer())
            await self._open(call, context)
            async for part in call.parts():
                yield await self._encoded(part, call, context)
            await self._check(call, context, b"")
        finally:
            self._end(call)

    async def _submit(self, data: bytes, context: Any) -> Rpc:
        self._door.last_request = began = self._door.now()
        headers = {k: v for k, v in context.invocation_metadata() or () if isinstance(v, str)}
        attempt = headers.pop(http_heads.ATTEMPT_HEADER.decode(), "")
        failure, request, wants_json, body, content_type = errors.NO_MESSAGE, None, False, b"", ""
        asked, priority = None, DEFAULT_PRIORITY
        try:
            limit = self._dispatcher.deadline(began, context.time_remaining())
            request, wants_json = await self._read(data, limit)
            if request is not None:
                body, content_type = grpc_messages.payload(request)
                headers |= {name.lower(): value for name, value in request.headers.items()}
                asked, priority = grpc_wishes.timeout(headers, context.time_remaining()), grpc_wishes.priority(headers)
        except InferError as error:
            request = None
            failure = error.failure
        request_id = headers.get("x-request-id", "")[:200].encode() or self._door.new_request_id()
        if request is None:
            self._door.refused(failure.status, began)
            await grpc_errors.abort(context, failure, request_id.decode())
        call = Rpc(began, wants_json)
        call.attempt = http_heads.attempt(attempt.encode())
        call.body = body
        traceparent = tracing.valid(headers.get("traceparent", "").encode())
        call.fields = grpc_messages.fields(request, content_type, request_id, traceparent, headers)
        call.deadline, call.priority = self._dispatcher.deadline(began, asked), priority
        self._begin(call, len(data))
        return call

    async def _read(self, data: bytes, limit: float) -> tuple[pb.PredictRequest | None, bool]:
        """The message, and whether its payload is JSON; None for what is none."""
        if not grpc_messages.is_large_predict(data):
            return grpc_messages.told(data)
        small, wants_json = await self._door.scribe.ask(grpc_messages.with_body, data, deadline=limit)
        return grpc_messages.parsed(small) if small is not None else None, wants_json

    async def _encoded(self, body: bytes, call: Rpc, context: Any) -> bytes:
        if not grpc_messages.is_large_answer(body, call.wants_json):
            return grpc_messages.encoded(body, call.content_type, call.wants_json)
        try:
            return await self._door.scribe.ask(grpc_messages.encoded, body, call.content_type, True)
        except InferError as error:
            await grpc_errors.abort(context, error.failure, call.request_id)

    def _begin(self, call: Rpc, size: int) -> None:
        """Submits the call, or fails it where the HTTP door would not even have read it."""
        verbs, bodies = self._dispatcher.verbs, self._door.bodies
        failure = None
        if self._dispatcher.offer and "POST" not in verbs:
            failure = errors.method_not_allowed(", ".join(verbs))
        elif size > FREE_BYTES and bodies.full:
            failure = errors.BODIES_FULL
        if failure is not None:
            self._door.refused(failure.status, call.began)
            call.on_failure(failure)
            call.stage = Stage.DONE
            return
        if size > FREE_BYTES:
            call.held = size
            bodies.keep(None, size)
        self._dispatcher.submit(call)

    def _end(self, call: Rpc) -> None:
        self._dispatcher.cancel(call)
        if call.held:
            self._door.bodies.give_back(call.held)

    @staticmethod
    async def _open(call: Rpc, context: Any) -> None:
        """Not a moment before there is an answer: until then the gateway can give the call to another replica."""
        await context.send_initial_metadata((("x-request-id", call.request_id),))

    @staticmethod
    async def _check(call: Rpc, context: Any, body: bytes) -> None:
        """Ends the RPC with the status that the HTTP door would have sent."""
        failure = call.failure
        if failure is None and call.status >= 400:
            text = grpc_errors.text(body, call.content_type)
            failure = errors.Failure(call.status, call.reason or "UNSPECIFIED", text)
        if failure is not None:
            await grpc_errors.abort(context, failure, call.request_id)


def _as_it_is(answer: bytes) -> bytes:
    return answer


class GrpcDoor:
    """Life of the server."""

    def __init__(self, settings: config.Settings, dispatcher: Dispatcher, door: HttpDoor) -> None:
        self._limit = limit = min(settings.max_request_bytes, 2**31 - 1)
        self._http = door
        options = (
            ("grpc.max_receive_message_length", limit),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
            ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
            ("grpc.keepalive_permit_without_calls", 1),
        )
        self._address = settings.grpc_address
        self._server = grpc.aio.server(options=options)
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._names: list[str] = []
        self._pools: Any = grpc_pools.Pools(descriptor_pool.Default())
        self.add(_SERVICE, Predictions(dispatcher, door).handlers(), pb.DESCRIPTOR.pool)
        door.mounts.add_direct(f"/{_SERVICE}/Predict".encode(), grpc_direct.Predict(dispatcher, limit, door.scribe))
        self.port = 0

    def add(self, name: str, handlers: grpc.GenericRpcHandler, pool: Any) -> None:
        """One more service, with health and reflection, before `start`. Its messages are in `pool`."""
        self._names.append(name)
        self._pools.add(pool)
        self._server.add_generic_rpc_handlers((handlers,))
        bridge = grpc_bridge.Bridge(name, handlers, self._limit)
        self._http.mounts.add(name.encode(), bridge.serve)

    async def start(self) -> None:
        told = [*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME]
        reflection.enable_server_reflection(told, self._server, self._pools)
        await self.set_ready(ready=False)
        self.port = self._server.add_insecure_port(self._address)
        await self._server.start()

    async def set_ready(self, *, ready: bool) -> None:
        code = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", *self._names):
            await self._health.set(name, code)

    async def stop(self, grace: float) -> None:
        await self._server.stop(grace)
