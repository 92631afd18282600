"""Tells the author of an async predictor that plain code blocks the event loop, which a worker's requests share."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Callable

_INTERVAL = 0.25
_LATE_SECONDS = 0.5
_QUIET_SECONDS = 60.0
_ADVICE = (
    "the event loop stood still for %.1f s: plain code blocks every request of this worker; "
    "await asyncio.to_thread() for it, or define predict() without `async`"
)

_log = logging.getLogger("cortex")


class Watchdog:
    """Looks only while there is work, so that an idle worker sleeps."""

    def __init__(self, loop: asyncio.AbstractEventLoop, is_busy: Callable[[], bool]) -> None:
        self._loop = loop
        self._is_busy = is_busy
        self._due = 0.0
        self._quiet_until = 0.0

    def wake(self) -> None:
        """There is work."""
        if not self._due:
            self._look_again()

    def _look_again(self) -> None:
        self._due = time.monotonic() + _INTERVAL
        self._loop.call_later(_INTERVAL, self._look)

    def _look(self) -> None:
        now = time.monotonic()
        late, self._due = now - self._due, 0.0
        if late > _LATE_SECONDS and now > self._quiet_until:
            self._quiet_until = now + _QUIET_SECONDS
            _log.warning(_ADVICE, late)
        if self._is_busy():
            self._look_again()
