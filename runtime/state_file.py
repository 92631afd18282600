"""What the node reads about this replica: one small JSON file, always whole, never older than a few seconds."""

import asyncio
import contextlib
import json
import os
import pathlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

_REFRESH_SECONDS = 2.0


class LoadFailure(NamedTuple):
    """Why the predictor does not run. `reason` is a CONDITION_REASON without its prefix."""

    reason: str
    message: str
    exit_code: int | None
    time: float

    def to_json(self) -> dict[str, Any]:
        return self._asdict()


class State(NamedTuple):
    """`state`: STARTING, READY, UNREADY or DRAINING. Times are epoch seconds."""

    state: str
    message: str
    ready_time: float | None
    failure: LoadFailure | None
    workers: Sequence[dict[str, Any]]
    fork_server: int | None = None  # its pid


class StateFile:
    """Writes on change and every other second, on a thread, as a disk may be slow."""

    def __init__(self, path: str, observe: Callable[[], State]) -> None:
        self._path = pathlib.Path(path) if path else None
        self._observe = observe
        self._changed = asyncio.Event()
        self._lock = threading.Lock()
        self._closed = False

    def changed(self) -> None:
        self._changed.set()

    async def run(self) -> None:
        while True:
            self._changed.clear()
            await asyncio.to_thread(self._write, self._observe())
            try:
                async with asyncio.timeout(_REFRESH_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def close(self) -> None:
        """The last word: written at once, and not overwritten by a write that is still on its thread."""
        self._write(self._observe(), last=True)

    def _write(self, state: State, last: bool = False) -> None:
        if self._path is None:
            return
        document = {
            "pid": os.getpid(),
            "state": state.state,
            "message": state.message,
            "ready_time": state.ready_time,
            "failure": state.failure.to_json() if state.failure else None,
            "workers": list(state.workers),
            "fork_server": state.fork_server,
            "updated": time.time(),
        }
        part = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        # A disk that refuses is no reason to stop serving; the next write may succeed.
        with self._lock, contextlib.suppress(OSError):
            if self._closed:
                return
            self._closed = last
            part.write_text(json.dumps(document))
            part.replace(self._path)
