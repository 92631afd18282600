"""Who may change what of the models on a server.

Changes of different models go side by side: one that takes minutes to load, or never ends, keeps no other from being
loaded, or replaced when it dies. Changes of one model go one after the other, and a change of servers goes alone.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection

# A change of servers waits for the models that are being changed and lets no more begin, but not for ever: one of them
# may hang, and others need to be replaced meanwhile.
_CLAIM_SECONDS = 5.0
_LET_SECONDS = 1.0


class Turns:
    """Of one server and its successors."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._alone = False
        self._claimed = False
        self._change = asyncio.Event()

    @contextlib.asynccontextmanager
    async def of(self, names: Collection[str]) -> AsyncIterator[None]:
        """For those models, whose changes concern one another."""
        taken = frozenset(names)
        await self._until(lambda: not (self._alone or self._claimed) and self._taken.isdisjoint(taken))
        self._taken |= taken
        try:
            yield
        finally:
            self._taken -= taken
            self._changed()

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        while not await self._claimed_in_time():  # noqa: ASYNC110, a time for others to begin
            await asyncio.sleep(_LET_SECONDS)
        try:
            yield
        finally:
            self._alone = False
            self._changed()

    async def _claimed_in_time(self) -> bool:
        await self._until(lambda: not (self._alone or self._claimed))
        self._claimed = True
        try:
            async with asyncio.timeout(_CLAIM_SECONDS):
                await self._until(lambda: not self._taken)
            self._alone = True
        except TimeoutError:
            return False
        finally:
            self._claimed = False
            self._changed()
        return True

    async def _until(self, free: Callable[[], bool]) -> None:
        while not free():
            await self._change.wait()

    def _changed(self) -> None:
        self._change.set()
        self._change = asyncio.Event()
