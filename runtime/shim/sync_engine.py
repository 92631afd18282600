"""Runs plain predictors: each thread takes the next frame off the socket itself, so that no request changes threads."""

from __future__ import annotations

import collections
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from . import control, encode, frames, logs, outbox, stream
from .execute import Cancelled, Executor, fields, run_after
from .payload import Request

_RECEIVE_BYTES = 65536
# Answers that may wait a moment for company: of calls this short, and bodies this small.
_SHORT_MICROS = 200
_SMALL_BYTES = 4096
_END = object()


class Reader:
    """Frames off a blocking socket, in order, for one thread at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._decoder = frames.Decoder()
        self._ready: collections.deque[frames.Frame] = collections.deque()
        self._lock = threading.Lock()

    @property
    def more(self) -> bool:
        """Whether another frame is here already."""
        return bool(self._ready)

    def next(self, before_wait: Callable[[], None]) -> frames.Frame | None:
        """None once the front has closed its side."""
        with self._lock:
            while not self._ready:
                before_wait()
                data = self._sock.recv(min(max(self._decoder.missing, _RECEIVE_BYTES), 1 << 20))
                if not data:
                    return None
                self._ready.extend(self._decoder.feed(data))
            return self._ready.popleft()


class Engine:
    """`run` is the body of every executing thread; the main thread, where the constructor ran, is one of them."""

    def __init__(
        self, sock: socket.socket, executor: Executor, registry: control.Registry, out: logs.Writer | None
    ) -> None:
        self._reader = Reader(sock)
        self._outbox = outbox.Outbox(sock)
        self._executor = executor
        self._registry = registry
        self._out = out

    def run(self) -> None:
        thread = threading.get_ident()
        while True:
            frame = self._reader.next(self._outbox.flush)
            if frame is None:
                return
            _, number, head, body = frame
            job = control.ThreadJob(number, self._registry, thread)
            if self._registry.take(job):
                self._serve(job, Request(number, head, body))
            else:
                self._outbox.send(frames.RELEASE, number)

    def _serve(self, job: control.ThreadJob, request: Request) -> None:
        token = logs.current.set(request)
        try:
            began = time.perf_counter_ns()
            answer = self._answer(job, request)
            if answer.chunks is not None:
                self._stream(job, request, answer, began)
            else:
                self._reply(job, answer, began)
        except Cancelled:
            job.leave()
            self._registry.forget(job)
            self._outbox.send(frames.RELEASE, job.number)
        finally:
            if self._out is not None and request.partial:
                self._out.finish()
            if request.held is not None:
                request.held.close()
            logs.current.reset(token)

    def _answer(self, job: control.ThreadJob, request: Request) -> encode.Encoded:
        executor = self._executor
        try:
            try:  # as _guarded does it, without its calls
                job.enter()
                method, arguments = executor.prepare(request)
                return executor.finish(method.function(**arguments), arguments, request)
            finally:
                job.leave()
        except Cancelled:
            raise
        except (
            BaseException
        ) as error:  # exit(), a Rust panic: an error of one request, not of the thread or the replica
            return self._executor.failed(error, request)

    def _guarded(self, job: control.ThreadJob, function: Callable[..., Any], *arguments: Any) -> Any:
        """Runs user code; only within it can Cancelled and KeyboardInterrupt be raised from outside."""
        try:
            job.enter()
            return function(*arguments)
        finally:
            job.leave()

    def _reply(self, job: control.ThreadJob, answer: encode.Encoded, began: int) -> None:
        self._registry.forget(job)
        now = time.perf_counter_ns()
        micros = (now - began) // 1000
        flags = frames.HELD if answer.after else 0
        head = frames.response_head(answer.status, flags, micros, fields(answer))
        if micros < _SHORT_MICROS and self._reader.more and not answer.after and len(answer.body) < _SMALL_BYTES:
            self._outbox.hold(frames.pack(frames.RESPONSE, job.number, head, answer.body), now)
            return
        self._outbox.send(frames.RESPONSE, job.number, head, answer.body)
        if answer.after:
            self._after(answer)
            self._outbox.send(frames.RELEASE, job.number)

    def _stream(self, job: control.ThreadJob, request: Request, answer: encode.Encoded, began: int) -> None:
        items: Any = answer.chunks
        opened: stream.Opening | None = None
        try:
            items = _drained(items) if hasattr(items, "__aiter__") else iter(items)
            first = self._guarded(job, next, items, _END)
            opened = stream.Opening(first, request.accepts, answer)
            answer.content_type = opened.content_type
            self._outbox.send(frames.STREAM_HEAD, job.number, frames.response_head(answer.status, 0, 0, fields(answer)))
            item = first
            while item is not _END:
                for piece in stream.pieces(self._guarded(job, opened.encode, item)):
                    job.wait_for_credit()
                    self._outbox.send(frames.STREAM_CHUNK, job.number, b"", piece)
                item = self._guarded(job, next, items, _END)
        except Cancelled:
            raise
        except BaseException as error:
            self._break(job, request, opened, error, began)
        else:
            self._outbox.send(frames.STREAM_END, job.number, frames.response_head(0, 0, self._micros(began), []))
        finally:
            self._close(items)
            self._registry.forget(job)
        if answer.after:
            self._after(answer)
        self._outbox.send(frames.RELEASE, job.number)

    def _break(
        self, job: control.ThreadJob, request: Request, opened: stream.Opening | None, error: BaseException, began: int
    ) -> None:
        failed = self._executor.failed(error, request)
        if opened is None:
            head = frames.response_head(failed.status, frames.HELD, self._micros(began), fields(failed))
            self._outbox.send(frames.RESPONSE, job.number, head, failed.body)
            return
        if opened.events:
            told = stream.broken_event("the predictor failed in the middle of its answer", request.request_id)
            self._outbox.send(frames.STREAM_CHUNK, job.number, b"", told)
        self._outbox.send(frames.STREAM_ERROR, job.number, frames.response_head(0, 0, self._micros(began), []))

    def _after(self, answer: encode.Encoded) -> None:
        for function in answer.after:
            try:
                run_after(function)
            except BaseException as error:
                self._executor.report(error)

    def _close(self, items: Any) -> None:
        close = getattr(items, "close", None)
        try:
            if close is not None:
                close()
        except BaseException as error:
            self._executor.report(error)

    @staticmethod
    def _micros(began: int) -> int:
        return (time.perf_counter_ns() - began) // 1000


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
