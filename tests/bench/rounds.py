"""Interleaved rounds and what they say: only ratios inside one round mean anything on a machine that is shared."""

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """One system under load for some seconds."""

    rps: float
    p50: float  # ms
    p99: float
    cpu: float  # microseconds of the system's processes per request
    errors: int


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """A measured number beside what was promised. `must` and `stretch` read like `>= 0.8`."""

    what: str
    must: str
    stretch: str
    predicted: str
    values: Sequence[float]
    note: str = ""

    @property
    def value(self) -> float:
        return statistics.median(self.values)

    @property
    def holds(self) -> bool:
        sign, _, limit = self.must.partition(" ")
        return self.value >= float(limit) if sign == ">=" else self.value <= float(limit)

    def line(self) -> str:
        low, high = min(self.values), max(self.values)
        shown = f"**{self.value:.3g}** ({low:.3g}-{high:.3g})"
        verdict = "yes" if self.holds else "**no**"
        return f"| {self.what} | {self.predicted} | {self.must} | {self.stretch} | {shown} | {verdict} | {self.note} |"


HEADER = "| what | predicted | must | stretch | median (least-most) | holds | note |\n|---|---|---|---|---|---|---|"


def interleaved(measures: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Each measure once a round; the order turns round by round, so that no drift favours one of them."""
    found: dict[str, list[T]] = {name: [] for name in measures}
    for number in range(rounds):
        names = list(measures)
        for name in names if number % 2 == 0 else reversed(names):
            found[name].append(measures[name]())
    return found


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Of the same rounds."""
    return [one / other for one, other in zip(ours, theirs, strict=True) if other]


def told(cells: Mapping[str, Sequence[Cell]]) -> str:
    """The absolute numbers behind a ratio, for who wants to see them."""
    parts = []
    for name, seen in cells.items():
        rps, p50, p99, cpu = (
            statistics.median(getattr(cell, key) for cell in seen) for key in ("rps", "p50", "p99", "cpu")
        )
        failed = sum(cell.errors for cell in seen)
        errors = f", {failed} errors" if failed else ""
        parts.append(f"{name} {rps:.0f} rps, p50/p99 {p50:.3g}/{p99:.3g} ms, {cpu:.0f} us{errors}")
    return "; ".join(parts)
