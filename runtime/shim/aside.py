"""Threads for what needs no permit: preparing payloads, encoding large answers, and what runs after a reply.

Bounded: where nothing is free, the work stays with the thread that computes, which keeps its permit meanwhile.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any


class Aside:
    """Daemon threads, started as they are needed. What runs here reports its own failures."""

    def __init__(self, threads: int, backlog: int, name: str) -> None:
        self._threads = threads
        self._name = name
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._started = 0
        self._all = self._places = threads + backlog
        self._work: queue.SimpleQueue[tuple[Callable[..., None], tuple[Any, ...]]] = queue.SimpleQueue()

    def reserve(self) -> bool:
        """Whether there is room; who got True calls `run` once."""
        with self._lock:
            if self._places == 0:
                return False
            self._places -= 1
            return True

    def run(self, function: Callable[..., None], *arguments: Any) -> None:
        self._work.put((function, arguments))
        if self._started < self._threads:
            self._start()

    def join(self) -> None:
        """Waits until nothing runs and nothing waits; who ends this process sets the time limit."""
        with self._lock:
            while self._places < self._all:
                self._idle.wait(1)

    def _start(self) -> None:
        with self._lock:
            if self._started == self._threads:
                return
            self._started += 1
            name = f"{self._name}-{self._started}"
        threading.Thread(target=self._serve, name=name, daemon=True).start()

    def _serve(self) -> None:
        while True:
            function, arguments = self._work.get()
            try:
                function(*arguments)
            finally:
                with self._lock:
                    self._places += 1
                    if self._places == self._all:
                        self._idle.notify_all()
            del function, arguments  # a large answer must not live until the next one comes
