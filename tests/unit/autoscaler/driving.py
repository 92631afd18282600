"""Drives the rule second by second on a virtual clock, with a load that is a function of time."""

import dataclasses
from collections.abc import Callable

from services.autoscaler import ancestor, explain, model, planner, window


@dataclasses.dataclass(slots=True)
class Drive:
    """One API whose wish is granted at once: after each decision as many replicas are ready as wanted."""

    scaling: model.Scaling
    replicas: int = 1
    now: float = 0.0
    seen: window.Window = dataclasses.field(default_factory=window.Window)
    rule: ancestor.Ancestor = dataclasses.field(default_factory=ancestor.Ancestor)
    memory: planner.Memory[ancestor.Memory] | None = None
    decisions: list[tuple[float, model.Decision]] = dataclasses.field(default_factory=list)

    def second(self, in_flight: float, *, held: int = 0, ready: int | None = None) -> model.Decision:
        """One second passes with so many requests in flight; then it is decided."""
        self.now += 1.0
        self.seen.add(self.now, in_flight + held)
        return self.decide(int(in_flight), held=held, ready=ready)

    def blind_second(self) -> model.Decision:
        """One second without a report."""
        self.now += 1.0
        return self.decide(0, blindness=model.Blindness.NO_REPORT)

    def decide(
        self,
        in_flight: int,
        *,
        held: int = 0,
        ready: int | None = None,
        blindness: model.Blindness | None = None,
    ) -> model.Decision:
        if self.memory is None:
            self.memory = planner.begin(self.rule, self.now)
        average = self.seen.average(self.now, self.scaling.window)
        look = model.Observation(
            current=self.replicas,
            ready=self.replicas if ready is None else ready,
            held=held,
            in_flight=in_flight,
            average_in_flight=average,
            blindness=blindness or (model.Blindness.NO_SAMPLE if average is None else None),
        )
        decision, self.memory = planner.plan(self.rule, self.memory, look, self.scaling, self.now)
        self.decisions.append((self.now, decision))
        self.replicas = decision.desired
        return decision

    def run(self, seconds: int, load: float | Callable[[float], float]) -> None:
        for _ in range(seconds):
            self.second(load(self.now) if callable(load) else load)

    def restart(self) -> None:
        """The autoscaler forgets everything but what the apiserver tells it."""
        self.memory, self.seen = None, window.Window()

    def changes(self) -> list[tuple[float, int]]:
        return [(at, decision.desired) for at, decision in self.decisions if decision.changes]

    def transcript(self) -> list[str]:
        """Runs of equal decisions folded, one line each: from, to, replicas, term, and the last explanation."""
        lines: list[tuple[float, float, model.Decision]] = []
        for at, made in self.decisions:
            if lines and _key(lines[-1][2]) == _key(made):
                lines[-1] = (lines[-1][0], at, made)
            else:
                lines.append((at, at, made))
        return [
            f"{first:4.0f}-{last:4.0f}s {made.current:3d} -> {made.desired:3d}  {made.winning.value}: "
            f"{explain.sentence(made)}"
            for first, last, made in lines
        ]


def _key(made: model.Decision) -> tuple[int, int, model.Term]:
    return made.current, made.desired, made.winning
