"""Keeps the catalog true to the sources, brings files here, and lends folders to those who serve from them."""

import asyncio
import dataclasses
import itertools
import pathlib
import random
import time
from collections.abc import Mapping

from runtime.models import declaration, layout, sources
from runtime.models.catalog import LATEST, Catalog, ModelError, Revision, State
from runtime.models.shelf import FetchError, Say, Shelf, Store
from services.chassis import backoff

_LOOK_AGAIN = backoff.Backoff(first=0.5, longest=10.0)
_FIRST_LOOK_SECONDS = 60.0


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
        self.sequence = 0  # rises with every change of what could be resolved
        self._kind = kind
        self._sources = opened
        self._say = say
        self._started = False
        self._rng = random.Random()
        self.shelf = Shelf(store, declared, say=say, changed=self._announce)
        self._changed = asyncio.Event()
        self._sightings: dict[str, list[layout.File]] = {}  # what the last look saw
        self._taken: dict[str, list[layout.File]] = {}  # what the catalog knows

    async def start(self) -> None:
        """Looks once, and fetches what is not lazy. Raises SourceError and FetchError."""
        for name, source in self._sources.items():
            files = await self._first_look(source)
            self._sightings[name] = self._taken[name] = files
            self._take(name, source, self._found(name, files))
        self._started = True
        if self.declared.is_lazy:
            return
        for name in self.catalog.names:
            best = self.catalog.candidates(name, LATEST)[0]
            if best.state is State.FAILED:
                raise FetchError(f"model {best.title} in {best.source.url}: {best.reason}")
            await self.shelf.available(best)
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
                self.shelf.show(f"{error}; trying again")
                await asyncio.sleep(_LOOK_AGAIN.delay(failures, self._rng))
            finally:
                self.shelf.show("")
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
                except Exception as error:  # whatever a source holds, it must not end what serves
                    if name not in failing:
                        told = error if isinstance(error, sources.SourceError) else f"models: {source.url}: {error!r}"
                        self._say("warning", f"{told}; what was there goes on serving")
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
            await self.shelf.available(left[0])

    def find(self, name: str | None, version: str = LATEST) -> Resolved:
        """What `resolve` would give as things stand, neither fetched nor lent. Raises ModelError."""
        candidates = self.catalog.candidates(name, version)
        return self._describe(next((each for each in candidates if _is_here(each)), candidates[0]))

    def release(self, resolved: Resolved) -> None:
        revision = resolved.revision
        revision.leases -= 1
        if revision.leases == 0:
            self.shelf.released()

    def loaded(self, resolved: Resolved) -> None:
        """Somebody has loaded it, so it serves well."""
        revision = resolved.revision
        if not revision.proven:
            revision.broken = False
            revision.state, revision.reason = State.READY, ""
            self.catalog.prove(revision)
            self.shelf.sweep()

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
        await self.shelf.close()

    # What is there.

    async def _look(self, name: str, source: sources.Source) -> None:
        files = await asyncio.to_thread(source.files)
        before, self._sightings[name] = self._sightings[name], files
        if files == self._taken[name] or (source.is_local and files != before):
            # Somebody may be in the middle of copying to a disk; it counts once it looked the same twice.
            return
        # On a thread: to sort a hundred thousand files takes a second.
        found = await asyncio.to_thread(self._found, name, files)
        self._take(name, source, found)
        self._taken[name] = files

    def _found(self, name: str, files: list[layout.File]) -> dict[str, dict[str, layout.Content]]:
        return {name: layout.versions(files, self._kind)} if name else layout.models(files, self._kind)

    def _take(self, name: str, source: sources.Source, found: Mapping[str, dict[str, layout.Content]]) -> None:
        before = self._identities()
        if not name:
            for gone in set(self.catalog.names) - set(found):
                self.catalog.remove(gone)
        for each, versions in found.items():
            self._replace(each, source, versions)
        if self._identities() != before:
            self.shelf.sweep()
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
                self.shelf.begin(each, waits=False)
                return

    def _retry(self) -> None:
        """What could not be fetched, once it is time; in the background where nobody has to ask for it."""
        for revision in self.catalog.revisions():
            if self.shelf.is_due(revision):
                revision.state = State.LISTED
                if not self.declared.is_lazy or self._is_used(revision.model):
                    self.shelf.begin(revision, waits=False)

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
