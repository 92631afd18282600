"""Keeps the catalog true to the sources, brings files here, and lends folders to those who serve from them."""

import asyncio
import dataclasses
import itertools
import pathlib
import random
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from runtime.models import declaration, layout, sources
from runtime.models.catalog import LATEST, Catalog, ModelError, Revision, State
from services.chassis import backoff

_LOOK_AGAIN = backoff.Backoff(first=0.5, longest=10.0)
_FIRST_LOOK_SECONDS = 60.0
_RETRY = backoff.Backoff(first=5.0, longest=300.0)
# Longest wait for a model in use to become idle when the replica's own disk limits are reached.
_ROOM_SECONDS = 30.0
Say = Callable[[str, str], None]  # level, text


class FetchError(Exception):
    """The files of a revision could not be brought here; the text says what to do. `status` as in ModelError."""

    def __init__(self, text: str, *, status: int = 503) -> None:
        super().__init__(text)
        self.status = status


class Store(Protocol):
    """Brings files here and keeps them. Used for sources that are not on this machine's disk."""

    async def fetch(self, revision: Revision, progress: Callable[[str], None]) -> str:
        """The folder (or file) with the revision's files, pinned until `release`. Raises FetchError."""
        ...

    def release(self, revision: Revision) -> None:
        """Ends the pin, and removes the files unless another replica has them pinned."""
        ...

    async def close(self) -> None:
        """Ends all pins; the files stay."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Resolved:
    """A model's files on this machine. `path` is a folder, or a file where the user named one."""

    name: str
    version: str
    path: str
    generation: str
    bytes: int
    signature_key: str
    revision: Revision


