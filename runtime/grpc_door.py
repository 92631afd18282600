"""The gRPC server: PredictionService with the meaning of the HTTP door, health and reflection."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
from google.protobuf import json_format, struct_pb2
from google.rpc import status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status

from cortex.runtime.v1 import prediction_service_pb2 as pb
from cortex.runtime.v1 import prediction_service_pb2_grpc as pb_grpc
from runtime import config, errors, grpc_errors, tracing
from runtime.calls import Call
from runtime.dispatch import Dispatcher
from runtime.http_door import HttpDoor
from runtime.shim import frames

_SERVICE = pb.DESCRIPTOR.services_by_name["PredictionService"].full_name
_CREDIT_STEP = frames.WINDOW_CHUNKS // 4


class Answer:
    """A sink (see calls.Sink) that an RPC handler waits on. Parts: (content type or None, bytes)."""

    def __init__(self) -> None:
        self.parts: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.began: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.content_type = ""
        self.status = 200
        self.reason = ""
        self.failure: errors.Failure | None = None
        self.whole = False

    def on_response(self, status: int, fields: Sequence[bytes], body: bytes) -> None:
        self.whole = True
        self.reason = fields[1].decode()
        self.on_stream_head(status, fields)
        self.parts.put_nowait(body)
        self.parts.put_nowait(None)

    def on_stream_head(self, status: int, fields: Sequence[bytes]) -> None:
        self.status, self.content_type = status, fields[0].decode("latin-1")
        self._start()

    def on_stream_chunk(self, data: bytes) -> None:
        self.parts.put_nowait(data)

    def on_stream_end(self, *, broken: bool) -> None:
        if broken:
            self.failure = errors.Failure(500, "PREDICTOR_FAILED", "the predictor failed in the middle of its answer")
        self.parts.put_nowait(None)

    def on_failure(self, failure: errors.Failure) -> None:
        self.failure = failure
        self._start()
        self.parts.put_nowait(None)

    def _start(self) -> None:
        if not self.began.done():
            self.began.set_result(None)


class Predictions(pb_grpc.PredictionServiceServicer):
    """Turns RPCs into calls. The context's cancellation, by the caller or its deadline, cancels the call."""

    def __init__(self, dispatcher: Dispatcher, door: HttpDoor) -> None:
        self._dispatcher = dispatcher
        self._door = door
        self._loop = asyncio.get_running_loop()

    async def Predict(self, request: pb.PredictRequest, context: Any) -> pb.PredictResponse:
        call, answer = await self._submit(request, context)
        try:
            chunks = [part async for part in self._parts(call, answer)]
            await self._check(call, answer, context, chunks)
            await self._begin(call, context)
            return _response(b"".join(chunks), answer.content_type, request.WhichOneof("payload") == "json")
        finally:
            self._dispatcher.cancel(call)

    async def PredictStream(self, request: pb.PredictRequest, context: Any) -> AsyncIterator[pb.PredictResponse]:
        call, answer = await self._submit(request, context)
        wants_json = request.WhichOneof("payload") == "json"
        try:
            await answer.began
            if answer.failure is not None or answer.status >= 400:
                await self._check(call, answer, context, [part async for part in self._parts(call, answer)])
            await self._begin(call, context)
            async for part in self._parts(call, answer):
                yield _response(part, answer.content_type, wants_json)
            await self._check(call, answer, context, [])
        finally:
            self._dispatcher.cancel(call)

    async def _submit(self, request: pb.PredictRequest, context: Any) -> tuple[Call, Answer]:
        began = self._loop.time()
        self._door.last_request = began
        metadata = [(k, v) for k, v in context.invocation_metadata() or () if isinstance(v, str)]
        headers = dict(metadata) | {name.lower(): value for name, value in request.headers.items()}
        request_id = headers.get("x-request-id", "")[:200] or self._door.new_request_id()
        body, content_type = _payload(request)
        fields = [text.encode("utf-8") for text in ("POST", "/", _query(request), content_type, request_id)]
        fields.append(tracing.valid(headers.get("traceparent", "").encode()))
        for name, value in headers.items():
            fields += (name.encode(), value.encode("latin-1", "replace"))
        fields = [field.replace(b"\0", b"") for field in fields]
        answer = Answer()
        call = Call(
            fields=fields, body=body, request_id=request_id, began=began,
            deadline=self._dispatcher.deadline(began, context.time_remaining()), sink=answer,
        )  # fmt: skip
        if self._dispatcher.verbs and "POST" not in self._dispatcher.verbs:
            answer.on_failure(errors.method_not_allowed(", ".join(self._dispatcher.verbs)))
            call.stage = type(call.stage).DONE
        else:
            self._dispatcher.submit(call)
        return call, answer

    @staticmethod
    async def _begin(call: Call, context: Any) -> None:
        """Not a moment before there is an answer: until then the gateway can give the call to another replica."""
        await context.send_initial_metadata((("x-request-id", call.request_id),))

    @staticmethod
    async def _parts(call: Call, answer: Answer) -> AsyncIterator[bytes]:
        owed = 0
        while (part := await answer.parts.get()) is not None:
            yield part
            owed += 1
            if owed >= _CREDIT_STEP:
                call.grant(owed)
                owed = 0

    @staticmethod
    async def _check(call: Call, answer: Answer, context: Any, chunks: list[bytes]) -> None:
        """Ends the RPC with the status that the HTTP door would have sent."""
        failure = answer.failure
        if failure is None and answer.status >= 400:
            text = grpc_errors.text(b"".join(chunks), answer.content_type)
            failure = errors.Failure(answer.status, answer.reason or "UNSPECIFIED", text)
        if failure is not None:
            status: status_pb2.Status = grpc_errors.to_status(failure, call.request_id)
            ended = rpc_status.to_status(status)
            trailers = (*ended.trailing_metadata, ("x-request-id", call.request_id), *failure.headers)
            await context.abort(ended.code, ended.details, trailers)


