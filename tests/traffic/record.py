"""What became of every request a driver sent, by phase and protocol, and the table that says it."""

import collections
import dataclasses
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One request. `problem` is empty when it succeeded; `start` and `seconds` are on the driver's monotonic clock."""

    phase: str
    protocol: str
    start: float
    seconds: float
    problem: str = ""
    served_by: str = ""


@dataclasses.dataclass
class Record:
    """All outcomes of a run. Every request sent is in here exactly once: `sent` counts them independently."""

    outcomes: list[Outcome] = dataclasses.field(default_factory=list)
    sent: int = 0

    def failed(self, phase: str | None = None) -> list[Outcome]:
        return [o for o in self.outcomes if o.problem and phase in (None, o.phase)]

    def served_by(self) -> set[str]:
        return {o.served_by for o in self.outcomes if o.served_by}

    def count(self, phase: str | None = None) -> int:
        return sum(phase in (None, o.phase) for o in self.outcomes)

    def table(self) -> str:
        """One line per phase and protocol: sent, failed, p50, p99, and the commonest problem."""
        groups: dict[tuple[str, str], list[Outcome]] = collections.defaultdict(list)
        for outcome in self.outcomes:
            groups[(outcome.phase, outcome.protocol)].append(outcome)
        rows = [
            f"{'phase':34} {'protocol':8} {'sent':>7} {'failed':>7} {'p50 ms':>8} {'p99 ms':>9} {'max ms':>9}  problems"
        ]
        for (phase, protocol), group in groups.items():
            problems = collections.Counter(o.problem for o in group if o.problem).most_common(3)
            times = sorted(o.seconds * 1000 for o in group)
            failed = sum(bool(o.problem) for o in group)
            rows.append(
                f"{phase[:34]:34} {protocol:8} {len(group):7} {failed:7} {quantile(times, 0.5):8.1f}"
                f" {quantile(times, 0.99):9.1f} {times[-1]:9.1f}  " + "; ".join(f"{n} x {p}" for p, n in problems)
            )
        total = len(self.outcomes)
        rows.append(f"total: {self.sent} sent, {total} accounted for, {len(self.failed())} failed")
        return "\n".join(rows)


def quantile(ordered: Iterable[float], q: float) -> float:
    values = list(ordered)
    return values[min(len(values) - 1, int(q * len(values)))] if values else float("nan")
