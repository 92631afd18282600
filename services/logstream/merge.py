"""Puts the lines of many replicas into one order of time, without waiting for ever and without keeping much.

While old lines are replayed, a line may go as soon as no unread line can be older (`floor_ns`, which the source knows).
While new lines are followed, a line of another replica may still be on its way, so a young line is held for a window.
Pure: time is an argument.
"""

import bisect
import collections
import operator
from collections.abc import Sequence

from services.logstream import model

_TIME = operator.attrgetter("time_ns")


class Merger:
    """`add` what was read, `release` what may go. Entries that are equal in time keep the order of `add`."""

    def __init__(self, window_ns: int) -> None:
        self._window_ns = window_ns
        self._held: list[model.Entry] = []
        self._arrivals: collections.deque[tuple[int, int]] = collections.deque()
        self._ripe_ns = 0

    def __len__(self) -> int:
        return len(self._held)

    def add(self, entries: Sequence[model.Entry], now_ns: int) -> None:
        """`now_ns` is monotonic: a line with a wrong time is held no longer than another."""
        if entries:
            self._held.extend(entries)
            self._held.sort(key=_TIME)  # runs that are sorted already: timsort merges them in linear time
            self._arrivals.append((now_ns, max(map(_TIME, entries))))

    def release(self, *, floor_ns: int | None, following: bool, wall_ns: int, now_ns: int) -> list[model.Entry]:
        """What may go now, in order. `floor_ns` None: everything that was written has been read."""
        horizon = self._horizon(wall_ns, now_ns) if following else None
        if floor_ns is not None:
            horizon = floor_ns if horizon is None else min(horizon, floor_ns)
        if horizon is None:
            released, self._held = self._held, []
            return released
        end = bisect.bisect_right(self._held, horizon, key=_TIME)
        released, self._held = self._held[:end], self._held[end:]
        if horizon >= self._ripe_ns:
            self._ripe_ns = 0
        return released

    def _horizon(self, wall_ns: int, now_ns: int) -> int:
        while self._arrivals and self._arrivals[0][0] <= now_ns - self._window_ns:
            self._ripe_ns = max(self._ripe_ns, self._arrivals.popleft()[1])
        return max(self._ripe_ns, wall_ns - self._window_ns)
