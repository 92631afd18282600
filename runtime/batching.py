"""When a batch is worth waiting for. Pure: times come in, decisions go out.

A free worker and nobody else in sight: go at once. Else one more call in the batch saves what a batch costs apart from
its calls, and everybody in it waits for that call; so waiting pays while the saving, shared by those who wait, is more
than the time until the next call is likely to be here.
"""

from typing import NamedTuple

_FORGET = 0.95  # weight of what was known before, per batch
_SMOOTH = 0.1  # of the gap between arrivals
_LONGEST_GAP = 1.0
# Of the callers who are not here, how many are still expected after a batch.
_KEPT, _KEPT_IN_VAIN = 0.98, 0.5


class Cost:
    """What a batch of n calls takes: `fixed` + n * `per_call` seconds, fitted to those seen lately."""

    def __init__(self) -> None:
        self.fixed = 0.0
        self.per_call = 0.0
        self._sums = [0.0] * 5  # weights, sizes, seconds, sizes squared, sizes times seconds

    def observe(self, size: int, seconds: float) -> None:
        new = (1.0, size, seconds, size * size, size * seconds)
        self._sums = [_FORGET * old + more for old, more in zip(self._sums, new, strict=True)]
        weight, sizes, total, squares, products = self._sums
        mean_size, mean = sizes / weight, total / weight
        spread = squares / weight - mean_size * mean_size
        slope = (products / weight - mean_size * mean) / spread if spread > 1e-6 * mean_size * mean_size else 0.0
        # All of equal size tell nothing apart: taken as fixed, so that larger ones are tried.
        self.per_call = min(max(slope, 0.0), mean / mean_size)
        self.fixed = max(mean - self.per_call * mean_size, 0.0)


class Arrivals:
    """How soon a call follows the last one, or the last answers, if those came later: callers who ask again when they
    are answered cannot do so before. And how many calls there are at a time."""

    def __init__(self) -> None:
        self.gap = _LONGEST_GAP  # seconds, smoothed
        self.crowd = 0.0  # most calls that were in flight at a time, lately
        self._last = 0.0

    def observe(self, now: float, in_flight: int) -> None:
        self.gap += _SMOOTH * (min(self.idle(now), _LONGEST_GAP) - self.gap)
        self._last = now
        self.crowd = max(self.crowd, in_flight)

    def dispatched(self, in_flight: int, *, in_vain: bool) -> None:
        """A batch has left; `in_vain` when it was held and nobody came. Callers who are answered at the same time come
        back at the same time, so the crowd is remembered for a while."""
        kept = _KEPT_IN_VAIN if in_vain else _KEPT
        self.crowd = in_flight + kept * max(self.crowd - in_flight, 0.0)

    def answered(self, now: float) -> None:
        self._last = now

    def idle(self, now: float) -> float:
        """Seconds since the last call or answer."""
        return now - self._last


class Situation(NamedTuple):
    """A worker is free and `size` calls wait for it, the oldest for `waited` seconds."""

    size: int
    waited: float
    idle: float  # since the last call or answer
    gap: float  # until the next call, as a rule
    others: float  # callers who are in nobody's hands now, and so could join


def hold(now: Situation, most: int, interval: float, cost: Cost) -> float:
    """For how many seconds to hold the batch; 0 to send it."""
    if now.size >= most or now.waited >= interval or now.others < 1.0:
        return 0.0
    patience = cost.fixed / now.size - cost.per_call
    if now.gap > patience or now.idle >= patience:
        return 0.0
    return min(patience - now.idle, interval - now.waited)
