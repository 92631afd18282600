"""Where executing threads get their work: off the socket itself, or, where payloads are prepared first, off a queue."""

from __future__ import annotations

import collections
import queue
import socket
import threading
from collections.abc import Callable
from typing import Any, Protocol

from . import aside, control, encode, frames, logs, shared, sync_batches
from .execute import Cancelled
from .payload import Request

_RECEIVE_BYTES = 65536


class Reader:
    """Frames off a blocking socket, in order, for one thread at a time. The body of a BATCH are its requests."""

    def __init__(self, sock: socket.socket, bodies: shared.Bodies | None) -> None:
        self._sock = sock
        self._decoder = frames.Decoder(bodies)
        self._ready: collections.deque[frames.Frame] = collections.deque()
        self._lock = threading.Lock()

    @property
    def more(self) -> bool:
        """Whether another frame is here already."""
        return bool(self._ready)

    def next(self, before_wait: Callable[[], None]) -> Any:
        """None once the front has closed its side."""
        with self._lock:
            frame = self._next(before_wait)
            if frame is None or frame[0] != frames.BATCH:
                return frame
            kind, number, head, _ = frame
            members = [self._next(before_wait) for _ in range(frames.COUNT_HEAD.unpack(head)[0])]
            return None if None in members else (kind, number, head, members)

    def _next(self, before_wait: Callable[[], None]) -> frames.Frame | None:
        while not self._ready:
            before_wait()
            data = self._sock.recv(min(max(self._decoder.missing, _RECEIVE_BYTES), 1 << 20))
            if not data:
                return None
            self._ready.extend(self._decoder.feed(data))
        return self._ready.popleft()


class Host(sync_batches.Host, Protocol):
    """What preparing needs of the engine."""

    def serve(self, job: control.ThreadJob, request: Request, prepared: dict[str, Any] | None) -> None: ...
    def park(self, number: int, parked: Any, sent: int) -> None: ...
    def drop(self, job: control.ThreadJob) -> None: ...
    def refuse(self, job: control.ThreadJob, request: Request, answer: encode.Encoded) -> None: ...


class Prepared:
    """A request whose payload is prepared and which waits for a permit."""

    def __init__(self, host: Host, job: control.ThreadJob, request: Request, arguments: dict[str, Any]) -> None:
        self._host = host
        self._job = job
        self._request = request
        self._arguments = arguments

    def go(self, limit: int) -> None:
        if limit:
            self._job.move_here()
            self._host.serve(self._job, self._request, self._arguments)
        else:
            self._host.drop(self._job)
            self._host.end(self._request)


class Preparing:
    """A thread of its own reads, others run the user's `pre`; executing threads get what may compute."""

    def __init__(self, reader: Reader, host: Host, threads: int) -> None:
        self._reader = reader
        self._host = host
        # The front sends no more than it allows to be prepared, which bounds what waits here.
        self._aside = aside.Aside(max(2, threads), 1 << 30, "cortex-pre")
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="cortex-read", daemon=True).start()

    @property
    def more(self) -> bool:
        return not self._queue.empty()

    def next(self, before_wait: Callable[[], None]) -> Any:
        if self._queue.empty():
            before_wait()
        frame = self._queue.get()
        if frame is None:
            self._queue.put(None)  # for the other threads
        return frame

    def _read(self) -> None:
        while True:
            frame = self._reader.next(_nothing)
            if frame is None or frame[0] == frames.GO:
                self._queue.put(frame)
                if frame is None:
                    return
                continue
            self._aside.reserve()
            self._aside.run(self._prepare, *frame)

    def _prepare(self, kind: int, number: int, head: bytes, body: Any) -> None:
        host = self._host
        if kind == frames.BATCH:
            batch = sync_batches.collect(host, number, body)
            if batch is not None:
                host.park(number, batch, 0)
            return
        job = control.ThreadJob(number, host.registry, threading.get_ident())
        if not host.registry.take(job):
            host.send(frames.RELEASE, number)
            return
        request = Request(number, head, body)
        token = logs.current.set(request)
        try:
            prepared = host.answer(job, request, host.executor.arguments, request)
            if isinstance(prepared, dict):
                host.park(number, Prepared(host, job, request, prepared), 0)
            else:
                host.refuse(job, request, prepared)
        except Cancelled:
            host.drop(job)
            host.end(request)
        finally:
            logs.current.reset(token)


def _nothing() -> None:
    """The reading thread has sent nothing that could wait."""
