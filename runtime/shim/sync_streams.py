"""A generator's answer, item by item. While its reader is slow it is parked: it keeps its place and holds no permit.

Whoever executes next goes on where another thread stopped; with one thread the generator never changes threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from . import control, encode, frames, logs, outbox, stream
from .execute import Cancelled, Executor, Replies, fields
from .payload import Request

_END = object()
# Chunks that follow each other within this may leave together, if they are small.
_FAST_NS = 200_000
_SMALL_BYTES = 4096


class Host(Protocol):
    """What a stream needs of the engine."""

    executor: Executor
    outbox: outbox.Outbox
    registry: control.Registry

    def send(self, kind: int, number: int, head: bytes = b"", body: bytes = b"") -> None: ...
    def guarded(self, job: control.ThreadJob, function: Callable[..., Any], *arguments: Any) -> Any: ...
    def park(self, number: int, parked: Any, sent: int) -> None: ...
    def settle(self, number: int, replies: Replies, head: bytes = b"") -> None: ...
    def drop(self, job: control.ThreadJob) -> None: ...
    def end(self, request: Request) -> None: ...


class Stream:
    """`run` computes until the end, or until the caller has what it can take."""

    def __init__(self, host: Host, job: control.ThreadJob, request: Request, answer: encode.Encoded) -> None:
        self._host = host
        self._job = job
        self._request = request
        self._answer = answer
        self._items: Any = None
        self._opened: stream.Opening | None = None
        self._pieces: Iterator[bytes] = iter(())
        self._piece: bytes | None = None
        self._nanos = 0
        self._last = 0  # when a chunk was sent

    def run(self) -> None:
        token = logs.current.set(self._request)
        began = time.perf_counter_ns()
        try:
            if self._computed(began):
                self._close()
                self._host.registry.forget(self._job)
                self._host.settle(self._job.number, [(self._request, self._answer)])
        except Cancelled:
            self._job.leave()
            self._close()
            self._host.drop(self._job)
            self._host.end(self._request)
        finally:
            logs.current.reset(token)

    def _computed(self, began: int) -> bool:
        """False once it is parked. Raises Cancelled."""
        try:
            if not self._advance():
                self._nanos += time.perf_counter_ns() - began
                # Last of all: another thread may go on with it at once.
                self._host.park(self._job.number, self, self._job.sent)
                return False
            self._end(frames.STREAM_END, began)
        except Cancelled:
            raise
        except BaseException as error:
            self._break(error, began)
        return True

    def go(self, limit: int) -> None:
        """The permit is back."""
        self._job.move_here()
        if limit:
            self._job.limit = max(self._job.limit, limit)
        else:
            self._job.cancelled = True
        self.run()

    def _advance(self) -> bool:
        """True at the end, False where credit is lacking. Raises what the generator raises, and Cancelled."""
        if self._opened is None:
            self._open()
        while True:
            while self._piece is not None:
                if self._job.sent >= self._job.limit:
                    self._host.outbox.flush()  # or the caller would wait for what we wait to be asked for
                if not self._job.take_credit(frames.cost(self._piece)):
                    return False
                self._send(self._piece)
                self._piece = next(self._pieces, None)
            data = self._host.guarded(self._job, self._produce)
            if data is None:
                return True
            self._cut(data)

    def _send(self, piece: bytes) -> None:
        """A slow generator's chunks leave at once, those of a fast one several at a time."""
        now = time.perf_counter_ns()
        if now - self._last < _FAST_NS and len(piece) < _SMALL_BYTES:
            self._host.outbox.hold(frames.pack(frames.STREAM_CHUNK, self._job.number, b"", piece), now)
        else:
            self._host.send(frames.STREAM_CHUNK, self._job.number, b"", piece)
        self._last = now

    def _produce(self) -> bytes | None:
        """The user's code, and so is the encoding of what it yields."""
        assert self._opened is not None
        item = next(self._items, _END)
        return None if item is _END else self._opened.encode(item)

    def _cut(self, data: bytes) -> None:
        if 0 < len(data) <= frames.CHUNK_BYTES:
            self._piece = data
            return
        self._pieces = stream.pieces(data)
        self._piece = next(self._pieces, None)

    def _open(self) -> None:
        chunks = self._answer.chunks
        self._items = _drained(chunks) if hasattr(chunks, "__aiter__") else iter(chunks)
        first = self._host.guarded(self._job, next, self._items, _END)
        opened = stream.Opening(first, self._request.accepts, self._answer)
        # Before anything is said: what cannot be encoded is an error still, and no answer that breaks off.
        data = b"" if first is _END else self._host.guarded(self._job, opened.encode, first)
        self._opened, self._answer.content_type = opened, opened.content_type
        head = frames.response_head(self._answer.status, 0, 0, fields(self._answer))
        self._host.send(frames.STREAM_HEAD, self._job.number, head)
        if first is _END:
            self._items = iter(())
        else:
            self._cut(data)

    def _break(self, error: BaseException, began: int) -> None:
        failed = self._host.executor.failed(error, self._request)
        number = self._job.number
        if self._opened is None:
            head = frames.response_head(failed.status, frames.HELD, self._micros(began), fields(failed))
            self._host.send(frames.RESPONSE, number, head, failed.body)
            return
        if self._opened.events:
            told = stream.broken_event("the predictor failed in the middle of its answer", self._request.request_id)
            self._host.send(frames.STREAM_CHUNK, number, b"", told)
        self._end(frames.STREAM_ERROR, began)

    def _end(self, kind: int, began: int) -> None:
        self._host.send(kind, self._job.number, frames.response_head(0, 0, self._micros(began), []))

    def _micros(self, began: int) -> int:
        return (self._nanos + time.perf_counter_ns() - began) // 1000

    def _close(self) -> None:
        close = getattr(self._items, "close", None)
        try:
            if close is not None:
                close()
        except BaseException as error:
            self._host.executor.report(error)


def _drained(items: Any) -> Iterator[Any]:
    """An async iterator (of a framework's streaming response) read by plain code."""
    import asyncio

    loop = asyncio.new_event_loop()
    iterator = items.__aiter__()
    try:
        while True:
            try:
                yield loop.run_until_complete(iterator.__anext__())
            except StopAsyncIteration:
                return
    finally:
        if hasattr(iterator, "aclose"):
            loop.run_until_complete(iterator.aclose())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
