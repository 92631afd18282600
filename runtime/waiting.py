"""Calls that wait for a worker: by priority, among equals by deadline, among those by arrival.

One of every `FAIR` to leave is the oldest of all, so that nobody waits for ever behind those with more right.
"""

import collections
import heapq
import math

from runtime.calls import DEFAULT_PRIORITY, Call

FAIR = 8


class Waiting:
    """As long as the order of arrival is the right one, which is nearly always, it costs no sorting."""

    def __init__(self) -> None:
        self._calls: collections.OrderedDict[Call, float] = collections.OrderedDict()  # since when, by arrival
        self._newest = 0.0
        self._heap: list[tuple[int, float, int, Call]] | None = None  # may hold calls that have left
        self._arrivals = 0
        self._left = 0

    def __len__(self) -> int:
        return len(self._calls)

    def __bool__(self) -> bool:
        return bool(self._calls)

    @property
    def since(self) -> float:
        """When the oldest came; only while somebody waits."""
        return next(iter(self._calls.values()))

    @property
    def first(self) -> Call:
        """Whose turn it is by right."""
        if self._heap is None:
            return next(iter(self._calls))
        while self._heap[0][3] not in self._calls:
            heapq.heappop(self._heap)
        return self._heap[0][3]

    def push(self, call: Call, now: float) -> None:
        self._calls[call] = now
        self._arrivals += 1
        deadline = call.deadline or math.inf
        if self._heap is not None:
            heapq.heappush(self._heap, (call.priority, deadline, self._arrivals, call))
        elif call.priority == DEFAULT_PRIORITY and deadline >= self._newest:
            self._newest = deadline
        else:
            self._heap = [(*urgency(each), at, each) for at, each in enumerate(self._calls, -len(self._calls))]
            heapq.heapify(self._heap)

    def push_back(self, call: Call, now: float) -> None:
        """First in line again: it has waited longest."""
        self._calls[call] = now
        self._calls.move_to_end(call, last=False)
        self._arrivals += 1
        if self._heap is not None:
            heapq.heappush(self._heap, (*urgency(call), -self._arrivals, call))

    def pop(self) -> Call:
        if self._heap is None:
            call, _ = self._calls.popitem(last=False)
        else:
            self._left += 1
            call = next(iter(self._calls)) if self._left % FAIR == 0 else self.first
            del self._calls[call]
        if not self._calls:
            self._reset()
        return call

    def discard(self, call: Call) -> bool:
        """Whether it was there."""
        there = self._calls.pop(call, None) is not None
        if there and not self._calls:
            self._reset()
        return there

    def _reset(self) -> None:
        self._heap, self._newest = None, 0.0


def urgency(call: Call) -> tuple[int, float]:
    return call.priority, call.deadline or math.inf
