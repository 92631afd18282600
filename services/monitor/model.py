"""The words of the monitor: what is counted, who reported it, and over which time.

Times are seconds since the epoch (UTC). A `Tally` is mutable because it is added to a thousand times a second; all else
is frozen.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from services.monitor import custom, sketch

MOST_CLASSES = 1000
SECOND, MINUTE, HOUR = 1, 60, 3600
DAY = 24 * HOUR
LONGEST_WINDOW = 14 * DAY


@dataclasses.dataclass(slots=True, eq=False)
class Tally:
    """What happened within some time. Tallies add up; the order does not matter."""

    requests: dict[int, int] = dataclasses.field(default_factory=dict)
    latency: sketch.Sketch = dataclasses.field(default_factory=sketch.Sketch)
    queue_time: sketch.Sketch = dataclasses.field(default_factory=sketch.Sketch)
    classes: dict[str, int] = dataclasses.field(default_factory=dict)
    values: sketch.Sketch = dataclasses.field(default_factory=sketch.Sketch)
    other_classes: int = 0
    unreadable: int = 0
    lost: int = 0

    def add(self, other: "Tally") -> None:
        for status, count in other.requests.items():
            self.requests[status] = self.requests.get(status, 0) + count
        self.latency.add(other.latency)
        self.queue_time.add(other.queue_time)
        self.values.add(other.values)
        self._add_classes(other.classes)
        self.other_classes += other.other_classes
        self.unreadable += other.unreadable
        self.lost += other.lost

    @property
    def empty(self) -> bool:
        return not (self.requests or self.lost or self.latency.count or self.queue_time.count or self.tracks)

    @property
    def tracks(self) -> bool:
        """Whether predictions are in it."""
        return bool(self.classes or self.values.count or self.other_classes or self.unreadable)

    def requests_within(self, low: int, high: int) -> int:
        return sum(count for status, count in self.requests.items() if low <= status < high)

    def _add_classes(self, classes: Mapping[str, int]) -> None:
        for name, count in classes.items():
            if name in self.classes or len(self.classes) < MOST_CLASSES:
                self.classes[name] = self.classes.get(name, 0) + count
            else:
                self.other_classes += count


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What a replica says it did between `start` and `end`. `lost_total` counts since its process began."""

    api: str
    revision: str
    replica: str
    sequence: int
    start: float
    end: float
    tally: Tally
    in_flight: int = 0
    queued: int = 0
    lost_total: int = 0
    custom_metrics: Sequence[custom.Sample] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Bucket:
    """What a revision did in the `resolution` seconds from `start` on: the unit of what is kept."""

    api: str
    revision: str
    resolution: int
    start: int
    tally: Tally


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """Buckets of one resolution with `begin <= start < end`."""

    resolution: int
    begin: int
    end: int


@dataclasses.dataclass(frozen=True, slots=True)
class Summary:
    """Metrics of an API, a revision or a replica over a window."""

    tally: Tally
    seconds: float
    in_flight: int = 0
    report_time: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class ApiSummary:
    api: str
    start: float
    end: float
    total: Summary
    revisions: Mapping[str, Summary]
    replicas: Mapping[str, Summary]


def add_up(tallies: Sequence[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        total.add(tally)
    return total
