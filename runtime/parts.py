"""What computes in a replica, as the front sees it: the pool of workers, the server of models, or both.

The front starts and stops them as one, is ready when all are, and ends when one of them can never be.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from runtime.state_file import LoadFailure


class Part(Protocol):
    """`fatal` gets the failure that ends the replica; `started` once it has been ready."""

    fatal: "asyncio.Future[LoadFailure]"

    @property
    def failure(self) -> LoadFailure | None: ...

    @property
    def ready(self) -> bool: ...

    @property
    def started(self) -> bool: ...

    async def run(self) -> None: ...

    async def stop(self) -> None: ...

    def describe(self) -> list[dict[str, Any]]:
        """Its processes for the state file."""
        ...


class Parts:
    """Several parts as one."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.fatal: asyncio.Future[LoadFailure] = asyncio.get_running_loop().create_future()
        self._parts = parts
        for part in parts:
            part.fatal.add_done_callback(self._end)

    @property
    def ready(self) -> bool:
        return all(part.ready for part in self._parts)

    @property
    def started(self) -> bool:
        return all(part.started for part in self._parts)

    @property
    def failure(self) -> LoadFailure | None:
        return next((part.failure for part in self._parts if part.failure is not None), None)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for part in self._parts:
                group.create_task(part.run())

    def _end(self, fatal: "asyncio.Future[LoadFailure]") -> None:
        if not self.fatal.done() and not fatal.cancelled():
            self.fatal.set_result(fatal.result())

    async def stop(self) -> None:
        await asyncio.gather(*(part.stop() for part in self._parts))

    def describe(self) -> list[dict[str, Any]]:
        return [process for part in self._parts for process in part.describe()]
