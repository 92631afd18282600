"""The revisions whose files this replica has from elsewhere: brought here once, within its own limits on disk, and let
go of when nobody will ask for them again."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from typing import Protocol

from runtime.models import declaration
from runtime.models.catalog import Revision, State
from services.chassis import backoff

_RETRY = backoff.Backoff(first=5.0, longest=300.0)
# Longest wait for a model in use to become idle when the replica's own disk limits are reached.
_ROOM_SECONDS = 30.0
# Who was asked for a model and has none that is idle may have one a little later.
_ASK_AGAIN_SECONDS = 0.5
Say = Callable[[str, str], None]  # level, text


class FetchError(Exception):
    """The files of a revision could not be brought here; the text says what to do. `status` as in ModelError."""

    def __init__(self, text: str, *, status: int = 503) -> None:
        super().__init__(text)
        self.status = status


class Store(Protocol):
    """Brings files here and keeps them. Used for sources that are not on this machine's disk."""

    async def fetch(self, revision: Revision, progress: Callable[[str], None], *, in_background: bool = False) -> str:
        """The folder (or file) with the revision's files, pinned until `release`. Raises FetchError."""
        ...

    def release(self, revision: Revision) -> None:
        """Ends the pin, and removes the files unless another replica has them pinned."""
        ...

    async def close(self) -> None:
        """Ends all pins; the files stay."""
        ...


class Shelf:
    """Owned by the loop."""

    def __init__(self, store: Store, limits: declaration.Declaration, *, say: Say, changed: Callable[[], None]) -> None:
        """`changed` hears of everything that became READY or FAILED, and of `wanted`."""
        self._store = store
        self._limits = limits
        self._say = say
        self._changed = changed
        self.progress = ""  # what is under way, for people
        # Rises while a fetch finds all that is here loaded: then who has loaded models lets go of one that is idle.
        self.wanted = 0
        self.on_progress: Callable[[], None] = lambda: None
        self._rng = random.Random()
        self._kept: set[Revision] = set()  # here, or on their way
        self._fetches: dict[Revision, asyncio.Task[None]] = {}
        self._released = asyncio.Event()

    def begin(self, revision: Revision, *, waits: bool) -> "asyncio.Task[None]":
        """`waits`: somebody does, so it need not stand back behind those who are served."""
        task = self._fetches.get(revision)
        if task is None:
            task = self._fetches[revision] = asyncio.ensure_future(self._fetch(revision, waits))
        return task

    async def available(self, revision: Revision) -> None:
        """Waits until the revision is READY or FAILED; several who wait share one fetch."""
        if revision.state is not State.READY:
            # Not awaited itself: a fetch may be cancelled because its files are gone, and we are not.
            await asyncio.wait([self.begin(revision, waits=True)])

    def is_due(self, revision: Revision) -> bool:
        """Whether it is time to try again what could not be fetched."""
        return revision.state is State.FAILED and bool(revision.failures) and time.monotonic() >= revision.retry_time

    def released(self) -> None:
        """Somebody has given a revision back."""
        self.sweep()
        self._released.set()
        self._released.clear()

    def sweep(self) -> None:
        """Lets go of files that nobody will ask for again, and stops fetching them."""
        for revision in [each for each in self._kept if each.gone and not each.leases and each.state is State.READY]:
            self._let_go(revision)
        for revision, task in list(self._fetches.items()):
            if revision.gone:
                task.cancel()

    def show(self, text: str) -> None:
        self.progress = text
        self.on_progress()

    async def close(self) -> None:
        tasks = list(self._fetches.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._store.close()

    async def _fetch(self, revision: Revision, waits: bool) -> None:
        revision.state = State.FETCHING
        try:
            await self._make_room(revision)
            revision.path = await self._store.fetch(revision, self.show, in_background=not waits)
            revision.state, revision.reason, revision.failures = State.READY, "", 0
            revision.used = time.monotonic()
        except Exception as error:
            self._failed(revision, error)
        finally:
            if revision.state is not State.READY:
                self._kept.discard(revision)
            if revision.state is State.FETCHING:
                revision.state = State.LISTED
            del self._fetches[revision]
            self.show("")
        self.sweep()
        self._changed()

    def _failed(self, revision: Revision, error: Exception) -> None:
        told = error if isinstance(error, FetchError) else FetchError(f"{revision.title}: {error!r}", status=500)
        revision.state, revision.reason, revision.status = State.FAILED, str(told), told.status
        revision.retry_time = time.monotonic() + _RETRY.delay(revision.failures, self._rng)
        revision.failures += 1
        self._say("error", str(told))

    async def _make_room(self, revision: Revision) -> None:
        """Sets room aside within the replica's own disk limits. Raises FetchError when all that is here is in use."""
        most = self._limits.disk_budget
        if most and revision.bytes > most:
            text = f"model {revision.title} has {revision.bytes} bytes, more than models.disk_budget ({most})"
            raise FetchError(text, status=507)
        end = asyncio.get_running_loop().time() + _ROOM_SECONDS
        while self._is_over(revision):
            idle = [each for each in self._kept if not each.leases and each.state is State.READY]
            if idle:
                self._let_go(min(idle, key=lambda each: each.used))
                continue
            now = asyncio.get_running_loop().time()
            if now >= end:
                text = f"model {revision.title}: all that models.disk_cache_size or disk_budget allow is in use"
                raise FetchError(text)
            self.wanted += 1
            self._changed()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(min(end, now + _ASK_AGAIN_SECONDS)):
                    await self._released.wait()
        self._kept.add(revision)

    def _is_over(self, revision: Revision) -> bool:
        count, most = self._limits.disk_cache_size, self._limits.disk_budget
        used = sum(each.bytes for each in self._kept)
        return bool((count and len(self._kept) >= count) or (most and used + revision.bytes > most))

    def _let_go(self, revision: Revision) -> None:
        self._kept.discard(revision)
        revision.state, revision.path = State.LISTED, ""
        self._store.release(revision)
