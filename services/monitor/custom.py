"""Metrics of the users' own: the latest of a gauge, the sum of a counter, the distribution of a histogram.

They are for Prometheus only: kept in memory as long as their revision is known, and gone with a restart.
"""

import dataclasses
from collections.abc import Iterable

from services.monitor import sketch

MOST_SERIES = 1000
Tags = tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One series of a report. `value` is the gauge's value, the counter's increase or the histogram's values."""

    kind: str
    name: str
    tags: Tags
    value: "float | sketch.Sketch"


class Series:
    """All of one revision. The first kind of a name is its kind."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str, Tags], float | sketch.Sketch] = {}
        self._kinds: dict[str, str] = {}
        self.refused = 0

    def add(self, samples: Iterable[Sample]) -> None:
        for sample in samples:
            key = (sample.kind, sample.name, sample.tags)
            known = self._numbers.get(key)
            full = known is None and len(self._numbers) >= MOST_SERIES
            if full or self._kinds.setdefault(sample.name, sample.kind) != sample.kind:
                self.refused += 1
            elif known is None or sample.kind == "gauge":
                self._numbers[key] = sample.value
            elif isinstance(known, sketch.Sketch) and isinstance(sample.value, sketch.Sketch):
                known.add(sample.value)
            elif isinstance(known, float) and isinstance(sample.value, float):
                self._numbers[key] = known + sample.value

    def all(self) -> list[Sample]:
        return [Sample(*key, value) for key, value in self._numbers.items()]
