"""The queue of an API with server-side batching: one for all workers, a line for each kind of call."""

import asyncio
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from runtime import batching
from runtime.calls import Call
from runtime.config import Batching
from runtime.waiting import Waiting, urgency

_now = time.monotonic
# The loop's timers are not finer than this; what is shorter waits for the end of the loop's turn instead.
_TICK = 0.001
_SHORT = 0.0005
# Batches of one are many and alike: one in so many is looked at.
_SAMPLED = 8


class Batcher:
    """`on_due` is called when calls that were held may leave."""

    def __init__(self, policy: Batching, loop: asyncio.AbstractEventLoop, on_due: Callable[[], None]) -> None:
        self._policy = policy
        self._loop = loop
        self._on_due = on_due
        self._lines: dict[Hashable, Waiting] = {}
        self._cost = batching.Cost()
        self._arrivals = batching.Arrivals()
        self._timer: Any = None
        self._due = False
        self._sizes: dict[int, int] = {}  # batches so far, by the power of two that holds their size
        self._batches = self._calls = self._alone = 0
        self._waited = 0.0

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def __bool__(self) -> bool:
        return bool(self._lines)

    @property
    def has_full(self) -> bool:
        """Whether a whole batch waits."""
        return any([len(line) >= self._policy.size for line in self._lines.values()])

    def goes_alone(self, in_flight: int) -> bool:
        """Whether the call that has just come leaves by itself to a worker that is free: nobody waits, and there is no
        sign of anybody who would share its batch. If not, `push` it. Cheap, as it is all that one client sees of us."""
        crowd = self._arrivals.crowd
        if self._lines or crowd >= in_flight + 1:
            return False
        if in_flight > crowd:
            self._arrivals.crowd = in_flight
        self._alone += 1
        return True

    @property
    def looks(self) -> bool:
        """Whether the time of this call that went alone is of interest: they are many and alike."""
        return self._alone % _SAMPLED == 0

    def push(self, call: Call, in_flight: int) -> None:
        """`in_flight` counts it."""
        now = _now()
        self._arrivals.observe(now, in_flight)
        self._line(call).push(call, now)

    def push_back(self, call: Call) -> None:
        self._line(call).push_back(call, _now())

    def discard(self, call: Call) -> None:
        line = self._lines.get(kind(call))
        if line is not None and line.discard(call) and not line:
            del self._lines[kind(call)]

    def observe(self, size: int, micros: int) -> None:
        """A batch of `size` has kept a permit for so long."""
        self._arrivals.answered(_now())
        self._cost.observe(size, micros * 1e-6)

    def take(self, running: int, in_flight: int, *, only_full: bool = False) -> Sequence[Call]:
        """The next batch for a free worker, or nothing: nobody waits, or waiting pays. `running`: calls in batches."""
        in_vain = self._due
        line = self._choose(running, only_full)
        if line is None:
            return ()
        now, size = _now(), min(len(line), self._policy.size)
        self._note(size, now - line.since)
        key = kind(line.first)
        batch = [line.pop() for _ in range(size)]
        if not line:
            del self._lines[key]
        self._arrivals.dispatched(in_flight, in_vain=in_vain)
        return batch

    def describe(self) -> dict[str, Any]:
        """For /info."""
        batches = self._batches + self._alone
        sizes = {**self._sizes, 0: self._sizes.get(0, 0) + self._alone}
        return {
            "max_batch_size": self._policy.size,
            "batch_interval_seconds": self._policy.interval,
            "waiting": len(self),
            "batches": batches,
            "calls": self._calls + self._alone,
            "sizes": {f"<={2**power}": count for power, count in sorted(sizes.items())},
            "mean_wait_seconds": round(self._waited / batches, 6) if batches else 0.0,
            "fitted_seconds": {"fixed": round(self._cost.fixed, 6), "per_call": round(self._cost.per_call, 6)},
        }

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def calls(self) -> list[Call]:
        """All that wait."""
        found = []
        for line in list(self._lines.values()):
            while line:
                found.append(line.pop())
        self._lines.clear()
        return found

    def _line(self, call: Call) -> Waiting:
        key = kind(call)
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = Waiting()
        return line

    def _choose(self, running: int, only_full: bool) -> Waiting | None:
        """The line whose first call is most urgent, of those that need not wait."""
        now, due = _now(), self._due
        self._due = False
        best, soonest = None, 0.0
        for line in self._lines.values():
            if only_full:
                held = 0.0 if len(line) >= self._policy.size else 1.0
            else:
                held = 0.0 if due else self._hold(line, now, running)
            if held:
                soonest = min(soonest or held, held)
            elif best is None or urgency(line.first) < urgency(best.first):
                best = line
        if best is None and soonest and not only_full:
            self._wait(soonest)
        return best

    def _hold(self, line: Waiting, now: float, running: int) -> float:
        arrivals = self._arrivals
        others = arrivals.crowd - len(self) - running
        situation = batching.Situation(len(line), now - line.since, arrivals.idle(now), arrivals.gap, others)
        return batching.hold(situation, self._policy.size, self._policy.interval, self._cost)

    def _wait(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if seconds < _SHORT:
            # Those whose requests came with this one join; nobody else could be in time.
            self._timer = self._loop.call_soon(self._on_timer)
        else:
            self._timer = self._loop.call_later(max(seconds, _TICK), self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._due = None, True
        self._on_due()

    def _note(self, size: int, waited: float) -> None:
        power = (size - 1).bit_length()
        self._sizes[power] = self._sizes.get(power, 0) + 1
        self._batches += 1
        self._calls += size
        self._waited += waited


def kind(call: Call) -> Hashable:
    """Calls of one kind may share a batch: same path, same media type, same tensors. What they bring along otherwise
    stays theirs: query parameters and headers are lists, too."""
    return call.fields[1], call.fields[3].partition(b";")[0], call.signature
