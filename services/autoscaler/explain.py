"""Decisions in words, with their numbers. Written only when somebody reads them: a log line, an event, an RPC."""

from collections.abc import Callable, Mapping

from services.autoscaler import model

_LONGEST = 1024


def sentence(decision: model.Decision) -> str:
    """One sentence: what was decided, and the term that decided it. At most 1 KiB."""
    winner = next(step for step in reversed(decision.steps) if step.term is decision.winning)
    verb = f"{decision.current} -> {decision.desired} replicas" if decision.changes else f"stays at {decision.desired}"
    words = [f"{verb}: {detail(winner, decision)}"]
    first = decision.steps[0]
    if first.term is model.Term.LOAD and winner.term is not model.Term.LOAD:
        words.append(f"({detail(first, decision)})")
    return " ".join(words)[:_LONGEST]


def detail(step: model.Step, decision: model.Decision) -> str:
    """What one term did."""
    return _WORDS[step.term](step, decision)


def _load(step: model.Step, decision: model.Decision) -> str:
    average = decision.seen.average_in_flight or 0.0
    target, window = decision.scaling.target_in_flight, decision.scaling.window
    if decision.current == 0:
        return "from zero only a held request asks for a replica"
    return (
        f"{average:.2f} requests in flight on average over {window:g} s, at {target:g} a replica, "
        f"are worth {step.before:.2f}, rounded up {_n(step.after)}"
    )


def _down(step: model.Step, decision: model.Decision) -> str:
    period = decision.scaling.downscale_stabilization_period
    if step.before >= decision.current:
        return "not a step down"
    if step.against < period:
        return f"no step down to {_n(step.before)} before {period:g} s of watching ({step.against:.0f} s so far)"
    return f"the highest number wanted in the last {period:g} s counts for a step down: {_n(step.after)}"


def _up(step: model.Step, decision: model.Decision) -> str:
    period = decision.scaling.upscale_stabilization_period
    if step.before <= decision.current:
        return "not a step up"
    if step.against < period:
        return f"no step up to {_n(step.before)} before {period:g} s of watching ({step.against:.0f} s so far)"
    return f"the lowest number wanted in the last {period:g} s counts for a step up: {_n(step.after)}"


def _activation(step: model.Step, decision: model.Decision) -> str:
    held = decision.seen.held
    if step.against == 0:
        return "a request was held here a short while ago, so one replica stays"
    if decision.current == 0:
        return f"held requests: {held}, at {decision.scaling.target_in_flight:g} a replica worth {_n(step.after)}"
    return f"held requests: {held}, waiting for the first of {_n(step.after)} replicas to get ready"


def _tolerance(step: model.Step, decision: model.Decision) -> str:
    if step.before == step.after:
        return "the tolerance around the present number does not apply"
    return f"the load is within the tolerance around {_n(step.after)} replicas"


def _down_factor(step: model.Step, decision: model.Decision) -> str:
    return f"max_downscale_factor {decision.scaling.max_downscale_factor:g} lets one step go down to {_n(step.against)}"


def _up_factor(step: model.Step, decision: model.Decision) -> str:
    return f"max_upscale_factor {decision.scaling.max_upscale_factor:g} lets one step go up to {_n(step.against)}"


def _blind(step: model.Step, decision: model.Decision) -> str:
    assert decision.seen.blindness is not None
    return decision.seen.blindness.value


def _n(replicas: float) -> str:
    return f"{replicas:.0f}"


_WORDS: Mapping[model.Term, Callable[[model.Step, model.Decision], str]] = {
    model.Term.LOAD: _load,
    model.Term.TOLERANCE: _tolerance,
    model.Term.DOWNSCALE_FACTOR: _down_factor,
    model.Term.UPSCALE_FACTOR: _up_factor,
    model.Term.MIN_REPLICAS: lambda step, decision: f"min_replicas is {decision.scaling.min_replicas}",
    model.Term.MAX_REPLICAS: lambda step, decision: f"max_replicas is {decision.scaling.max_replicas}",
    model.Term.DOWNSCALE_STABILIZATION: _down,
    model.Term.UPSCALE_STABILIZATION: _up,
    model.Term.NO_DATA: _blind,
    model.Term.ACTIVATION: _activation,
    model.Term.NOT_READY: lambda step, decision: f"none of {_n(step.after)} replicas is ready: the load says nothing",
}
