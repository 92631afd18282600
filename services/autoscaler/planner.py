"""One decision about one API: may it be judged, does a held request ask for a replica, and else what the policy says.

Pure. The guards here hold for every policy: nothing is decided blindly, bounds always hold, and an API that somebody
waits for, or waited for a moment ago, does not go to zero.
"""

import dataclasses
import math
from typing import Generic, TypeVar

from services.autoscaler import model, policy

M = TypeVar("M")


@dataclasses.dataclass(frozen=True, slots=True)
class Memory(Generic[M]):
    """What is remembered of an API from one decision to the next. `held_at` is when a request was last held."""

    held_at: float | None
    rule: M


def begin(rule: policy.Policy[M], now: float) -> Memory[M]:
    return Memory(None, rule.begin(now))


def plan(
    rule: policy.Policy[M], memory: Memory[M], seen: model.Observation, scaling: model.Scaling, now: float
) -> tuple[model.Decision, Memory[M]]:
    remembered = memory.rule
    held_at = now if seen.held else memory.held_at
    if seen.held and seen.current == 0:
        steps = _activate(seen, scaling)
    elif seen.blindness is not None:
        steps = (model.Step(model.Term.NO_DATA, seen.current, seen.current),)
    elif seen.ready == 0 and seen.current > 0:
        # Nothing serves, so nothing is in flight, and that says nothing about how many are needed.
        term = model.Term.ACTIVATION if seen.held else model.Term.NOT_READY
        steps = (model.Step(term, seen.current, seen.current, seen.held),)
    else:
        steps, remembered = rule.decide(memory.rule, seen, scaling, now)
        steps = _stay_awake(steps, seen.current, held_at, scaling, now)
    steps = _bound(steps, scaling)
    decision = model.Decision(rule.name, int(steps[-1].after), _winner(steps), steps, seen, scaling)
    return decision, Memory(held_at, remembered)


def _activate(seen: model.Observation, scaling: model.Scaling) -> tuple[model.Step, ...]:
    wanted = max(1, math.ceil(seen.held / scaling.target_in_flight))
    return (model.Step(model.Term.ACTIVATION, seen.current, wanted, seen.held),)


def _stay_awake(
    steps: tuple[model.Step, ...], current: int, held_at: float | None, scaling: model.Scaling, now: float
) -> tuple[model.Step, ...]:
    left = steps[-1].after
    # Zero that somebody else ordered stays: this keeps replicas, it does not start them.
    if current == 0:
        return steps
    # As long as the ancestor waited after waking an API, and never less than the window its average needs to fill.
    grace = max(scaling.window, scaling.downscale_stabilization_period)
    if left >= 1 or held_at is None or now - held_at >= grace:
        return steps
    return (*steps, model.Step(model.Term.ACTIVATION, left, 1, 0))


def _bound(steps: tuple[model.Step, ...], scaling: model.Scaling) -> tuple[model.Step, ...]:
    # A changed bound counts at once, also while the rest is held.
    left = steps[-1].after
    if left < scaling.min_replicas:
        return (*steps, model.Step(model.Term.MIN_REPLICAS, left, scaling.min_replicas, scaling.min_replicas))
    if left > scaling.max_replicas:
        return (*steps, model.Step(model.Term.MAX_REPLICAS, left, scaling.max_replicas, scaling.max_replicas))
    return steps


def _winner(steps: tuple[model.Step, ...]) -> model.Term:
    """The last term that changed the number; the first when none did."""
    for step in reversed(steps):
        if step.before != step.after:
            return step.term
    return steps[0].term
