"""What a worker asks of the front: a model on disk, an inference by another engine. Any thread may ask, and waits.

Asks leave on the control socket, whose thread (control.py) brings the answers; the data socket stays free for requests.
"""

from __future__ import annotations

import json
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Dict, Tuple

from . import frames

_SLICE_SECONDS = 0.5
Answer = Tuple[Dict[str, Any], bytes]


class AskError(RuntimeError):
    """The front refused or failed; the text tells the user why. `kind` names the error for code."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class _Waiting:
    def __init__(self) -> None:
        self.done = threading.Event()
        self.meta: dict[str, Any] = {}
        self.body = b""


class Asker:
    """The worker's end. Where no thread listens (`listens` is False: template.py), who asks reads the answers."""

    def __init__(self, sock: socket.socket, *, listens: bool = True) -> None:
        self.listens = listens
        self._sock = sock
        self._lock = threading.Lock()
        self._number = 0
        self._waiting: dict[int, _Waiting] = {}
        self._reading = threading.Lock()
        self._decoder = frames.Decoder()
        self._on_move: list[Callable[[str], None]] = []

    def on_move(self, function: Callable[[str], None]) -> None:
        """`function(worker)` runs when this object has come into another worker by a fork."""
        self._on_move.append(function)

    def move(self, sock: socket.socket, worker: str) -> None:
        """In a fork: a socket of its own, which a thread listens to from now on."""
        self.listens = True
        self._sock = sock
        for function in self._on_move:
            function(worker)

    def ask(self, kind: str, meta: dict[str, Any], body: bytes = b"", timeout: float | None = None) -> Answer:
        """Sends `meta` (JSON) and `body` to the front's handler of `kind` and returns its answer.

        Raises AskError, and TimeoutError after `timeout` seconds.
        """
        waiting = _Waiting()
        head = json.dumps({"kind": kind, **meta}).encode()
        with self._lock:
            self._number = number = (self._number + 1) & 0xFFFFFFFF
            self._waiting[number] = waiting
            self._sock.sendall(frames.pack_start(frames.ASK, number, head, len(body)))
            if body:
                self._sock.sendall(body)
        end = None if timeout is None else time.monotonic() + timeout
        try:
            # In pieces: a request that is cancelled stops waiting at the next one.
            while not self._wait(waiting, end):
                if end is not None and time.monotonic() >= end:
                    raise TimeoutError(f"the front did not answer {kind!r} within {timeout} s")
        finally:
            self._waiting.pop(number, None)
            if not waiting.done.is_set():  # the request that asked is over
                with self._lock:
                    self._sock.sendall(frames.pack(frames.FORGET, number))
        if "error" in waiting.meta:
            raise AskError(str(waiting.meta.get("error_kind", "")), str(waiting.meta["error"]))
        return waiting.meta, waiting.body

    def _wait(self, waiting: _Waiting, end: float | None) -> bool:
        """Whether the answer is here, after a little while."""
        seconds = _SLICE_SECONDS if end is None else min(_SLICE_SECONDS, end - time.monotonic())
        if self.listens:
            return waiting.done.wait(seconds)
        with self._reading:  # another thread of the constructor may have read it meanwhile
            if not waiting.done.is_set() and select.select([self._sock], [], [], max(0.0, seconds))[0]:
                data = self._sock.recv(65536)
                if not data:
                    os._exit(1)  # the front is gone
                for _, number, head, body in self._decoder.feed(data):
                    self.told(number, head, body)
        return waiting.done.is_set()

    def told(self, number: int, head: bytes, body: bytes) -> None:
        """The control thread brings an answer."""
        waiting = self._waiting.get(number)
        if waiting is not None:
            waiting.meta, waiting.body = json.loads(head), body
            waiting.done.set()
