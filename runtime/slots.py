"""One place for a worker, and how its workers have fared."""

import collections
from typing import Any

from runtime.life import Life

_CRASHES = 5
CRASH_WINDOW = 60.0
# A worker in a crash loop counts as ready again after it lived this long; twice as long for each further crash.
_TRIAL_SECONDS = 0.5
_LONGEST_TRIAL_SECONDS = 10.0


class Slot:
    """One place for a worker, and the workers that fill it one after another; two while one replaces the other."""

    def __init__(self, index: int) -> None:
        self.name = f"w{index}"
        self.index = index
        self.lives: list[Life] = []
        self.looping = False
        self.between = False  # a worker has left for good and the next one loads: callers wait, and not for long
        self.trial = 0.0
        self.last_end = ""  # why we ended its last worker, where we did
        self._crashes: collections.deque[float] = collections.deque(maxlen=_CRASHES)

    @property
    def loaded(self) -> bool:
        return any(life.loaded and life.running for life in self.lives)

    @property
    def serving(self) -> bool:
        return not self.looping and (self.between or any(life.state == "READY" for life in self.lives))

    def describe(self) -> list[dict[str, Any]]:
        if not self.lives:
            return [{"pid": None, "state": "STARTING"}]
        return [
            {"pid": life.pid, "state": life.state, "slot": self.index, "last_end": self.last_end}
            for life in self.lives
        ]  # fmt: skip

    def crashed(self, now: float, *, answered: bool) -> int:
        """Notes one more crash; returns how many there were lately without an answer in between. Who answers others
        and dies of some requests is back at once: long pauses would make all callers pay for a few."""
        if answered:
            self._crashes.clear()
            self.trial = 0.0
        self._crashes.append(now)
        recent = sum(1 for at in self._crashes if at > now - CRASH_WINDOW)
        self.looping = recent >= _CRASHES
        if self.looping:
            self.trial = min(_LONGEST_TRIAL_SECONDS, max(_TRIAL_SECONDS, 2 * self.trial))
        return recent
