"""Requests whose callers have left, by their own will or at their deadline, while Triton runs them.

A closed connection stops nothing in Triton, and what is cancelled by gRPC runs on, too, unseen, once Triton has queued
it. So a request is told by a note, a file that `request.is_cancelled()` looks for (_shared/cortex_cancelled.py)
and is seen to its end: until then its place before the model, its connection and its memory are taken.
"""

import asyncio
import contextlib
import pathlib
from collections.abc import Awaitable, Callable


class Leavers:
    """`folder` is for the notes of one server or of several, if the names of their requests differ."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._tasks: set[asyncio.Task[None]] = set()

    def see_out(
        self, name: str, answer: Callable[[], Awaitable[object]], patience: float, done: Callable[[bool], None]
    ) -> None:
        """Waits for `answer`, for `patience` seconds at most; `done` hears whether it came."""
        task = asyncio.ensure_future(self._wait(name, answer, patience, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _wait(
        self, name: str, answer: Callable[[], Awaitable[object]], patience: float, done: Callable[[bool], None]
    ) -> None:
        note, answered = self._folder / name, False
        try:
            with contextlib.suppress(OSError):  # a full disk, or the folder went with the replica
                note.touch()
            async with asyncio.timeout(patience):
                await answer()
            answered = True
        except (OSError, EOFError):  # TimeoutError is an OSError
            pass
        finally:
            with contextlib.suppress(OSError):
                note.unlink()
            done(answered)