class GrpcDoor:
    """Life of the server."""

    def __init__(self, settings: config.Settings, dispatcher: Dispatcher, door: HttpDoor) -> None:
        limit = min(settings.max_request_bytes, 2**31 - 1)
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
        pb_grpc.add_PredictionServiceServicer_to_server(Predictions(dispatcher, door), self._server)
        names = [_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME]
        reflection.enable_server_reflection(names, self._server)
        self.port = 0

    async def start(self) -> None:
        await self.set_ready(ready=False)
        self.port = self._server.add_insecure_port(self._address)
        await self._server.start()

    async def set_ready(self, *, ready: bool) -> None:
        code = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", _SERVICE):
            await self._health.set(name, code)

    async def stop(self, grace: float) -> None:
        await self._server.stop(grace)


def _payload(request: pb.PredictRequest) -> tuple[bytes, str]:
    if request.WhichOneof("payload") == "json":
        return _value_json(request.json), "application/json"
    return request.body, request.content_type


def _value_json(value: struct_pb2.Value) -> bytes:
    """Whole numbers without a fraction, as a JSON caller would have written them."""
    return json.dumps(json.loads(json_format.MessageToJson(value, indent=None), parse_float=config.number)).encode()


def _query(request: pb.PredictRequest) -> str:
    from urllib.parse import urlencode

    return urlencode(dict(request.query_params))


def _response(data: bytes, content_type: str, wants_json: bool) -> pb.PredictResponse:
    if wants_json and content_type.startswith(("application/json", "application/x-ndjson")):
        try:
            return pb.PredictResponse(json=json_format.Parse(data, struct_pb2.Value()), content_type=content_type)
        except (json_format.ParseError, UnicodeDecodeError):
            pass  # several lines joined, for instance, are no single value
    return pb.PredictResponse(body=data, content_type=content_type)
