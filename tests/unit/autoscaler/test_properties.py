"""What holds for every load and every setting."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from services.autoscaler import ancestor, explain, model, planner
from tests.unit.autoscaler.driving import Drive


@st.composite
def scalings(draw: st.DrawFn) -> model.Scaling:
    lowest = draw(st.integers(0, 5))
    return model.Scaling(
        min_replicas=lowest,
        max_replicas=draw(st.integers(max(1, lowest), 40)),
        target_in_flight=draw(st.sampled_from([0.5, 1.0, 3.0, 16.0])),
        window=draw(st.sampled_from([1.0, 5.0, 30.0])),
        downscale_stabilization_period=draw(st.sampled_from([0.0, 3.0, 20.0])),
        upscale_stabilization_period=draw(st.sampled_from([0.0, 3.0, 20.0])),
        max_downscale_factor=draw(st.floats(0.0, 0.99)),
        max_upscale_factor=draw(st.floats(1.01, 10.0)),
        downscale_tolerance=draw(st.floats(0.0, 0.5)),
        upscale_tolerance=draw(st.floats(0.0, 0.5)),
    )


loads = st.lists(st.tuples(st.integers(1, 20), st.integers(0, 200)), min_size=1, max_size=6)


def drive(scaling: model.Scaling, load: list[tuple[int, int]], first: int) -> Drive:
    driven = Drive(scaling, replicas=scaling.clamp(first))
    for seconds, in_flight in load:
        driven.run(seconds, in_flight)
    return driven


@settings(max_examples=60)
@given(scalings(), loads, st.integers(0, 40))
def test_bounds_and_factors_hold_and_the_words_fit(
    scaling: model.Scaling, load: list[tuple[int, int]], first: int
) -> None:
    for _, made in drive(scaling, load, first).decisions:
        assert scaling.min_replicas <= made.desired <= scaling.max_replicas
        highest = max(made.current + 1, math.ceil(made.current * scaling.max_upscale_factor), scaling.min_replicas)
        lowest = min(made.current - 1, math.floor(made.current * scaling.max_downscale_factor))
        assert lowest <= made.desired <= highest
        assert 0 < len(explain.sentence(made)) <= 1024
        assert made.steps[-1].after == made.desired
        assert all(explain.detail(step, made) for step in made.steps)


@settings(max_examples=40)
@given(scalings(), loads, st.integers(0, 40))
def test_the_same_load_gives_the_same_decisions(
    scaling: model.Scaling, load: list[tuple[int, int]], first: int
) -> None:
    assert drive(scaling, load, first).transcript() == drive(scaling, load, first).transcript()


@settings(max_examples=40)
@given(scalings(), loads, st.integers(0, 40))
def test_a_decision_leaves_what_it_was_given_alone(
    scaling: model.Scaling, load: list[tuple[int, int]], first: int
) -> None:
    driven = drive(scaling, load, first)
    before = driven.memory
    assert before is not None
    seen = driven.decisions[-1][1].seen
    one = planner.plan(ancestor.Ancestor(), before, seen, scaling, driven.now + 1)
    other = planner.plan(ancestor.Ancestor(), before, seen, scaling, driven.now + 1)
    assert one == other


@settings(max_examples=40)
@given(scalings(), st.integers(0, 200), st.integers(0, 40))
def test_a_constant_load_settles(scaling: model.Scaling, in_flight: int, first: int) -> None:
    driven = drive(scaling, [(2000, in_flight)], first)
    assert [made for at, made in driven.decisions if made.changes and at > 1900] == []


@settings(max_examples=60)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.sampled_from([0.0, 5.0, 25.0]))
def test_the_stairs_remember_the_extremes_of_the_period(numbers: list[int], period: float) -> None:
    scaling = model.Scaling(downscale_stabilization_period=period, upscale_stabilization_period=period)
    memory = ancestor.Ancestor().begin(0.0)
    for now, number in enumerate(numbers):
        memory = ancestor._remember(memory, number, scaling, float(now))
        recent = numbers[max(0, now - int(period)) : now + 1]
        assert (memory.highs[0][1], memory.lows[0][1]) == (max(recent), min(recent))
