"""A DDSketch (Masson, Rim, Lee, VLDB 2019): quantiles within one percent of the truth, whatever the distribution.

Bin i counts values in (GAMMA**(i-1), GAMMA**i]. Sketches of the same GAMMA add up without loss in any order, which is
what lets replicas report on their own and a window be any set of minutes.
"""

import math
from collections.abc import Iterable, Sequence

RELATIVE_ACCURACY = 0.01
GAMMA = (1 + RELATIVE_ACCURACY) / (1 - RELATIVE_ACCURACY)
MOST_BINS = 4096
SMALLEST = 1e-9
FARTHEST_BIN = 35_500  # that of the largest float
_LOG_GAMMA = math.log(GAMMA)
_LARGEST_EXPONENT = 709.78


def bin_of(value: float) -> int:
    """The bin of a value of at least SMALLEST."""
    return math.ceil(math.log(value) / _LOG_GAMMA - 1e-9)


def value_of(index: int) -> float:
    """The value that is within RELATIVE_ACCURACY of everything in the bin."""
    return math.exp(min(index * _LOG_GAMMA, _LARGEST_EXPONENT)) * (2 / (GAMMA + 1))


class Sketch:
    """Counts by bin, mutable. `low` and `high` are the true extremes; both 0 while `count` is 0."""

    __slots__ = ("bins", "count", "high", "low", "negative", "total", "zero")

    def __init__(self) -> None:
        self.bins: dict[int, int] = {}
        self.negative: dict[int, int] = {}
        self.zero = 0
        self.count = 0
        self.total = 0.0
        self.low = 0.0
        self.high = 0.0

    def insert(self, value: float) -> None:
        if abs(value) < SMALLEST:
            self.zero += 1
        else:
            side = self.bins if value > 0 else self.negative
            index = bin_of(abs(value))
            side[index] = side.get(index, 0) + 1
            _bound(side)
        self._extremes(value, value)
        self.count += 1
        self.total += value

    def add(self, other: "Sketch") -> None:
        if other.count == 0:
            return
        _add(self.bins, other.bins)
        _add(self.negative, other.negative)
        self._extremes(other.low, other.high)
        self.zero += other.zero
        self.count += other.count
        self.total += other.total

    def quantile(self, q: float) -> float:
        """The value of rank floor(q * (count - 1)), within RELATIVE_ACCURACY; 0 when there is none."""
        rank, seen = math.floor(q * (self.count - 1)), 0
        for value, count in self._ascending():
            seen += count
            if seen > rank:
                return min(max(value, self.low), self.high)
        return self.high

    def cumulative(self, bounds: Sequence[float]) -> list[int]:
        """How many values are at most each of the ascending bounds. A bin falls wholly on one side of a bound, always
        the same, so that each number only ever rises as values come in."""
        counts, seen, index = [], 0, 0
        ascending = list(self._ascending())
        for bound in bounds:
            while index < len(ascending) and ascending[index][0] <= bound:
                seen += ascending[index][1]
                index += 1
            counts.append(seen)
        return counts

    def _ascending(self) -> Iterable[tuple[float, int]]:
        for index in sorted(self.negative, reverse=True):
            yield -value_of(index), self.negative[index]
        if self.zero:
            yield 0.0, self.zero
        for index in sorted(self.bins):
            yield value_of(index), self.bins[index]

    def _extremes(self, low: float, high: float) -> None:
        if self.count == 0:
            self.low, self.high = low, high
        else:
            self.low, self.high = min(self.low, low), max(self.high, high)


def _add(side: dict[int, int], other: dict[int, int]) -> None:
    for index, count in other.items():
        side[index] = side.get(index, 0) + count
    _bound(side)


def _bound(side: dict[int, int]) -> None:
    """Folds the smallest bins together: what suffers is the accuracy of the smallest values, the least missed."""
    if len(side) > MOST_BINS:
        order = sorted(side)
        surplus = len(order) - MOST_BINS
        side[order[surplus]] += sum(side.pop(index) for index in order[:surplus])
