"""A user's own service at the gRPC door: bytes of messages in and out, with the predictor's limits and deadlines."""

import base64
import json
import struct
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc

from runtime import errors, grpc_errors, grpc_wishes, http_heads, tracing, user_service
from runtime.awaited import AwaitedCall
from runtime.bodies import FREE_BYTES
from runtime.calls import Stage
from runtime.dispatch import Dispatcher
from runtime.http_door import HttpDoor
from runtime.shim.rpc_context import DEADLINE

_TYPE = "application/grpc"  # of answers whose status and metadata are the user's
_FRAME = struct.Struct(">BI")
_END = 0x80
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class UserService:
    """One handler per RPC. The front does not parse the messages."""

    def __init__(self, service: user_service.Service, dispatcher: Dispatcher, door: HttpDoor) -> None:
        self._service = service
        self._dispatcher = dispatcher
        self._door = door

    def handlers(self) -> grpc.GenericRpcHandler:
        methods: dict[str, Any] = {}
        for method in self._service.methods:
            path = f"/{self._service.name}/{method.name}"
            methods[method.name] = self._streaming(path) if method.streams else self._unary(path)
        return grpc.method_handlers_generic_handler(self._service.name, methods)

    def _unary(self, path: str) -> Any:
        async def answer(data: bytes, context: Any) -> bytes:
            call = self._submit(path, data, context)
            try:
                body = await call.answer()
                await _check(call, context, body)
                await _open(call, context)
                return body
            finally:
                self._end(call)

        return grpc.unary_unary_rpc_method_handler(answer)

    def _streaming(self, path: str) -> Any:
        async def answer(data: bytes, context: Any) -> AsyncIterator[bytes]:
            call = self._submit(path, data, context)
            try:
                await call.opening
                if call.refused:
                    await _check(call, context, await call.answer())
                await _open(call, context)
                async for kind, message in _unframed(call.parts()):
                    if kind == _END:
                        await _close({name: value for name, value in json.loads(message)}, context)
                    else:
                        yield message
                if call.failure is not None:
                    await grpc_errors.abort(context, call.failure, call.request_id)
            finally:
                self._end(call)

        return grpc.unary_stream_rpc_method_handler(answer)

    def _submit(self, path: str, data: bytes, context: Any) -> AwaitedCall:
        self._door.last_request = began = self._door.now()
        metadata = list(context.invocation_metadata() or ())
        told = {name: value for name, value in metadata if isinstance(value, str)}
        call = AwaitedCall(began)
        call.attempt = http_heads.attempt(told.get(http_heads.ATTEMPT_HEADER.decode(), "").encode())
        refused = self._wish(call, told, context.time_remaining())
        request_id = told.get("x-request-id", "")[:200].encode() or self._door.new_request_id()
        traceparent = tracing.valid(told.get("traceparent", "").encode())
        call.fields = [path.encode(), path.encode(), b"", _TYPE.encode(), request_id, traceparent]
        for name, value in metadata:
            if name != http_heads.ATTEMPT_HEADER.decode():
                call.fields += (name.encode(), _bytes(value))
        if call.deadline:
            call.fields += (DEADLINE.encode(), b"%.6f" % call.deadline)
        call.body = data
        self._begin(call, refused)
        return call

    def _wish(self, call: AwaitedCall, told: Mapping[str, str], remaining: float | None) -> errors.Failure | None:
        """Takes deadline and priority, or tells what is wrong with them."""
        try:
            asked = grpc_wishes.timeout(told, remaining)
            call.priority = grpc_wishes.priority(told)
        except errors.InferError as error:
            return error.failure
        call.deadline = self._dispatcher.deadline(call.began, asked)
        return None

    def _begin(self, call: AwaitedCall, refused: errors.Failure | None) -> None:
        size, bodies = len(call.body), self._door.bodies
        if refused is None and size > FREE_BYTES and bodies.full:
            refused = errors.BODIES_FULL
        if refused is not None:
            self._door.refused(refused.status, call.began)
            call.on_failure(refused)
            call.stage, call.body = Stage.DONE, b""
            return
        if size > FREE_BYTES:
            bodies.keep(None, size)
        self._dispatcher.submit(call)

    def _end(self, call: AwaitedCall) -> None:
        self._dispatcher.cancel(call)
        if len(call.body) > FREE_BYTES:  # what was refused has none any more
            self._door.bodies.give_back(len(call.body))


async def _open(call: AwaitedCall, context: Any) -> None:
    """Not a moment before there is an answer: until then the gateway can give the call to another replica."""
    told = _metadata(_text(call.headers), "initial-")
    await context.send_initial_metadata((("x-request-id", call.request_id), *told))


async def _check(call: AwaitedCall, context: Any, body: bytes) -> None:
    """Ends the RPC as the user's code did, or with the status that the HTTP door would have sent."""
    failure = call.failure
    if failure is None and call.content_type == _TYPE:
        await _close(_text(call.headers), context)
    elif failure is None and call.status >= 400:
        failure = errors.Failure(call.status, call.reason or "UNSPECIFIED", grpc_errors.text(body, call.content_type))
    if failure is not None:
        await grpc_errors.abort(context, failure, call.request_id)


async def _close(told: Mapping[str, str], context: Any) -> None:
    """Trailing metadata, and the end of a call whose code set a status."""
    trailers = _metadata(told, "trailing-")
    code = _CODES.get(int(told.get("grpc-status", "0")), grpc.StatusCode.UNKNOWN)
    if code is not grpc.StatusCode.OK:
        await context.abort(code, told.get("grpc-message", ""), trailers)
    context.set_trailing_metadata(trailers)


def _text(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in headers}


def _metadata(told: Mapping[str, str], prefix: str) -> tuple[tuple[str, str | bytes], ...]:
    found = [(name[len(prefix) :].lower(), value) for name, value in told.items() if name.startswith(prefix)]
    return tuple((name, base64.b64decode(value) if name.endswith("-bin") else value) for name, value in found)


def _bytes(value: str | bytes) -> bytes:
    """Of metadata, as a field of a frame; binary values in base64."""
    return (
        base64.b64encode(value) if isinstance(value, bytes) else value.encode("latin-1", "replace").replace(b"\0", b"")
    )


async def _unframed(parts: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    """Kind and content of each frame, however they were cut on the way."""
    rest = bytearray()
    async for part in parts:
        rest += part
        while len(rest) >= _FRAME.size:
            kind, size = _FRAME.unpack_from(rest)
            end = _FRAME.size + size
            if len(rest) < end:
                break
            yield kind, bytes(rest[_FRAME.size : end])
            del rest[:end]
