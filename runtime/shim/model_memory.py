"""The models a worker has in memory: bounded by number and by bytes before anything is loaded, and never one in use.

A model is in use until every request that got it has ended. What must go goes longest unused first.
"""

from __future__ import annotations

import collections
import gc
import sys
import threading
import time
import weakref
from typing import Any, Callable

Pin = Callable[["Memory", "Loaded"], None]
# Waits are cut into pieces, so that a cancelled request does not wait on.
_SLICE_SECONDS = 0.2


class Loaded:
    """One generation of a model. `pins` counts the requests that use it."""

    __slots__ = ("bytes", "generation", "keys", "model", "name", "pins", "version")

    def __init__(self, told: dict[str, Any], model: Any) -> None:
        self.name = told["name"]
        self.version = told["version"]
        self.generation = told["generation"]
        self.bytes = told["bytes"]
        self.model = model
        self.pins = 0
        self.keys: set[Any] = set()  # by which it is known; none once something newer has taken its place


class TooLarge(Exception):
    """It never fits; the text says why."""


class Full(Exception):
    """It does not fit beside what requests use now; the text says why."""


class Pins:
    """What one request uses. Hung on the request, closed when it ends."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._held: list[Loaded] = []

    def add(self, loaded: Loaded) -> None:
        """Called with the memory's lock held."""
        if loaded not in self._held:
            loaded.pins += 1
            self._held.append(loaded)

    def close(self) -> None:
        self._memory.unpin(self._held)


class Memory:
    """Owned by a ModelClient; any thread."""

    def __init__(self, count: int, budget: int) -> None:
        """0 turns a limit off."""
        self.changed = threading.Condition()
        self._count = count
        self._budget = budget
        self._loaded: collections.OrderedDict[str, Loaded] = collections.OrderedDict()
        self._keys: dict[Any, Loaded] = {}
        self._reserved_bytes = 0
        self._reserved = 0
        self._garbage: list[Loaded] = []
        self.dropped: list[str] = []  # generations that have gone since somebody last told the front

    def get(self, key: Any) -> Loaded | None:
        """Called with `changed` held."""
        loaded = self._keys.get(key)
        if loaded is not None:
            self._loaded.move_to_end(loaded.generation)
        return loaded

    def by_generation(self, generation: str) -> Loaded | None:
        return self._loaded.get(generation)

    def known(self) -> list[Any]:
        with self.changed:
            return list(self._keys)

    def reserve(self, title: str, size: int, timeout: float) -> None:
        """Makes room for one more model of `size` bytes, before it is loaded. Raises TooLarge and Full."""
        if self._budget and size > self._budget:
            raise TooLarge(f"model {title} has {size} bytes, more than models.memory_budget ({self._budget})")
        end = time.monotonic() + timeout
        with self.changed:
            while self._is_over(size):
                if self._drop_idle():
                    continue
                if time.monotonic() >= end:
                    raise Full(
                        f"model {title} does not fit beside the models that requests use now "
                        f"(models.cache_size {self._count}, models.memory_budget {self._budget})"
                    )
                self.changed.wait(_SLICE_SECONDS)
            self._reserved += 1
            self._reserved_bytes += size
        self._clean()

    def give_back(self, size: int) -> None:
        """Nothing came of a reservation."""
        with self.changed:
            self._reserved -= 1
            self._reserved_bytes -= size
            self.changed.notify_all()

    def add(self, key: Any, loaded: Loaded, reserved: int, pin: Pin | None) -> None:
        """Puts it in the place of its reservation, and of what was known by `key`."""
        with self.changed:
            if pin is not None:
                pin(self, loaded)
            self._reserved -= 1
            self._reserved_bytes -= reserved
            self._loaded[loaded.generation] = loaded
            self._name(key, loaded)
            self.changed.notify_all()
        self._clean()

    def alias(self, key: Any, loaded: Loaded) -> None:
        """Another name for it. Called with `changed` held."""
        self._name(key, loaded)

    def remove(self, key: Any) -> None:
        """Nobody gets it by this name any more; it goes once nobody uses it."""
        with self.changed:
            self._unname(key)
            self.changed.notify_all()
        self._clean()

    def unpin(self, held: list[Loaded]) -> None:
        with self.changed:
            for loaded in held:
                loaded.pins -= 1
                if not loaded.pins and not loaded.keys:
                    self._drop(loaded)
            held.clear()
            self.changed.notify_all()
        self._clean()

    def spare(self) -> None:
        """Lets one go that nobody uses: others need the room that its files take on the disk."""
        with self.changed:
            self._drop_idle()
        self._clean()

    def _drop_idle(self) -> bool:
        """The one longest unused; false where all are in use."""
        idle = next((each for each in self._loaded.values() if not each.pins), None)
        if idle is not None:
            self._drop(idle)
        return idle is not None

    def _is_over(self, size: int) -> bool:
        count = len(self._loaded) + self._reserved
        used = sum(each.bytes for each in self._loaded.values()) + self._reserved_bytes
        return bool((self._count and count >= self._count) or (self._budget and used + size > self._budget))

    def _name(self, key: Any, loaded: Loaded) -> None:
        if self._keys.get(key) is not loaded:
            self._unname(key)
            self._keys[key] = loaded
            loaded.keys.add(key)

    def _unname(self, key: Any) -> None:
        loaded = self._keys.pop(key, None)
        if loaded is not None:
            loaded.keys.discard(key)
            if not loaded.keys and not loaded.pins:
                self._drop(loaded)

    def _drop(self, loaded: Loaded) -> None:
        for key in loaded.keys:
            self._keys.pop(key, None)
        loaded.keys.clear()
        if self._loaded.pop(loaded.generation, None) is not None:
            self.dropped.append(loaded.generation)
            self._garbage.append(loaded)

    def _clean(self) -> None:
        """Frees what was dropped, outside of the lock: a model's destructor is the user's code."""
        if not self._garbage:
            return
        with self.changed:
            dropped, self._garbage[:] = list(self._garbage), []
        freed = [_free(loaded) for loaded in dropped]
        if not all(freed):
            gc.collect()
        _trim()


def _free(loaded: Loaded) -> bool:
    """Whether the last reference was ours. Cycles and what the user kept need the collector."""
    try:
        alive: Any = weakref.ref(loaded.model)
    except TypeError:
        loaded.model = None
        return False
    loaded.model = None
    return alive() is None


def _trim() -> None:
    """Hands freed memory back to the system; glibc would keep it."""
    if sys.platform.startswith("linux"):
        import ctypes

        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