class Repository:
    """One per replica; owned by the loop."""

    def __init__(
        self,
        declared: declaration.Declaration,
        *,
        kind: str,
        opened: Mapping[str, sources.Source],
        store: Store,
        say: Say,
    ) -> None:
        """`opened` holds a source per model name, or one under "" for `dir`."""
        self.declared = declared
        self.catalog = Catalog()
        self.progress = ""  # what is under way, for people
        self.sequence = 0  # rises with every change of what could be resolved
        self._kind = kind
        self._sources = opened
        self._store = store
        self._say = say
        self._started = False
        self._rng = random.Random()
        self._kept: set[Revision] = set()  # whose files the store holds for us
        self._fetches: dict[Revision, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._released = asyncio.Event()
        self._sightings: dict[str, str] = {}

    async def start(self) -> None:
        """Looks once, and fetches what is not lazy. Raises SourceError and FetchError."""
        for name, source in self._sources.items():
            files = await self._first_look(source)
            self._sightings[name] = repr(files)
            self._take(name, source, files)
        self._started = True
        if self.declared.is_lazy:
            return
        for name in self.catalog.names:
            best = self.catalog.candidates(name, LATEST)[0]
            if best.state is State.FAILED:
                raise FetchError(f"model {best.title} in {best.source.url}: {best.reason}")
            await self._available(best)
            if not _is_here(best):
                raise FetchError(best.reason, status=best.status)

    async def _first_look(self, source: sources.Source) -> list[layout.File]:
        """Not given up at once: the store may be away for a moment. Raises SourceError."""
        end = time.monotonic() + _FIRST_LOOK_SECONDS
        for failures in itertools.count():
            try:
                return await asyncio.to_thread(source.files)
            except sources.SourceError as error:
                if error.is_final or time.monotonic() >= end:
                    raise
                self.progress = f"{error}; trying again"
                await asyncio.sleep(_LOOK_AGAIN.delay(failures, self._rng))
            else:
                self.progress = ""
        raise AssertionError("the count has no end")

    async def run(self) -> None:
        """Looks again and again. A look that fails changes nothing and is said once."""
        watched = {name: source for name, source in self._sources.items() if not source.is_fixed}
        if not watched or not self.declared.poll_interval:
            return
        failing: set[str] = set()
        while True:
            await asyncio.sleep(self.declared.poll_interval)
            for name, source in watched.items():
                try:
                    await self._look(name, source)
                    failing.discard(name)
                except sources.SourceError as error:
                    if name not in failing:
                        self._say("warning", f"{error}; what was there goes on serving")
                    failing.add(name)
            self._retry()

    async def resolve(self, name: str | None, version: str = LATEST) -> Resolved:
        """A revision whose files are here, lent until `release`. Raises ModelError."""
        tried: list[Revision] = []
        while True:
            candidates = self.catalog.candidates(name, version)
            ready = next((each for each in candidates if _is_here(each)), None)
            if ready is not None:
                self._fetch_better(candidates, ready)
                return self._lend(ready)
            left = [each for each in candidates if each not in tried]
            if not left or left[0].content.problem:
                worst = (left or candidates)[0]
                raise ModelError(worst.status, f"model {worst.title} is not available: {worst.reason}")
            tried.append(left[0])
            await self._available(left[0])

    def find(self, name: str | None, version: str = LATEST) -> Resolved:
        """What `resolve` would give as things stand, neither fetched nor lent. Raises ModelError."""
        candidates = self.catalog.candidates(name, version)
        return self._describe(next((each for each in candidates if _is_here(each)), candidates[0]))

    def release(self, resolved: Resolved) -> None:
        revision = resolved.revision
        revision.leases -= 1
        if revision.leases == 0:
            self._sweep()
            self._released.set()
            self._released.clear()

    def loaded(self, resolved: Resolved) -> None:
        """Somebody has loaded it, so it serves well."""
        revision = resolved.revision
        if not revision.proven:
            revision.broken = False
            revision.state, revision.reason = State.READY, ""
            self.catalog.prove(revision)
            self._sweep()

    def failed(self, resolved: Resolved, reason: str) -> None:
        """Somebody could not load it. What was there before serves on."""
        revision = resolved.revision
        if revision.state is State.READY and not revision.proven:
            revision.state, revision.reason, revision.broken = State.FAILED, reason, True
            self._say("error", f"model {revision.title} cannot be loaded, what was there before serves on: {reason}")
            self._announce()

    async def changed(self, seen: int) -> int:
        """Waits until `sequence` is another than `seen`, and returns it."""
        while self.sequence == seen:
            await self._changed.wait()
        return self.sequence

    def describe(self) -> dict[str, dict[str, str]]:
        """By name and version, the state: for anybody, so without reasons, which may name paths."""
        found: dict[str, dict[str, str]] = {}
        for entry in self.catalog.index():
            found.setdefault(entry.name, {})[entry.version] = entry.state
        return found

    async def close(self) -> None:
        tasks = list(self._fetches.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._store.close()

    # What is there.

    async def _look(self, name: str, source: sources.Source) -> None:
        files = await asyncio.to_thread(source.files)
        sighting = repr(files)
        if source.is_local and self._sightings.get(name) != sighting:
            # Somebody may be in the middle of copying; it counts once it looked the same twice.
            self._sightings[name] = sighting
            return
        self._take(name, source, files)

    def _take(self, name: str, source: sources.Source, files: list[layout.File]) -> None:
        before = self._identities()
        if name:
            self._replace(name, source, layout.versions(files, self._kind))
        else:
            found = layout.models(files, self._kind)
            for gone in set(self.catalog.names) - set(found):
                self.catalog.remove(gone)
            for each, versions in found.items():
                self._replace(each, source, versions)
        if self._identities() != before:
            self._sweep()
            self._announce()

    def _identities(self) -> list[int]:
        return sorted(id(each) for each in self.catalog.revisions())

    def _replace(self, name: str, source: sources.Source, versions: Mapping[str, layout.Content]) -> None:
        known = set(self.catalog.versions(name)) if name in self.catalog.names else set()
        fresh = self.catalog.replace(name, source, versions)
        for revision in fresh:
            if revision.state is State.FAILED:
                self._say("error", f"model {revision.title} in {source.url}: {revision.reason}")
                continue
            if source.is_local:
                revision.path = str(pathlib.Path(source.url, revision.content.root))
                revision.state = State.READY
            if self._started:
                self._say("info", f"model {revision.title} {'has changed' if revision.version in known else 'is new'}")
        if fresh and self._started and (not self.declared.is_lazy or self._is_used(name)):
            self._fetch_better(self.catalog.candidates(name, LATEST), None)

    def _is_used(self, name: str) -> bool:
        return any(each.leases for each in self.catalog.revisions() if each.model == name)

    # Bringing files here.

    def _fetch_better(self, candidates: list[Revision], than: Revision | None) -> None:
        """In the background; who waits for a change hears of it."""
        for each in candidates:
            if each is than:
                return
            if each.state is State.LISTED:
                self._begin(each)
                return

    def _begin(self, revision: Revision) -> "asyncio.Task[None]":
        task = self._fetches.get(revision)
        if task is None:
            task = self._fetches[revision] = asyncio.ensure_future(self._fetch(revision))
        return task

    async def _available(self, revision: Revision) -> None:
        """Waits until the revision is READY or FAILED; several who wait share one fetch."""
        if revision.state is not State.READY:
            # Not awaited itself: a fetch may be cancelled because its files are gone, and we are not.
            await asyncio.wait([self._begin(revision)])

    async def _fetch(self, revision: Revision) -> None:
        revision.state = State.FETCHING
        try:
            await self._make_room(revision)
            revision.path = await self._store.fetch(revision, self._show)
            self._kept.add(revision)
            revision.state, revision.reason, revision.failures = State.READY, "", 0
            revision.used = time.monotonic()
        except Exception as error:
            told = error if isinstance(error, FetchError) else FetchError(f"{revision.title}: {error!r}", status=500)
            revision.state, revision.reason, revision.status = State.FAILED, str(told), told.status
            revision.retry_time = time.monotonic() + _RETRY.delay(revision.failures, self._rng)
            revision.failures += 1
            self._say("error", str(told))
        finally:
            if revision.state is State.FETCHING:
                revision.state = State.LISTED
            self.progress = ""
            del self._fetches[revision]
        self._sweep()
        self._announce()

    def _retry(self) -> None:
        """What could not be fetched, once it is time; in the background where nobody has to ask for it."""
        now = time.monotonic()
        for revision in self.catalog.revisions():
            if revision.state is State.FAILED and revision.failures and now >= revision.retry_time:
                revision.state = State.LISTED
                if not self.declared.is_lazy or self._is_used(revision.model):
                    self._begin(revision)

    def _show(self, text: str) -> None:
        self.progress = text

    # Letting go of files.

    async def _make_room(self, revision: Revision) -> None:
        """Keeps the replica within its own disk limits. Raises FetchError when all that is here is in use."""
        count, most = self.declared.disk_cache_size, self.declared.disk_budget
        if most and revision.bytes > most:
            text = f"model {revision.title} has {revision.bytes} bytes, more than models.disk_budget ({most})"
            raise FetchError(text, status=507)
        deadline = time.monotonic() + _ROOM_SECONDS
        while (count and len(self._kept) >= count) or (most and self._kept_bytes + revision.bytes > most):
            idle = [each for each in self._kept if not each.leases]
            if idle:
                self._let_go(min(idle, key=lambda each: each.used))
                continue
            try:
                async with asyncio.timeout_at(asyncio.get_running_loop().time() + deadline - time.monotonic()):
                    await self._released.wait()
            except TimeoutError:
                text = (
                    f"model {revision.title}: every model that models.disk_cache_size or disk_budget allows is in use"
                )
                raise FetchError(text, status=503) from None

    @property
    def _kept_bytes(self) -> int:
        return sum(each.bytes for each in self._kept)

    def _sweep(self) -> None:
        """Lets go of files that nobody will ask for again, and stops fetching them."""
        for revision in [each for each in self._kept if each.gone and not each.leases]:
            self._let_go(revision)
        for revision, task in list(self._fetches.items()):
            if revision.gone:
                task.cancel()

    def _let_go(self, revision: Revision) -> None:
        self._kept.discard(revision)
        revision.state, revision.path = State.LISTED, ""
        self._store.release(revision)

    def _lend(self, revision: Revision) -> Resolved:
        revision.leases += 1
        revision.used = time.monotonic()
        return self._describe(revision)

    def _describe(self, revision: Revision) -> Resolved:
        return Resolved(
            name=revision.model,
            version=revision.version,
            path=revision.path,
            generation=f"{revision.title}/{revision.digest[:16]}",
            bytes=revision.bytes,
            signature_key=self.declared.signature_of(revision.model),
            revision=revision,
        )

    def _announce(self) -> None:
        self.sequence += 1
        self._changed.set()
        self._changed.clear()


def _is_here(revision: Revision) -> bool:
    """A broken one is here too: it is handed out where there is nothing else, so that its user sees the error."""
    return revision.state is State.READY or (revision.broken and bool(revision.path))
