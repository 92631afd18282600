"""Where an async predictor's plain code runs: on threads, so that the event loop goes on."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
from collections.abc import Callable
from typing import Any

_HOOKS = 4  # at a time, of each kind


class Threads:
    def __init__(self, count: int, name: str, came_back: Callable[[], None]) -> None:
        self._came_back = came_back
        self._pool = concurrent.futures.ThreadPoolExecutor(count, thread_name_prefix=name)

    async def run(self, function: Callable[[], Any]) -> Any:
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._pool, lambda: context.run(self._step, function))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            # A thread cannot be taken back; the permit stays taken until it is done.
            await asyncio.wait([future])
            raise

    def _step(self, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except (StopIteration, GeneratorExit) as error:  # neither gets through a future: its caller would wait for ever
            raise RuntimeError(f"{type(error).__name__} was raised outside of a generator") from error
        finally:
            self._came_back()


class Pools:
    """Threads of their own for the methods, which need permits, and for each kind of hook, which must not wait for them
    nor for each other."""

    def __init__(self, threads: int, came_back: Callable[[], None]) -> None:
        self.methods = Threads(threads, "predict", came_back)
        self.before = Threads(max(_HOOKS, threads), "cortex-pre", came_back)
        self.behind = Threads(max(_HOOKS, threads), "cortex-post", came_back)
        self.after = Threads(max(_HOOKS, threads), "cortex-after", came_back)
