"""DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch", VLDB 2019)."""

import collections
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cortex.monitor.v1 import monitor_service_pb2 as pb


ACCURACY = 0.01
_LOG_GAMMA = math.log((1 + ACCURACY) / (1 - ACCURACY))
_SMALLEST = 1e-9
_FOLDED = 256
_isfinite = math.isfinite


class Sketch:
    """Counts values in bins so narrow that every quantile is within 1 % of the truth.

    `add` is called twice per request, so it only remembers; values are put into their bins some hundreds at a time,
    which takes a fraction of the time and never long.
    """

    __slots__ = ("_fresh", "bins", "max", "min", "negative_bins", "sum", "zero_count")

    def __init__(self) -> None:
        self._fresh: list[float] = []
        self.bins: dict[int, int] = {}
        self.negative_bins: dict[int, int] = {}
        self.zero_count = 0
        self.sum = 0.0
        self.min = math.inf
        self.max = -math.inf

    def extend(self, values: Iterable[float]) -> None:
        """Finite values, many at once."""
        self._fresh += values
        self._fold()

    def add(self, value: float) -> bool:
        """Whether `value` was counted: infinities and NaN have no bin."""
        if not _isfinite(value):
            return False
        self._fresh.append(value)
        if len(self._fresh) >= _FOLDED:
            self._fold()
        return True

    def __bool__(self) -> bool:
        return bool(self._fresh) or self.min <= self.max

    def _fold(self) -> None:
        values, self._fresh = self._fresh, []
        self.sum += sum(values)
        self.min = min(self.min, *values)
        self.max = max(self.max, *values)
        ceil, log = math.ceil, math.log
        _count(self.bins, [ceil(log(value) / _LOG_GAMMA) for value in values if value >= _SMALLEST])
        if min(values) < _SMALLEST:
            negative = [ceil(log(-value) / _LOG_GAMMA) for value in values if value <= -_SMALLEST]
            _count(self.negative_bins, negative)
            self.zero_count += sum(1 for value in values if -_SMALLEST < value < _SMALLEST)

    def to_proto(self) -> "pb.Sketch":
        from cortex.monitor.v1 import monitor_service_pb2 as pb

        if self._fresh:
            self._fold()
        filled = bool(self)
        return pb.Sketch(
            relative_accuracy=ACCURACY,
            bins=self.bins,
            negative_bins=self.negative_bins,
            zero_count=self.zero_count,
            count=sum(self.bins.values()) + sum(self.negative_bins.values()) + self.zero_count,
            sum=self.sum,
            min=self.min if filled else 0.0,
            max=self.max if filled else 0.0,
        )


def _count(bins: dict[int, int], indexes: list[int]) -> None:
    for index, count in collections.Counter(indexes).items():
        bins[index] = bins.get(index, 0) + count
