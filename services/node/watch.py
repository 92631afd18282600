"""Telling many watchers of each change without ever waiting for a slow one."""

import asyncio
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

from services.node import model


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    view: model.View
    removed: bool = False


class Watcher:
    """A bounded queue of changes. `overflowed` means that some are missing: the watcher has to begin anew."""

    def __init__(self, size: int) -> None:
        self._queue: asyncio.Queue[Change] = asyncio.Queue(size)
        self.overflowed = False

    def put(self, change: Change) -> None:
        try:
            self._queue.put_nowait(change)
        except asyncio.QueueFull:
            self.overflowed = True

    async def get(self, timeout: float) -> Change | None:
        """The next change, None when there is none for `timeout` seconds."""
        try:
            # Not wait_for: it can swallow a cancellation that comes together with a change.
            async with asyncio.timeout(timeout):
                return await self._queue.get()
        except TimeoutError:
            return None


class Hub:
    def __init__(self, size: int = 1000) -> None:
        self._size = size
        self._watchers: set[Watcher] = set()

    def publish(self, change: Change) -> None:
        for watcher in self._watchers:
            watcher.put(change)

    @contextmanager
    def watcher(self) -> Iterator[Watcher]:
        watcher = Watcher(self._size)
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)
