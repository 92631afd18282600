"""A user's own gRPC service: its messages as classes, and one method of the predictor per RPC.

Bytes of messages come and go; the front never parses them. Items of a stream are framed as gRPC-Web frames them: a byte
of kind, four of length, then a message or, as the last frame, what ends the call.
"""

from __future__ import annotations

import base64
import inspect
import json
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from . import encode, payload, signature
from .rpc_context import Aborted, Context

TYPE = "application/grpc"
_FRAME = struct.Struct(">BI")
_MESSAGE, _END = 0, 0x80
_ARGUMENTS = ("payload", "context")


class Service:
    """`told` is what the front compiled (user_service.py). Raises Invalid."""

    def __init__(self, told: dict[str, Any]) -> None:
        from . import rpc_messages

        if "error" in told:
            raise signature.Invalid(told["error"])
        self.name: str = told["name"]
        self.messages = rpc_messages.Messages(base64.b64decode(told["files"]))
        self.module = self.messages.module(told["file"])
        self._methods: list[dict[str, Any]] = told["methods"]

    @property
    def names(self) -> list[str]:
        return [method["name"] for method in self._methods]

    def check_class(self, cls: Any) -> None:
        """Raises Invalid."""
        for rpc in self.names:
            name = _serving(cls, rpc)
            if not callable(getattr(cls, name, None)):
                raise signature.Invalid(f"{name}() is missing: {self.name} has an RPC of this name")
            method = inspect.getattr_static(cls, name)
            if inspect.isfunction(method):
                signature.checked(method, name, _ARGUMENTS, skip_self=True)

    def taken(self, cls: Any) -> frozenset[str]:
        """Methods that serve RPCs, and hence no verb of HTTP."""
        return frozenset(_serving(cls, name) for name in self.names)

    def methods(self, instance: Any, is_active: Callable[[int], bool]) -> dict[str, Method]:
        """By path. Raises Invalid."""
        found = {}
        for told in self._methods:
            name = _serving(type(instance), told["name"])
            function = getattr(instance, name)
            names = signature.checked(function, name, _ARGUMENTS)
            request = self.messages.get(told["input"])
            method = Method(function, names, request, told["output"], streams=told["streams"], is_active=is_active)
            found["/{}/{}".format(self.name, told["name"])] = method
        return found


def _serving(cls: Any, rpc: str) -> str:
    """The name of its method: in the ancestor's 0.32 and 0.33 the only RPC was `Predict`, and `predict` served it."""
    return "predict" if rpc == "Predict" and not hasattr(cls, rpc) and hasattr(cls, "predict") else rpc


class Method(signature.Method):
    """One RPC."""

    def __init__(
        self,
        function: Callable[..., Any],
        names: list[str],
        request: Any,
        output: str,
        *,
        streams: bool,
        is_active: Callable[[int], bool],
    ) -> None:
        super().__init__(function, ())
        self._names = names
        self._request = request
        self._output = output
        self._streams = streams
        self._is_active = is_active

    def arguments(self, request: payload.Request) -> dict[str, Any]:
        """Raises Malformed."""
        request.context = context = Context(request, self._is_active)
        values: dict[str, Any] = {"context": context}
        if "payload" in self._names:
            try:
                values["payload"] = self._request.FromString(request.body)
            except Exception:  # DecodeError, of whichever protobuf this is
                name = self._request.DESCRIPTOR.full_name
                raise payload.Malformed(f"the bytes of the request are no {name}") from None
        return {name: values[name] for name in self._names}

    def finish(self, result: Any, request: payload.Request) -> encode.Encoded:
        """Raises TypeError for what is not the RPC's message."""
        context: Context = request.context
        if context.aborted:  # though its exception was caught
            raise Aborted
        if self._streams:
            answer = encode.Encoded(200, TYPE, b"")
            answer.chunks = self._framed_async(result, context) if hasattr(result, "__anext__") else None
            answer.chunks = answer.chunks or self._framed(iter(result), context)
            answer.headers = context.initial()
            return answer
        if context.failed:
            return ended(context)
        answer = encode.Encoded(200, TYPE, self._bytes(result))
        answer.headers = context.initial() + context.trailers()
        return answer

    def _bytes(self, message: Any) -> bytes:
        name = getattr(getattr(message, "DESCRIPTOR", None), "full_name", type(message).__name__)
        if name != self._output:
            raise TypeError(f"{self.function.__name__}() must return {self._output}, and gave {name}")
        data: bytes = message.SerializeToString()
        return data

    def _framed(self, items: Iterator[Any], context: Context) -> Iterator[bytes]:
        begun = False
        try:
            for item in items:
                data = _frame(_MESSAGE, self._bytes(item))
                begun = True
                yield data
                if context.aborted:
                    raise Aborted
        except Exception:
            if not (begun and context.aborted):
                raise
        finally:
            if hasattr(items, "close"):
                items.close()
        yield from self._last(context, begun)

    async def _framed_async(self, items: Any, context: Context) -> AsyncIterator[bytes]:
        begun = False
        try:
            async for item in items:
                data = _frame(_MESSAGE, self._bytes(item))
                begun = True
                yield data
                if context.aborted:
                    raise Aborted
        except Exception:
            if not (begun and context.aborted):
                raise
        finally:
            await items.aclose()
        for data in self._last(context, begun):
            yield data

    @staticmethod
    def _last(context: Context, begun: bool) -> Iterator[bytes]:
        """What ends the stream, if there is something to say. Before its first message a failure is a whole answer."""
        if context.failed and not begun:
            raise Aborted
        trailers = context.trailers()
        if trailers:
            yield _frame(_END, json.dumps(trailers).encode())
        if context.failed and context.http_status >= 500:
            raise Aborted  # counted as a failure


def ended(context: Context) -> encode.Encoded:
    """The answer of a call that its code ended with a status of its choice."""
    answer = encode.Encoded(context.http_status, TYPE, b"")
    answer.headers = context.initial() + context.trailers()
    return answer


def _frame(kind: int, data: bytes) -> bytes:
    return _FRAME.pack(kind, len(data)) + data
