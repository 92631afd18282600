"""Who wants to know of changes, and what the newest state is: APIs, their statuses, their events.

A watcher that reads slowly costs one entry per API, not one per change: what it has not read yet is replaced by what is
newer. Nothing here is remembered over a restart; a watcher begins with the whole state, so it misses nothing.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable, Iterator

from services.apiserver import errors, model

HELD_EVENTS = 1000
# Only what is under way at the moment of a removal asks for them: passes of the reconciler, and slow streams.
HELD_GONE = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class Gone:
    """An API that was removed."""

    name: str
    uid: str


class Watcher:
    """One stream's share of the news: API names that changed, and events that were stored or folded."""

    def __init__(self) -> None:
        self._names: dict[str, None] = {}
        self._events: dict[int, model.Event] = {}
        self._wake = asyncio.Event()

    def notice(self, name: str) -> None:
        self._names[name] = None
        self._wake.set()

    def notice_event(self, event: model.Event) -> None:
        # What is dropped here is read from the store: the stream asks for everything above the last id it sent.
        if event.id in self._events or len(self._events) < HELD_EVENTS:
            self._events[event.id] = event
        self._wake.set()

    async def wait(self, seconds: float) -> bool:
        """Whether there is news, at the latest after `seconds`."""
        with contextlib.suppress(TimeoutError):
            # Not wait_for: it can swallow a cancellation that comes together with the news.
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        return self._wake.is_set()

    def take(self) -> list[str]:
        names, self._names = list(self._names), {}
        self._wake.clear()
        return names

    def take_events(self) -> list[model.Event]:
        found, self._events = sorted(self._events.values(), key=lambda event: event.id), {}
        self._wake.clear()
        return found


class Hub:
    """Newest known state per API, and its watchers. `latest` tells what this process wrote or saw, for as long as the
    API lives and a while longer: a name it does not know is that of an API that is gone."""

    def __init__(self, *, most_watchers: int) -> None:
        self._most = most_watchers
        self._watchers: set[Watcher] = set()
        self._latest: dict[str, model.Api] = {}
        self._gone: dict[str, Gone] = {}
        self._told: dict[str, model.Status | None] = {}

    @contextlib.contextmanager
    def watch(self) -> Iterator[Watcher]:
        """Raises TooManyStreams when there are as many watchers as are allowed."""
        if len(self._watchers) >= self._most:
            raise errors.TooManyStreams(
                f"{self._most} streams are open already; close those you no longer read",
                metadata={"limit": str(self._most)},
            )
        watcher = Watcher()
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    def latest(self, name: str) -> model.Api | Gone | None:
        return self._latest.get(name) or self._gone.get(name)

    def written(self, api: model.Api) -> None:
        self._learn(api)
        self._tell(lambda watcher: watcher.notice(api.name))

    def removed(self, name: str, uid: str) -> None:
        for known in (self._latest, self._told, self._gone):
            known.pop(name, None)
        self._gone[name] = Gone(name, uid)
        while len(self._gone) > HELD_GONE:
            del self._gone[next(iter(self._gone))]
        self._tell(lambda watcher: watcher.notice(name))

    def observed(self, api: model.Api, status: model.Status) -> None:
        """A pass that saw what the last one saw is no news: only its time differs."""
        gone = self._gone.get(api.name)
        if gone is not None and gone.uid == api.uid:
            return
        told = self._told.get(api.name)
        same = told is not None and dataclasses.replace(told, observe_time=status.observe_time) == status
        self._told[api.name] = status
        if self._learn(api) or not same:
            self._tell(lambda watcher: watcher.notice(api.name))

    def happened(self, event: model.Event) -> None:
        self._tell(lambda watcher: watcher.notice_event(event))

    def _learn(self, api: model.Api) -> bool:
        """Whether `api` is newer than what is known. The reconciler may be a write behind."""
        known, gone = self._latest.get(api.name), self._gone.get(api.name)
        if gone is not None and gone.uid == api.uid:
            return False
        if known is not None and known.uid == api.uid and known.version >= api.version:
            return False
        if known is not None and known.uid != api.uid and known.create_time > api.create_time:
            return False
        self._latest[api.name] = api
        return True

    def _tell(self, say: Callable[[Watcher], None]) -> None:
        for watcher in self._watchers:
            say(watcher)
