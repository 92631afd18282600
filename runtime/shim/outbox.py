"""A worker's answers on their way to the front, put together where that makes nobody wait.

While more short requests are here already, an answer is held, so that several leave in one system call and wake the
front once. What is held leaves before the worker waits for requests, with whatever else is sent, when it gets old, and,
should the next request turn out to be a long one, by a thread that looks after it meanwhile.
"""

from __future__ import annotations

import socket
import threading
import time

from . import frames

_JOIN_BYTES = 32768
_HOLD_NS = 200_000
# The thread looks this often; it sleeps for good after some looks with nothing to do.
_LOOK_SECONDS = 0.002
_IDLE_LOOKS = 25


class Outbox:
    """The worker's end of the data socket, for writing; shared by all threads."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._since = 0  # when the oldest of what is held was done, by perf_counter_ns
        self._work = threading.Event()
        self._thread: threading.Thread | None = None

    def send(self, kind: int, number: int, head: bytes = b"", body: bytes = b"") -> None:
        """Now, behind what is held."""
        with self._lock:
            if len(body) <= _JOIN_BYTES:
                self._held.append(frames.pack(kind, number, head, body))
                self._flush()
            else:
                self._held.append(frames.pack_start(kind, number, head, len(body)))
                self._flush()
                self._sock.sendall(body)

    def send_all(self, data: bytes) -> None:
        """Whole frames, now, behind what is held."""
        with self._lock:
            self._held.append(data)
            self._flush()

    def hold(self, frame: bytes, now: int) -> None:
        """A moment later, together with what else is ready by then."""
        with self._lock:
            if not self._held:
                self._since = now
            self._held.append(frame)
            self._held_bytes += len(frame)
            if now - self._since > _HOLD_NS or self._held_bytes > _JOIN_BYTES:
                self._flush()
            elif not self._work.is_set():
                self._look_after()

    def flush(self) -> None:
        if self._held:
            with self._lock:
                self._flush()

    def _flush(self) -> None:
        if self._held:
            frames_held, self._held, self._held_bytes = self._held, [], 0
            self._sock.sendall(frames_held[0] if len(frames_held) == 1 else b"".join(frames_held))

    def _look_after(self) -> None:
        self._work.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._look, name="cortex-outbox", daemon=True)
            self._thread.start()

    def _look(self) -> None:
        while True:
            self._work.wait()
            idle = 0
            while idle < _IDLE_LOOKS:
                time.sleep(_LOOK_SECONDS)
                idle += 1
                if self._held:
                    idle = 0
                    if time.perf_counter_ns() - self._since > _HOLD_NS:
                        self.flush()
            self._work.clear()
            if self._held:  # it came between the last look and this, and found a thread that was still awake
                self._work.set()
