"""Large texts are read and written in a process of its own, so that nobody's holds up the others'.

A parser keeps the interpreter until it is done, in a thread as well, and what some callers send takes seconds: 16 MiB
of JSON, or a message of a million fields. The process starts with the first such text and serves one at a time; small
texts never come here, as the way costs more than they do.
"""

import asyncio
import concurrent.futures
import os
import signal
import threading
from collections.abc import Callable
from typing import TypeVar

from runtime import errors
from runtime.errors import InferError
from services.chassis import processes

# About a millisecond of parsing: what takes less is done where it is.
INLINE_BYTES = 32 * 1024
# Asked for longer, it is looked at so often. Nobody stops it for a reason, and all who ask would wait for it.
_LOOK_SECONDS = 1.0
_DIED = "the process that reads large texts died of this one or of another; send it again"
_UNSTARTED = "the process that reads large texts could not be started; send it again"
_T = TypeVar("_T")


class Scribe:
    """The front's end."""

    def __init__(self) -> None:
        self._pool: concurrent.futures.Executor | None = None
        self._pid = 0
        self._starting: asyncio.Lock | None = None
        self._closed = False

    async def ask(self, work: Callable[..., _T], *given: object, deadline: float = 0.0) -> _T:
        """What `work(*given)` returns or raises there; both go through pickle. Raises InferError: 503, and 504 when the
        deadline comes while others' texts are read."""
        try:
            async with asyncio.timeout_at(deadline or None):
                return await self._ask(work, *given)
        except TimeoutError:
            raise InferError.of(errors.DEADLINE) from None

    async def _ask(self, work: Callable[..., _T], *given: object) -> _T:
        for _ in range(2):  # the process may die of a neighbour's text
            pool = await self._open()
            try:
                return await self._outcome(asyncio.wrap_future(pool.submit(work, *given)))
            except concurrent.futures.BrokenExecutor:
                if self._closed:
                    break
                if self._pool is pool:
                    self._pool = None
        raise InferError(503, _DIED, "WORKER_DIED", 1)

    async def _outcome(self, future: "asyncio.Future[_T]") -> _T:
        """Ends a process that is stopped: its successor is asked instead."""
        try:
            while not (await asyncio.wait([future], timeout=_LOOK_SECONDS))[0]:
                if processes.is_stopped(self._pid):
                    os.kill(self._pid, signal.SIGKILL)
            return future.result()
        finally:
            future.cancel()

    async def _open(self) -> concurrent.futures.Executor:
        if self._starting is None:
            self._starting = asyncio.Lock()
        async with self._starting:
            if self._pool is None:
                try:
                    pool, self._pid = await asyncio.to_thread(_started)
                    self._pool = pool
                except (concurrent.futures.BrokenExecutor, OSError) as error:
                    raise InferError(503, f"{_UNSTARTED}: {error}", "WORKER_DIED", 1) from None
            return self._pool

    def close(self) -> None:
        self._closed = True
        if self._pool is not None:
            import multiprocessing  # here already

            self._pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.kill()  # else the front, stopped otherwise, would stay until the text is read


def _started() -> tuple[concurrent.futures.Executor, int]:
    """On a thread: a process takes some milliseconds to start, and some more to import what it needs."""
    import multiprocessing  # most replicas never need it

    # Who kills the whole replica kills the process that would remove the semaphores, too. By this name the guard does.
    config: dict[str, str] = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    config["semprefix"] = f"/cortex-{os.getpid()}"
    pool = concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin)
    return pool, pool.submit(os.getpid).result()


def _begin() -> None:
    """In the process. An interrupt at the terminal is for the front, with which this ends however it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_front, daemon=True).start()


def _end_with_front() -> None:
    from multiprocessing import connection, parent_process

    front = parent_process()
    if front is not None:
        connection.wait([front.sentinel])
    os._exit(0)
