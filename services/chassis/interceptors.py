"""What surrounds every RPC a service answers: a request id, a span, an access line, errors as google.rpc.Status."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import structlog
from grpc_status import rpc_status

from services.chassis import errors, telemetry

_log = structlog.get_logger("rpc")
_QUIET = ("/grpc.health.v1.", "/grpc.reflection.")


class Interceptor(grpc.aio.ServerInterceptor):
    """Wraps each handler; the order is telemetry, then errors, so that a span sees the final status."""

    def __init__(self, tracing: telemetry.Telemetry) -> None:
        self._tracing = tracing

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(_QUIET):
            return handler
        carrier = {k: v for k, v in handler_call_details.invocation_metadata or () if isinstance(v, str)}
        if handler.response_streaming:
            return _replace(handler, self._streaming(handler, method, carrier))
        return _replace(handler, self._unary(handler, method, carrier))

    def _unary(self, handler: Any, method: str, carrier: dict[str, str]) -> Any:
        behaviour = handler.stream_unary if handler.request_streaming else handler.unary_unary

        async def answer(request: Any, context: Any) -> Any:
            return await behaviour(_parsed(handler, request), context)

        async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            async with _Call(self._tracing, method, carrier, context) as guarded:
                return await guarded.run(answer(request, context))

        return call

    def _streaming(self, handler: Any, method: str, carrier: dict[str, str]) -> Any:
        behaviour = handler.stream_stream if handler.request_streaming else handler.unary_stream

        async def begin(request: Any, context: Any) -> AsyncIterator[Any]:
            return aiter(behaviour(_parsed(handler, request), context))

        async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            async with _Call(self._tracing, method, carrier, context) as guarded:
                answers = await guarded.run(begin(request, context))
                while True:
                    try:
                        answer = await guarded.run(answers.__anext__())
                    except StopAsyncIteration:
                        return
                    yield answer

        return call


class _Call:
    """One RPC in progress."""

    def __init__(self, tracing: telemetry.Telemetry, method: str, carrier: dict[str, str], context: Any) -> None:
        self._method = method
        self._context = context
        self._id = carrier.get("x-request-id") or uuid.uuid4().hex
        self._began = time.monotonic()
        service, _, name = method.strip("/").partition("/")
        attributes = {"rpc.system.name": "grpc", "rpc.method": f"{service}/{name}"}
        self._manager = tracing.server_span(f"{service}/{name}", carrier, attributes)
        self._span: Any = None

    async def __aenter__(self) -> "_Call":
        telemetry.set_request_id(self._id)
        self._span = self._manager.__enter__()
        return self

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        code = self._context.code() or grpc.StatusCode.OK
        code = code if isinstance(code, grpc.StatusCode) else grpc.StatusCode.UNKNOWN
        if kind in (asyncio.CancelledError, GeneratorExit):
            code = grpc.StatusCode.CANCELLED
        if self._span is not None:
            self._span.set_attribute("rpc.response.status_code", code.name)
        fields = {"method": self._method, "code": code.name, "seconds": round(time.monotonic() - self._began, 4)}
        (_log.info if code is grpc.StatusCode.OK else _log.warning)("rpc", **fields)
        # Our own abort has been told to the span above; what leaves here is only grpc's way of ending the call.
        self._manager.__exit__(None, None, None)

    async def run(self, work: Awaitable[Any]) -> Any:
        try:
            return await work
        except errors.CortexError as error:
            await self._abort(error)
        except (grpc.aio.AbortError, asyncio.CancelledError, StopAsyncIteration):
            raise
        except grpc.aio.AioRpcError as error:
            _log.warning("dependency failed", method=self._method, code=error.code().name, details=error.details())
            await self._abort(errors.Unavailable("a service this one depends on did not answer", retry_after=1.0))
        except Exception:
            _log.exception("unexpected error", method=self._method)
            await self._abort(errors.Internal(f"internal error; look for request id {self._id} in the service's log"))

    async def _abort(self, error: errors.CortexError) -> None:
        status = errors.to_status(error)
        await self._context.abort_with_status(rpc_status.to_status(status))


class _Messages:
    """A stream of requests, each parsed when it is asked for."""

    def __init__(self, raw: AsyncIterator[bytes], parse: Callable[[bytes], Any]) -> None:
        self._raw = aiter(raw)
        self._parse = parse

    def __aiter__(self) -> "_Messages":
        return self

    async def __anext__(self) -> Any:
        return _parse(self._parse, await anext(self._raw))


def _parsed(handler: Any, request: Any) -> Any:
    parse = handler.request_deserializer
    if parse is None:
        return request
    return _Messages(request, parse) if handler.request_streaming else _parse(parse, request)


def _parse(parse: Callable[[bytes], Any], data: bytes) -> Any:
    try:
        return parse(data)
    except Exception as error:
        raise errors.InvalidArgument(
            "the request is not a message of the type that this method takes; generate your client from the same protos"
        ) from error


def _replace(handler: Any, behaviour: Any) -> Any:
    makers: dict[tuple[bool, bool], Any] = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    make = makers[(handler.request_streaming, handler.response_streaming)]
    # Messages are parsed within the guarded call: outside of it, grpc answers UNKNOWN with the name of a Python class.
    return make(behaviour, request_deserializer=None, response_serializer=handler.response_serializer)
