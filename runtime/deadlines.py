"""Ends calls on time. Nearly all share one timeout, so they wait in order behind a single timer."""

import asyncio
import time
from collections.abc import Callable

from runtime.calls import Call


class Deadlines:
    """Calls `expired(call)` at the call's deadline, unless it is discarded before."""

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float, expired: Callable[[Call], None]) -> None:
        self._loop = loop
        self._timeout = timeout
        self._expired = expired
        # In order of deadline, as the timeout is the same for all in here. A request whose body came slowly is late
        # for its place and gets a timer of its own.
        self._waiting: dict[Call, None] = {}
        self._newest = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, call: Call) -> None:
        if not call.deadline:
            return
        if call.deadline == call.began + self._timeout and call.deadline >= self._newest:
            self._newest = call.deadline
            self._waiting[call] = None
            if self._timer is None:
                self._timer = self._loop.call_at(call.deadline, self._sweep)
        else:
            call.timer = self._loop.call_at(call.deadline, self._expired, call)

    def discard(self, call: Call) -> None:
        if call.timer is not None:
            call.timer.cancel()
            call.timer = None
        elif call.deadline:
            self._waiting.pop(call, None)

    def _sweep(self) -> None:
        now = time.monotonic()
        # Loop timers have a resolution of a millisecond; what is due within it is due.
        try:
            while (call := next(iter(self._waiting), None)) is not None and call.deadline <= now + 0.001:
                del self._waiting[call]
                self._expired(call)
        finally:  # whatever one call's end raises, the others' deadlines stand
            call = next(iter(self._waiting), None)
            self._timer = self._loop.call_at(call.deadline, self._sweep) if call is not None else None

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
