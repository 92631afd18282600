"""What happened when: counts by second for short looks back, by minute and hour for longer ones, all bounded.

A window is served by the finest buckets that still reach back to its beginning, so its beginning is rounded down to a
whole bucket. Summaries tell the beginning they really have.
"""

from collections.abc import Iterable, Mapping, Sequence

from services.monitor import model

SECONDS_KEPT = 120
MINUTES_KEPT = 75 * model.MINUTE
HOURS_KEPT = 2 * model.HOUR
OF_REPLICA: Mapping[int, int] = {model.SECOND: SECONDS_KEPT, model.MINUTE: MINUTES_KEPT}
OF_REVISION: Mapping[int, int] = {**OF_REPLICA, model.HOUR: HOURS_KEPT}
IN_MEMORY = MINUTES_KEPT - 10 * model.MINUTE  # the longest window that needs no database


def floor(at: float, resolution: int) -> int:
    return int(at // resolution) * resolution


def spans(start: float, end: float) -> Sequence[model.Span]:
    """The buckets that make up a window: seconds, or minutes, or hours with minutes at both ends."""
    until = int(end) + 1
    if end - start <= SECONDS_KEPT - 10:
        return [model.Span(model.SECOND, floor(start, model.SECOND), until)]
    begin = floor(start, model.MINUTE)
    if end - start <= IN_MEMORY:
        return [model.Span(model.MINUTE, begin, until)]
    first_hour, last_hour = -floor(-begin, model.HOUR), floor(end, model.HOUR)
    return [
        model.Span(model.MINUTE, begin, first_hour),
        model.Span(model.HOUR, first_hour, last_hour),
        model.Span(model.MINUTE, last_hour, until),
    ]


class Timeline:
    """Buckets by resolution and start. `kept` tells how many seconds back each resolution reaches."""

    def __init__(self, kept: Mapping[int, int]) -> None:
        self._kept = kept
        self._buckets: dict[int, dict[int, model.Tally]] = {resolution: {} for resolution in kept}

    def add(self, at: float, tally: model.Tally) -> Iterable[tuple[int, int]]:
        """Counts `tally` at `at`; returns the buckets it went to as (resolution, start)."""
        touched = [(resolution, floor(at, resolution)) for resolution in self._kept]
        for resolution, start in touched:
            self.bucket(resolution, start).add(tally)
        return touched

    def bucket(self, resolution: int, start: int) -> model.Tally:
        return self._buckets[resolution].setdefault(start, model.Tally())

    def find(self, resolution: int, start: int) -> model.Tally | None:
        return self._buckets[resolution].get(start)

    def within(self, span: model.Span) -> Mapping[int, model.Tally]:
        found = self._buckets.get(span.resolution, {})
        return {start: tally for start, tally in found.items() if span.begin <= start < span.end}

    def forget(self, now: float, spare: frozenset[tuple[int, int]] | set[tuple[int, int]] = frozenset()) -> None:
        """Drops what is older than it need be, but for the buckets in `spare`."""
        for resolution, buckets in self._buckets.items():
            oldest = floor(now, resolution) - self._kept[resolution]
            for start in [s for s in buckets if s < oldest and (resolution, s) not in spare]:
                del buckets[start]

    @property
    def empty(self) -> bool:
        return not any(self._buckets.values())
