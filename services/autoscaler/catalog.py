"""What is known of the APIs: the last word of the apiserver, and a bell for everybody who waits for a change.

Soft state, filled by `apiserver.py` from WatchApis and from the answers to our own writes. When the stream is down the
last word stays, and `fresh` says that it is old.
"""

import asyncio
from collections.abc import Iterable, Mapping

from services.autoscaler import model

STALE_AFTER = 10.0


class Catalog:
    def __init__(self) -> None:
        self._apis: dict[str, model.Api] = {}
        self._bells: dict[str, asyncio.Event] = {}
        self._heard: float | None = None
        self._connected = False

    @property
    def synced(self) -> bool:
        """Whether the whole state has been seen once."""
        return self._heard is not None

    def fresh(self, now: float) -> bool:
        return self._connected or (self._heard is not None and now - self._heard <= STALE_AFTER)

    def apis(self) -> Mapping[str, model.Api]:
        return self._apis

    def get(self, name: str) -> model.Api | None:
        return self._apis.get(name)

    def put(self, api: model.Api) -> None:
        self._apis[api.name] = api
        self._ring(api.name)

    def remove(self, name: str) -> None:
        if self._apis.pop(name, None) is not None:
            self._ring(name)

    def keep_only(self, names: Iterable[str]) -> None:
        """The whole state has been told: what was not in it is gone."""
        for name in set(self._apis) - set(names):
            self.remove(name)

    def connected(self, now: float) -> None:
        """A stream has told the whole state and is open."""
        first, self._connected, self._heard = self._heard is None, True, now
        if first:
            for name in list(self._bells):
                self._ring(name)

    def disconnected(self, now: float) -> None:
        """The stream broke. What was known counts for a little longer."""
        if self._connected:
            self._connected, self._heard = False, now

    def bell(self, name: str) -> asyncio.Event:
        """Set at the next change of this API; ask again for the one after."""
        return self._bells.setdefault(name, asyncio.Event())

    def _ring(self, name: str) -> None:
        bell = self._bells.pop(name, None)
        if bell is not None:
            bell.set()
