"""The rule of the Cortex of 2019-2023, term by term (its `pkg/autoscaler`, v0.42): in-flight over target, rounded up,
a tolerance, bounded steps, bounds, and two periods in which a number must hold before it counts.

It is asked every second where the ancestor asked itself every ten. The window and both periods mean the same time as
there; what differs is written in README.md.
"""

import dataclasses
import math

from services.autoscaler import model

_Marks = tuple[tuple[float, int], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Memory:
    """Recommendations of the past, kept as the two stairs that their extremes can still come from.

    `highs` falls and `lows` rises from the oldest to the newest (time, recommendation): an older value that a newer one
    outdoes can never be the extreme again. So a noisy hour costs no more than a calm one.
    """

    watched_since: float
    last: float
    highs: _Marks = ()
    lows: _Marks = ()


class Ancestor:
    name = "ancestor"

    def begin(self, now: float) -> Memory:
        return Memory(watched_since=now, last=now)

    def decide(
        self, memory: Memory, seen: model.Observation, scaling: model.Scaling, now: float
    ) -> tuple[tuple[model.Step, ...], Memory]:
        assert seen.average_in_flight is not None
        memory = self._still_watched(memory, scaling, now)
        # At zero replicas nothing can be in flight, and what was before says nothing; held requests are not our matter.
        average = seen.average_in_flight if seen.current else 0.0
        raw = round(average / scaling.target_in_flight, 9)
        steps = _recommend(raw, seen.current, scaling)
        recommendation = int(steps[-1].after)
        memory = _remember(memory, recommendation, scaling, now)
        steps += (_stabilize_down(memory, recommendation, seen.current, scaling, now),)
        steps += (_stabilize_up(memory, int(steps[-1].after), seen.current, scaling, now),)
        return steps, memory

    def _still_watched(self, memory: Memory, scaling: model.Scaling, now: float) -> Memory:
        # Nothing was seen for a whole window: the average has no past left, so the watch begins again, as on restart.
        if now - memory.last > max(scaling.window, 10.0):
            return self.begin(now)
        return memory


def _recommend(raw: float, current: int, scaling: model.Scaling) -> tuple[model.Step, ...]:
    """Terms 1 to 4: everything that does not look back."""
    term = model.Term
    load = _ceil(raw)
    tolerated = current if _within_tolerance(raw, current, scaling) else load
    # One step of one is always allowed, whatever the factors say.
    floor = min(current - 1, _ceil(current * scaling.max_downscale_factor))
    ceiling = max(current + 1, _ceil(current * scaling.max_upscale_factor))
    kept = max(tolerated, floor)
    limited = min(kept, ceiling)
    raised = max(limited, scaling.min_replicas)
    lowered = min(raised, scaling.max_replicas)
    return (
        model.Step(term.LOAD, raw, load),
        model.Step(term.TOLERANCE, load, tolerated),
        model.Step(term.DOWNSCALE_FACTOR, tolerated, kept, floor),
        model.Step(term.UPSCALE_FACTOR, kept, limited, ceiling),
        model.Step(term.MIN_REPLICAS, limited, raised, scaling.min_replicas),
        model.Step(term.MAX_REPLICAS, raised, lowered, scaling.max_replicas),
    )


def _within_tolerance(raw: float, current: int, scaling: model.Scaling) -> bool:
    below = current * (1 - scaling.downscale_tolerance) < raw < current
    above = current < raw < current * (1 + scaling.upscale_tolerance)
    return below or above


def _stabilize_down(
    memory: Memory, recommendation: int, current: int, scaling: model.Scaling, now: float
) -> model.Step:
    period = scaling.downscale_stabilization_period
    answer = recommendation
    if recommendation < current:
        watched = now - memory.watched_since >= period
        answer = max(recommendation, min(current, memory.highs[0][1])) if watched else current
    return model.Step(model.Term.DOWNSCALE_STABILIZATION, recommendation, answer, now - memory.watched_since)


def _stabilize_up(memory: Memory, recommendation: int, current: int, scaling: model.Scaling, now: float) -> model.Step:
    period = scaling.upscale_stabilization_period
    answer = recommendation
    if recommendation > current:
        watched = now - memory.watched_since >= period
        answer = min(recommendation, max(current, memory.lows[0][1])) if watched else current
    return model.Step(model.Term.UPSCALE_STABILIZATION, recommendation, answer, now - memory.watched_since)


def _remember(memory: Memory, recommendation: int, scaling: model.Scaling, now: float) -> Memory:
    highs = _since(memory.highs, now - scaling.downscale_stabilization_period)
    while highs and highs[-1][1] <= recommendation:
        highs = highs[:-1]
    lows = _since(memory.lows, now - scaling.upscale_stabilization_period)
    while lows and lows[-1][1] >= recommendation:
        lows = lows[:-1]
    mark = (now, recommendation)
    return Memory(memory.watched_since, now, (*highs, mark), (*lows, mark))


def _since(marks: _Marks, oldest: float) -> _Marks:
    while marks and marks[0][0] < oldest:
        marks = marks[1:]
    return marks


def _ceil(value: float) -> int:
    # An average of whole numbers must not become one replica more by its last bit.
    return math.ceil(round(value, 9))
