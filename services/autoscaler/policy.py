"""What every scaling policy promises, so that another one is a file and a line in `__main__`.

A policy is a pure function over values: what it has to remember is a value it returns and gets back next time. It is
asked only when the load is known and the number of replicas can be judged (`planner.py`), about once a second.
"""

from typing import Protocol, TypeVar

from services.autoscaler import model

M = TypeVar("M")


class Policy(Protocol[M]):
    @property
    def name(self) -> str:
        """Shown with every decision."""
        ...

    def begin(self, now: float) -> M:
        """What is remembered of an API seen for the first time."""
        ...

    def decide(
        self, memory: M, seen: model.Observation, scaling: model.Scaling, now: float
    ) -> tuple[tuple[model.Step, ...], M]:
        """The terms applied, in order; the number the last one left is the answer. `average_in_flight` is not None."""
        ...
