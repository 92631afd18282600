"""Between memory and database: restores at the start, saves every few seconds, prunes once in a while.

The database may be slow, away or full: reports are taken all the same, what could not be saved stays in memory up to a
bound, and what is beyond it is counted as given up. A bucket is saved whole, so saving again after a doubtful failure
is safe; and nothing is saved before the past was restored, since it would overwrite it.
"""

import dataclasses
import random
from collections.abc import Awaitable, Callable

import structlog

from services.chassis import backoff, clock, errors
from services.monitor import model, ports, registry, windows

_log = structlog.get_logger("history")
_PRUNE_SECONDS = 600.0
_MOST_UNSAVED = 50_000
_MOST_AT_ONCE = 500


@dataclasses.dataclass(slots=True)
class Health:
    """How saving goes, for the metrics endpoint."""

    restored: bool = False
    save_failures: int = 0
    given_up: int = 0


class History:
    """`connect` opens the store; it is called until it succeeds."""

    def __init__(
        self, memory: registry.Registry, connect: Callable[[], Awaitable[ports.HistoryStore]], *,
        save_seconds: float, time_source: clock.Clock, rng: random.Random,
    ) -> None:  # fmt: skip
        self.health = Health()
        self._memory = memory
        self._connect = connect
        self._save_seconds = save_seconds
        self._clock = time_source
        self._rng = rng
        self._store: ports.HistoryStore | None = None

    def store(self) -> ports.HistoryStore:
        """Raises errors.Unavailable until the past is restored."""
        if self._store is None:
            raise errors.Unavailable(
                "the metrics database is not connected; windows of up to an hour need none", retry_after=1.0
            )
        return self._store

    async def run(self) -> None:
        """For ever. The one who cancels it calls `finish`."""
        await self._restore()
        pruned = 0.0
        while True:
            await self._clock.sleep(self._save_seconds)
            await self.save()
            self._memory.forget(self._clock.now())
            if self._clock.monotonic() - pruned > _PRUNE_SECONDS:
                pruned = self._clock.monotonic()
                await self._prune()

    async def finish(self) -> None:
        """Saves for the last time; a process that is stopped before it reached its database tries once more."""
        if self._store is None:
            try:
                await self._open()
            except errors.CortexError as error:
                _log.warning("the last metrics were not saved", error=error.message)
        await self.save()

    async def save(self) -> None:
        """Never raises for the database's sake: it tells, counts, and leaves what was not saved for the next time."""
        if self._store is None:
            self._bound()
            return
        pending = list(self._unsaved())
        for begin in range(0, len(pending), _MOST_AT_ONCE):
            part = pending[begin : begin + _MOST_AT_ONCE]
            for revision, bucket in part:
                revision.unsaved.discard((bucket.resolution, bucket.start))
            try:
                await self._store.save([bucket for _, bucket in part])
            except errors.CortexError as error:
                for revision, bucket in part:
                    revision.unsaved.add((bucket.resolution, bucket.start))
                self.health.save_failures += 1
                _log.warning("metrics not saved, will try again", buckets=len(pending) - begin, error=error.message)
                self._bound()
                return

    async def _restore(self) -> None:
        retry, failures = backoff.Backoff(first=0.1, longest=5.0), 0
        while True:
            try:
                await self._open()
                return
            except errors.CortexError as error:
                failures += 1
                _log.warning("metrics database not reached, will try again", failures=failures, error=error.message)
                self._bound()
                await self._clock.sleep(retry.delay(failures - 1, self._rng))

    async def _open(self) -> None:
        store = await self._connect()
        for bucket in await store.load(_recent(self._clock.now()), None):
            self._memory.restore(bucket)
        self._store, self.health.restored = store, True

    async def _prune(self) -> None:
        try:
            removed = await self.store().prune(int(self._clock.now()) - model.LONGEST_WINDOW - model.HOUR)
            _log.debug("pruned", buckets=removed)
        except errors.CortexError as error:
            _log.warning("old metrics not removed, will try again", error=error.message)

    def _unsaved(self) -> "list[tuple[registry.Revision, model.Bucket]]":
        found = []
        for api in self._memory.apis():
            for name, revision in self._memory.revisions(api).items():
                for resolution, start in sorted(revision.unsaved):
                    tally = revision.timeline.find(resolution, start)
                    if tally is not None:
                        found.append((revision, model.Bucket(api, name, resolution, start, tally)))
        return found

    def _bound(self) -> None:
        """Gives up the oldest of what waits to be saved when it grows too much."""
        waiting = sorted(self._unsaved(), key=lambda pair: pair[1].start)
        for revision, bucket in waiting[: max(0, len(waiting) - _MOST_UNSAVED)]:
            revision.unsaved.discard((bucket.resolution, bucket.start))
            self.health.given_up += 1


def _recent(now: float) -> list[model.Span]:
    """What memory would hold had the process not been restarted."""
    until = int(now) + model.HOUR
    minutes = windows.floor(now, model.MINUTE) - windows.MINUTES_KEPT
    hours = windows.floor(now, model.HOUR) - windows.HOURS_KEPT
    return [model.Span(model.MINUTE, minutes, until), model.Span(model.HOUR, hours, until)]
