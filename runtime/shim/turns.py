"""How many requests an async predictor computes for at a time: the front sends some ahead, which wait here, not begun.

A turn is the worker's side of a permit: it ends where the permit goes back, and with GO it begins anew.
"""

from __future__ import annotations

import collections
from collections.abc import Callable


class Turns:
    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0
        self._waiting: collections.deque[Callable[[], None]] = collections.deque()

    def wait(self, begin: Callable[[], None]) -> None:
        """Calls `begin` when a turn is free; it takes the turn, or lets the next one have it."""
        self._waiting.append(begin)
        self._next()

    def take(self) -> None:
        self._taken += 1

    def leave(self) -> None:
        self._taken -= 1
        self._next()

    def _next(self) -> None:
        while self._waiting and self._taken < self._most:
            self._waiting.popleft()()
