"""What a worker hears while it is busy: cancellations and credit, on a socket and a thread of their own.

The thread sleeps unless something happens, so it costs a prediction nothing. The socket's end is also the front's end.
"""

from __future__ import annotations

import mmap
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

from . import asks, frames, shared
from .execute import Cancelled

# A reader that is merely not the fastest gives credit within this; beyond it the permit is worth more elsewhere.
CREDIT_SECONDS = 0.001


class Job:
    """A request this worker has begun."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.limit = frames.WINDOW  # credit that its chunks may have cost since it began
        self.sent = 0
        self.cancelled = False

    def cancel(self) -> None:
        """Called on the control thread, with the registry's lock held."""
        self.cancelled = True

    def grant(self, limit: int) -> None:
        """Called on the control thread, with the registry's lock held."""
        self.limit = max(self.limit, limit)

    def is_inside(self, thread: int | None) -> bool:
        """Whether user code of this job runs on that thread, so that what is raised there reaches it."""
        return False


class ThreadJob(Job):
    """A job on a thread; cancelled by an exception raised there, as soon as Python code runs."""

    def __init__(self, number: int, registry: Registry, thread: int) -> None:
        super().__init__(number)
        self._registry = registry
        self._lock, self._changed = registry.lock, registry.changed
        self._thread = thread
        self._inside = False
        self._raised = False

    def cancel(self) -> None:
        self.cancelled = True
        if self._inside and not self._raised:
            self._raised = True
            _raise_in(self._thread, Cancelled)
        self._changed.notify_all()

    def grant(self, limit: int) -> None:
        super().grant(limit)
        self._changed.notify_all()

    def move_here(self) -> None:
        """The job goes on on this thread. Only while it is outside of user code."""
        self._thread = threading.get_ident()

    def enter(self) -> None:
        """From here the exception may come. Raises Cancelled when it is too late already.

        Without the lock, as `cancel` writes `cancelled` before it reads `_inside`, and we do it the other way round:
        one of the two sees the other. Both may, and then `leave` takes the second exception back.
        """
        self._inside = True
        if self.cancelled:
            raise Cancelled

    def leave(self) -> None:
        """From here it may not. The exception may still arrive inside this very method, hence the loop."""
        while True:
            try:
                self._inside = False
                if self._registry.forked is not None:
                    self._registry.came_back()
                if self.cancelled:
                    with self._lock:  # once `cancel` is through, it raises no more
                        if self._raised:
                            _raise_in(self._thread, None)
                return
            except (Cancelled, KeyboardInterrupt):
                continue

    def is_inside(self, thread: int | None) -> bool:
        return self._inside and self._thread == thread

    def take_credit(self, cost: int) -> bool:
        """For one chunk. False when the caller is slow, so that the permit is better given back. Raises Cancelled."""
        if self.sent >= self.limit:
            with self._changed:
                if self.sent >= self.limit and not self.cancelled:
                    self._changed.wait(CREDIT_SECONDS)
                if self.sent >= self.limit and not self.cancelled:
                    return False
        if self.cancelled:
            raise Cancelled
        self.sent += cost
        return True


def _raise_in(thread: int, kind: type | None) -> None:
    import ctypes

    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(kind) if kind else None)


class Registry:
    """The requests inside this worker, by number. Numbers rise in the order of the data socket."""

    def __init__(self, progress: mmap.mmap, bodies: shared.Bodies | None = None) -> None:
        self.bodies = bodies  # requests' bodies that do not come over the socket
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        self._progress = progress
        self._taken = 0
        self._passed: set[int] = set()  # below that, but still on their way through a slower thread
        self._skip: set[int] = set()
        self.forked: Callable[[BaseException | None], None] | None = None  # in processes that user code has forked
        self._jobs: dict[int, Job] = {}

    def take(self, job: Job) -> bool:
        """Whether to begin it: False when it was cancelled on its way. The front reads the mark if we die."""
        number = job.number
        with self.lock:
            if number > self._taken:
                if number - self._taken > 1:  # of two threads the later one may be here first
                    self._passed.update(range(self._taken + 1, number))
                self._taken = number
                frames.PROGRESS.pack_into(self._progress, 0, number)
            else:
                self._passed.discard(number)
            if self._skip and number in self._skip:
                self._skip.discard(number)
                return False
            # After the mark: the front reads that first and writes this then.
            begun, revoked = frames.REVOKED.unpack_from(self._progress, frames.REVOKED_AT)
            if begun < number <= revoked:
                return False
            self._jobs[number] = job
            return True

    def forget(self, job: Job) -> None:
        """Without the lock: a cancellation that comes meanwhile finds a job outside of user code, or none."""
        self._jobs.pop(job.number, None)

    def holds(self, number: int) -> bool:
        """Whether somebody waits for the answer to it."""
        job = self._jobs.get(number)
        return job is not None and not job.cancelled

    def came_back(self) -> None:
        """The user's code has returned or raised. A process that it has forked ends with that (forks.py)."""
        if self.forked is not None:
            self.forked(sys.exc_info()[1])

    def on_interrupt(self, *_: Any) -> None:
        """Handler of SIGINT, on the main thread, which may hold the lock: an interrupt is for user code or nobody."""
        if any(job.is_inside(threading.main_thread().ident) for job in list(self._jobs.values())):
            raise KeyboardInterrupt

    def cancel(self, number: int) -> None:
        with self.lock:
            job = self._jobs.get(number)
            if job is not None:
                job.cancel()
            elif number > self._taken or number in self._passed:
                self._skip.add(number)

    def grant(self, number: int, limit: int) -> None:
        with self.lock:
            job = self._jobs.get(number)
            if job is not None:
                job.grant(limit)


def listen(sock: socket.socket, decoder: frames.Decoder, registry: Registry, asker: asks.Asker) -> None:
    """Body of the control thread."""
    while True:
        try:
            data = sock.recv(65536)
        except OSError:
            data = b""
        if not data:
            die_with_front()
        for kind, number, head, body in decoder.feed(data):
            if kind == frames.TOLD:
                asker.told(number, head, body)
            elif kind == frames.CANCEL:
                registry.cancel(number)
            elif kind == frames.CREDIT:
                registry.grant(number, frames.CREDIT_HEAD.unpack(head)[0])


def die_with_front() -> None:
    """The front is gone: end at once, and take along what the user's code has started."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)
