"""The time average of a number over the last so many seconds. Time without a sample is left out, not taken as zero."""

import collections


class Window:
    """Samples in order of time, each worth the seconds it stands for."""

    __slots__ = ("_last", "_samples")
    # A sample stands for the time since the one before it, but a hole is a hole: at most this much.
    _longest = 2.0

    def __init__(self) -> None:
        self._samples: collections.deque[tuple[float, float, float]] = collections.deque()
        self._last: float | None = None

    def add(self, now: float, value: float) -> None:
        elapsed = 1.0 if self._last is None else now - self._last
        seconds = elapsed if 0.0 < elapsed <= self._longest else 1.0
        self._last = now
        self._samples.append((now, value * seconds, seconds))

    def average(self, now: float, seconds: float) -> float | None:
        """Over (now - seconds, now]; None when there is no sample in it. Older samples are forgotten."""
        samples = self._samples
        while samples and samples[0][0] <= now - seconds:
            samples.popleft()
        if not samples:
            return None
        total = weight = 0.0
        for _, value, length in samples:
            total += value
            weight += length
        return total / weight
