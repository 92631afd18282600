"""Unary gRPC calls at the HTTP door, as the gateway sends them on.

Python's gRPC server costs about nine times as much per call as our HTTP door, so the gateway turns unary calls into
HTTP/1.1 requests (Envoy's grpc_http1_reverse_bridge) and leaves their framing alone. A success is one frame, to which
the gateway adds the trailers. A failure is headers only: what gRPC calls Trailers-Only, with nothing lost.

The same handlers answer at both doors; `Context` is as much of gRPC's as they use.
"""

import asyncio
import base64
import re
import struct
import urllib.parse
import zlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple, NoReturn

from runtime import errors, http_heads
from runtime.bodies import FREE_BYTES
from runtime.http_exchange import Exchange
from runtime.mounts import Visit

CONTENT_TYPE = b"application/grpc"
_FRAME = struct.Struct(">BI")  # compressed, length
_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_WINDOWS = {b"gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}
# What gRPC keeps to itself, and what is of the connection to the gateway.
_NOT_METADATA = frozenset(
    [
        b"accept", b"connection", b"content-length", b"content-type", b"grpc-accept-encoding", b"grpc-encoding",
        b"grpc-timeout", b"host", b"te", b"transfer-encoding", b"x-request-id",
    ]
)  # fmt: skip
_ATTEMPT = http_heads.ATTEMPT_HEADER.decode()
# A message may inflate this much, or to the free size: more is an attack, or near enough (oip/compression.py).
_MOST_GROWTH = 100
_FREE_GROWTH = 8 * 1024 * 1024
_INLINE_BYTES = 1024  # become a mebibyte at most
_BAD_FRAME = errors.Failure(400, "PAYLOAD_MALFORMED", "the request body is not one gRPC message")
_BAD_ENCODING = errors.Failure(501, "NOT_IMPLEMENTED", "the message has an encoding other than gzip and deflate")
Metadata = Iterable[tuple[str, "str | bytes"]]


class _Ended(Exception):
    """`abort` has answered."""


class _Details(NamedTuple):
    """A grpc.HandlerCallDetails."""

    method: str
    invocation_metadata: tuple[tuple[str, str], ...]


class Context:
    """As much of grpc.aio.ServicerContext as our handlers use."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._headers: list[tuple[bytes, bytes]] = []

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        exchange = self._visit.exchange
        told = [pair for pair in metadata(exchange.fields) if pair[0] != "x-request-id"]
        # What the HTTP door keeps to itself, and the gRPC door reads from the metadata.
        return (*told, ("x-request-id", exchange.request_id), (_ATTEMPT, str(exchange.attempt)))

    def peer(self) -> str:
        """Of the gateway; the caller itself is behind it."""
        return f"ipv4:{self._visit.exchange.peer}:0"

    def time_remaining(self) -> float | None:
        """As told when the call began; what is left of it is counted from there."""
        return timeout(self._visit.header(b"grpc-timeout"))

    async def send_initial_metadata(self, initial_metadata: Metadata) -> None:
        """With the answer. Every answer of this door has the id of its request already."""
        self._headers = [_header(name, value) for name, value in initial_metadata if name != "x-request-id"]

    async def abort(self, code: Any, details: str = "", trailing_metadata: Metadata = ()) -> NoReturn:
        lines = [*self._headers, (b"grpc-status", b"%d" % code.value[0]), (b"grpc-message", quoted(details))]
        lines += [_header(name, value) for name, value in trailing_metadata if name != "x-request-id"]
        self._visit.reply(200, CONTENT_TYPE, b"", lines)
        raise _Ended

    def answer(self, data: bytes) -> None:
        self._visit.reply(200, CONTENT_TYPE, framed(data), self._headers)


class Bridge:
    """The unary methods of one service, as a handler of a mounted path."""

    def __init__(self, service: str, handlers: Any, max_bytes: int) -> None:
        self._service = service
        self._handlers = handlers
        self._max_bytes = max_bytes
        self._methods: dict[bytes, tuple[Callable[..., Awaitable[Any]], Callable[[Any], bytes]] | None] = {}

    async def serve(self, visit: Visit) -> None:
        method = self._method(visit.path)
        if method is None or visit.method != b"POST" or not visit.content_type.startswith(CONTENT_TYPE):
            visit.fail(errors.NOT_FOUND)
            return
        message = await received(visit.exchange, self._max_bytes)
        if isinstance(message, errors.Failure):
            visit.fail(message)
            return
        visit.counted = True  # by those who answer
        context = Context(visit)
        behaviour, serialize = method
        try:
            context.answer(serialize(await behaviour(message, context)))
        except _Ended:
            return

    def _method(self, name: bytes) -> tuple[Callable[..., Awaitable[Any]], Callable[[Any], bytes]] | None:
        if name not in self._methods and len(self._methods) < 100:
            found = self._handlers.service(_Details(f"/{self._service}/{name.decode('latin-1')}", ()))
            unary = found.unary_unary if found is not None else None
            self._methods[name] = (unary, found.response_serializer) if unary else None
        return self._methods.get(name)


def inflates(exchange: Exchange) -> bool:
    return isinstance(exchange.body, bytes) and exchange.body[:1] == b"\1"


async def received(exchange: Exchange, limit: int) -> bytes | errors.Failure:
    """The message of a request. What it inflates to is on the account of all bodies until the answer is written."""
    body = bytes(exchange.body)
    encoding = exchange.header(b"grpc-encoding")
    if not inflates(exchange):
        return unframed(body, encoding, limit)
    if exchange.crowded:
        return errors.BODIES_FULL
    if len(body) <= _INLINE_BYTES:
        found = unframed(body, encoding, limit)
    else:  # zlib lets go of the interpreter meanwhile
        found = await asyncio.to_thread(unframed, body, encoding, limit)
    if isinstance(found, bytes) and len(found) > FREE_BYTES:
        exchange.hold(len(found))
    return found


def unframed(body: bytes, encoding: bytes, limit: int) -> bytes | errors.Failure:
    """The message in a frame; `encoding` is that of a compressed one, which may not inflate beyond `limit`."""
    if len(body) < _FRAME.size:
        return _BAD_FRAME
    compressed, length = _FRAME.unpack_from(body)
    if compressed > 1 or length != len(body) - _FRAME.size:
        return _BAD_FRAME
    data = body[_FRAME.size :]
    return _inflated(data, encoding, limit) if compressed else data


def _inflated(data: bytes, encoding: bytes, limit: int) -> bytes | errors.Failure:
    if encoding not in _WINDOWS:
        return _BAD_ENCODING
    inflater = zlib.decompressobj(_WINDOWS[encoding])
    limit = min(limit, max(_FREE_GROWTH, len(data) * _MOST_GROWTH))
    try:
        message = inflater.decompress(data, limit + 1)
    except zlib.error:
        return _BAD_FRAME
    if len(message) > limit:
        return errors.TOO_LARGE
    return message if inflater.eof else _BAD_FRAME


def framed(message: bytes) -> bytes:
    return _FRAME.pack(0, len(message)) + message


def metadata(fields: Sequence[bytes]) -> tuple[tuple[str, str], ...]:
    """What gRPC calls metadata, of the headers in the fields of a request; no binary ones."""
    pairs = zip(fields[6::2], fields[7::2], strict=True)
    return tuple(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in pairs
        if name not in _NOT_METADATA and not name.endswith(b"-bin")
    )


def timeout(told: bytes) -> float | None:
    """Seconds that a grpc-timeout header gives; None without one."""
    found = _TIMEOUT.fullmatch(told) if told else None
    return int(found[1]) * _UNITS[found[2]] if found else None


def failed(failure: errors.Failure, request_id: str) -> list[tuple[bytes, bytes]]:
    """The headers of an answer that fails before any handler has it."""
    from grpc_status import rpc_status

    from runtime import grpc_errors

    ended: Any = rpc_status.to_status(grpc_errors.to_status(failure, request_id))
    lines = [(b"grpc-status", b"%d" % ended.code.value[0]), (b"grpc-message", quoted(ended.details))]
    return [*lines, *(_header(name, value) for name, value in (*ended.trailing_metadata, *failure.headers))]


def quoted(text: str) -> bytes:
    """Percent-encoded, as gRPC wants its messages in headers."""
    return urllib.parse.quote(text, safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}").encode()


def _header(name: str, value: "str | bytes") -> tuple[bytes, bytes]:
    if isinstance(value, bytes):
        return name.encode(), base64.b64encode(value).rstrip(b"=")
    return name.encode(), re.sub(r"[\r\n\0]", " ", value).encode("latin-1", "replace")
