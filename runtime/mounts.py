"""Paths beside the predictor's own, answered by tasks: `/v2` (Open Inference Protocol), `/v1` (OpenAI).

A handler is a coroutine per request. It is cancelled when the caller leaves, and what it raises becomes an error reply.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from runtime import errors
from runtime.errors import InferError
from runtime.http_exchange import Exchange

Headers = Sequence[tuple[bytes, bytes]]


class Visit:
    """One request to a mounted path: the exchange, and ways to answer it that know back-pressure."""

    def __init__(self, exchange: Exchange, path: bytes) -> None:
        self.exchange = exchange
        self.path = path  # below the mount, without a leading slash
        self.counted = False  # by the dispatcher, which the handler has given the request to
        self._room: asyncio.Event | None = None
        self._answered = False
        exchange.on_room = self._on_room

    @property
    def method(self) -> bytes:
        return self.exchange.method

    @property
    def query(self) -> bytes:
        return self.exchange.fields[2]

    @property
    def content_type(self) -> bytes:
        return self.exchange.fields[3]

    @property
    def body(self) -> bytes:
        return bytes(self.exchange.body)

    def header(self, name: bytes) -> bytes:
        """A request header by its lower-case name; empty when absent."""
        return self.exchange.header(name)

    def reply(self, status: int, content_type: bytes, body: bytes, headers: Headers = ()) -> None:
        """The whole answer."""
        self._answered = True
        lines = [(b"content-type", content_type)] if content_type else []
        self.exchange.status = status
        self.exchange.reply(status, [*lines, *headers], body)

    def begin(self, content_type: bytes, headers: Headers = ()) -> None:
        """The head of a stream with status 200."""
        self._answered = True
        self.exchange.status = 200
        fields = [content_type, b"", b""]
        for name, value in headers:
            fields += (name, value)
        self.exchange.on_stream_head(200, fields)

    async def write(self, data: bytes) -> None:
        """A part of the stream; waits while the caller does not read."""
        self.exchange.on_stream_chunk(data)
        while self.exchange.stalled:
            self._room = asyncio.Event()
            await self._room.wait()

    def _on_room(self) -> None:
        if self._room is not None:
            self._room.set()

    def end(self, *, broken: bool = False) -> None:
        self.exchange.on_stream_end(broken=broken)

    def fail(self, failure: errors.Failure) -> None:
        """Once the answer has begun, breaks it off."""
        self._answered = True
        self.exchange.status = failure.status
        self.exchange.on_failure(failure)

    @property
    def answered(self) -> bool:
        return self._answered


Handler = Callable[[Visit], Awaitable[None]]
# Takes a visit at once, without a task, if it can: returns False for what the handler must do. Must not raise.
Quick = Callable[[Visit], bool]


class Mounts:
    """The mounted prefixes of a door."""

    def __init__(self) -> None:
        self._handlers: dict[bytes, Handler] = {}
        self._quick: dict[bytes, Quick] = {}
        self._direct: dict[bytes, Callable[[Exchange], bool]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.decoding: set[bytes] = set()  # prefixes whose handlers understand a content-encoding

    def add(self, prefix: bytes, handler: Handler, quick: Quick | None = None) -> None:
        """`prefix` is one path segment, such as b"v2"."""
        self._handlers[prefix] = handler
        if quick is not None:
            self._quick[prefix] = quick

    def add_direct(self, path: bytes, handler: Callable[[Exchange], bool]) -> None:
        """One whole path, whose handler answers by callbacks: where a coroutine per request costs too much.

        It returns False for what the handler of the prefix must do.
        """
        self._direct[path] = handler

    def takes_encoded(self, path: bytes) -> bool:
        return path[1:].partition(b"/")[0] in self.decoding

    def serve(self, exchange: Exchange, refused: Callable[[int, float], None]) -> bool:
        """Starts the handler of the exchange's path, if there is one. `refused` counts what no dispatcher counts."""
        direct = self._direct.get(exchange.path)
        if direct is not None and exchange.method == b"POST" and direct(exchange):
            return True
        prefix, _, rest = exchange.path[1:].partition(b"/")
        handler = self._handlers.get(prefix)
        if handler is None:
            return False
        visit = Visit(exchange, rest)
        quick = self._quick.get(prefix)
        if quick is not None and quick(visit):
            if not visit.counted:
                refused(exchange.status, exchange.began)
            return True
        task = asyncio.ensure_future(self._run(handler, visit, refused))
        exchange.on_cancel = task.cancel
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    @staticmethod
    async def _run(handler: Handler, visit: Visit, refused: Callable[[int, float], None]) -> None:
        exchange = visit.exchange
        try:
            await handler(visit)
            if not visit.answered:
                visit.fail(errors.NOT_FOUND)
        except InferError as error:
            visit.fail(error.failure)
        except asyncio.CancelledError:
            exchange.status = 499
            raise
        except Exception:
            visit.fail(errors.INTERNAL)
            raise
        finally:
            if not visit.counted:
                refused(exchange.status, exchange.began)
