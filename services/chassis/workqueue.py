"""A queue of keys to look at again: de-duplicated, one worker per key at a time, backed off after failures.

The shape is Kubernetes' client-go workqueue: a key added while it is being worked on is worked on once more afterwards.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from services.chassis import backoff

_log = structlog.get_logger("workqueue")


class WorkQueue:
    """`add` is safe from the loop's thread only."""

    def __init__(self, retry: backoff.Backoff, rng: random.Random) -> None:
        self._retry = retry
        self._rng = rng
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._waiting: set[str] = set()
        self._active: set[str] = set()
        self._again: set[str] = set()
        self._failures: dict[str, int] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def add(self, key: str) -> None:
        if key in self._active:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._queue.put_nowait(key)

    def add_after(self, key: str, seconds: float) -> None:
        """Adds `key` later; the earlier of two pending times wins."""
        loop = asyncio.get_running_loop()
        due = loop.time() + max(0.0, seconds)
        pending = self._timers.get(key)
        if pending is not None and not pending.cancelled() and loop.time() < pending.when() <= due:
            return
        if pending is not None:
            pending.cancel()
        self._timers[key] = loop.call_at(due, self._due, key)

    async def work(self, handle: Callable[[str], Awaitable[float | None]]) -> None:
        """Runs for ever. `handle` returns seconds until the key is wanted again, or None; an exception backs off."""
        while True:
            key = await self._queue.get()
            self._waiting.discard(key)
            self._active.add(key)
            try:
                await self._one(key, handle)
            finally:
                self._active.discard(key)
                if key in self._again:
                    self._again.discard(key)
                    self.add(key)

    async def _one(self, key: str, handle: Callable[[str], Awaitable[float | None]]) -> None:
        try:
            requeue = await handle(key)
        except Exception as error:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            delay = self._retry.delay(failures - 1, self._rng)
            _log.warning("will retry", key=key, failures=failures, delay=delay, error=str(error), exc_info=True)
            self.add_after(key, delay)
            return
        self._failures.pop(key, None)
        if requeue is not None:
            self.add_after(key, requeue)

    def _due(self, key: str) -> None:
        self._timers.pop(key, None)
        self.add(key)
