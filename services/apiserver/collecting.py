"""What nobody needs any more: bundles that nothing refers to and uploads that nobody went on with, after a day; events
of APIs that are gone, after a month or when they are too many.

A bundle comes before the revision that names it, and a client that is told that a bundle is there does not send it
again: a day without anybody asking for it is the time in which a deploy surely has ended.
"""

from collections.abc import Collection, Mapping
from typing import Protocol

import structlog

from services.apiserver import ports
from services.chassis import clock as clocks

EVERY_SECONDS = 3600.0
KEPT_SECONDS = 86_400.0
EVENTS_KEPT_SECONDS = 30 * 86_400.0
EVENTS_KEPT_PER_NAMESPACE = 10_000
_log = structlog.get_logger("collecting")


class Shelf(Protocol):
    """What the collector needs of the place where bundles lie."""

    async def asked_for(self) -> Mapping[str, float]:
        """When each finished bundle was last asked for, by digest in hex."""
        ...

    async def remove(self, digest: str, before: float) -> bool:
        """Removes a bundle unless somebody asked for it since `before`; whether it did."""
        ...

    async def sweep(self, before: float) -> None:
        """Removes the uploads nobody went on with since `before`."""
        ...


def garbage(bundles: Mapping[str, float], referenced: Collection[str], before: float) -> list[str]:
    """Digests, in hex, of the bundles to remove; `referenced` are as revisions name them: `sha256:<hex>`."""
    named = {reference.removeprefix("sha256:") for reference in referenced}
    return sorted(digest for digest, asked in bundles.items() if asked < before and digest not in named)


class Collector:
    def __init__(self, store: ports.StorePort, shelf: Shelf, clock: clocks.Clock) -> None:
        self._store = store
        self._shelf = shelf
        self._clock = clock

    async def run(self) -> None:
        """For ever. A round that fails is made good by the next."""
        while True:
            try:
                await self.collect()
            except Exception as error:
                _log.warning("could not remove what nobody needs, will retry", error=str(error))
            await self._clock.sleep(EVERY_SECONDS)

    async def collect(self) -> None:
        now = self._clock.now()
        await self._bundles(now - KEPT_SECONDS)
        if removed := await self._store.prune_events(now - EVENTS_KEPT_SECONDS, EVENTS_KEPT_PER_NAMESPACE):
            _log.info("removed events of APIs that are gone", events=removed)

    async def _bundles(self, before: float) -> None:
        await self._shelf.sweep(before)
        # In this order: what is referred to after the look at the shelf has been asked for since, and stays.
        bundles = await self._shelf.asked_for()
        for digest in garbage(bundles, await self._store.bundle_digests(), before):
            if await self._shelf.remove(digest, before):
                _log.info("removed a bundle that no revision refers to", digest=digest)
