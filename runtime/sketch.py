"""DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch", VLDB 2019)."""

import math

from cortex.monitor.v1 import monitor_service_pb2 as pb

ACCURACY = 0.01
_LOG_GAMMA = math.log((1 + ACCURACY) / (1 - ACCURACY))
_SMALLEST = 1e-9
_ceil, _isfinite, _log = math.ceil, math.isfinite, math.log  # called twice per request


class Sketch:
    """Counts values in bins so narrow that every quantile is within 1 % of the truth."""

    __slots__ = ("bins", "count", "max", "min", "negative_bins", "sum", "zero_count")

    def __init__(self) -> None:
        self.bins: dict[int, int] = {}
        self.negative_bins: dict[int, int] = {}
        self.zero_count = 0
        self.count = 0
        self.sum = 0.0
        self.min = math.inf
        self.max = -math.inf

    def add(self, value: float) -> bool:
        """Whether `value` was counted: infinities and NaN have no bin."""
        if not _isfinite(value):
            return False
        if value >= _SMALLEST:
            index = _ceil(_log(value) / _LOG_GAMMA)
            self.bins[index] = self.bins.get(index, 0) + 1
        elif value > -_SMALLEST:
            self.zero_count += 1
        else:
            index = _ceil(_log(-value) / _LOG_GAMMA)
            self.negative_bins[index] = self.negative_bins.get(index, 0) + 1
        self.count += 1
        self.sum += value
        if value < self.min:
            self.min = value
        if value > self.max:
            self.max = value
        return True

    def to_proto(self) -> pb.Sketch:
        empty = self.count == 0
        return pb.Sketch(
            relative_accuracy=ACCURACY,
            bins=self.bins,
            negative_bins=self.negative_bins,
            zero_count=self.zero_count,
            count=self.count,
            sum=self.sum,
            min=0.0 if empty else self.min,
            max=0.0 if empty else self.max,
        )
