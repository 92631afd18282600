"""Quantiles are true to one percent against the exact ones, and sketches add up in any order."""

import random

import hypothesis
import hypothesis.strategies as st
import pytest

from services.monitor import sketch

_VALUES = st.one_of(st.just(0.0), st.floats(1e-8, 1e8), st.floats(-1e8, -1e-8))
_LISTS = st.lists(_VALUES, min_size=1, max_size=60)
_QUANTILES = (0.0, 0.25, 0.5, 0.9, 0.99, 1.0)


def made(values: list[float]) -> sketch.Sketch:
    one = sketch.Sketch()
    for value in values:
        one.insert(value)
    return one


def shape(one: sketch.Sketch) -> tuple[object, ...]:
    return (one.bins, one.negative, one.zero, one.count, one.low, one.high)


def exact(values: list[float], q: float) -> float:
    return sorted(values)[int(q * (len(values) - 1))]


@hypothesis.given(_LISTS)
def test_quantiles_are_within_one_percent(values: list[float]) -> None:
    one = made(values)
    for q in _QUANTILES:
        assert one.quantile(q) == pytest.approx(exact(values, q), rel=sketch.RELATIVE_ACCURACY * 1.0001, abs=1e-9)


@hypothesis.given(_LISTS, _LISTS, _LISTS)
def test_adding_is_the_same_in_any_order_and_grouping(a: list[float], b: list[float], c: list[float]) -> None:
    left, right, whole = made(a), made(b), made(a + b + c)
    left.add(made(b))
    left.add(made(c))
    right.add(made(c))
    right.add(made(a))
    assert shape(left) == shape(right) == shape(whole)
    assert left.total == pytest.approx(whole.total, rel=1e-9, abs=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_latencies_as_they_are(seed: int) -> None:
    rng = random.Random(seed)
    values = [rng.lognormvariate(-4, 1.5) for _ in range(20_000)]
    one = made(values)
    for q in (0.5, 0.9, 0.95, 0.99, 0.999):
        assert one.quantile(q) == pytest.approx(exact(values, q), rel=sketch.RELATIVE_ACCURACY)
    assert one.total / one.count == pytest.approx(sum(values) / len(values))


@hypothesis.given(st.floats(1e-9, 1e9))
def test_a_bin_holds_what_the_contract_says(value: float) -> None:
    index = sketch.bin_of(value)
    assert sketch.GAMMA ** (index - 1) * (1 - 1e-9) <= value <= sketch.GAMMA**index * (1 + 1e-9)


def test_nothing_counted() -> None:
    empty = sketch.Sketch()
    empty.add(sketch.Sketch())
    assert (empty.quantile(0.5), empty.count, empty.low, empty.high) == (0.0, 0, 0.0, 0.0)


def test_extremes_survive_an_empty_neighbour() -> None:
    one = sketch.Sketch()
    one.add(made([3.0, 5.0]))
    one.add(sketch.Sketch())
    assert (one.low, one.high) == (3.0, 5.0)


def test_bins_are_bounded_and_only_the_smallest_suffer() -> None:
    one = sketch.Sketch()
    one.bins = {index: 1 for index in range(-6000, 1)}
    one.count, one.low, one.high = 6001, 0.0, 1.0
    other = made([1.0])
    one.add(other)
    assert len(one.bins) == sketch.MOST_BINS
    assert sum(one.bins.values()) == one.count == 6002
    assert one.quantile(0.9) == pytest.approx(sketch.value_of(int(-6000 * 0.1)), rel=0.02)


@hypothesis.given(_LISTS, _LISTS)
def test_cumulative_counts_only_rise_and_are_right_but_for_a_percent(a: list[float], b: list[float]) -> None:
    bounds = [-1.0, 0.5, 1.0, 100.0, 1e9]
    before, one = made(a).cumulative(bounds), made(a)
    one.add(made(b))
    after = one.cumulative(bounds)
    assert after == sorted(after)
    assert all(late >= early for early, late in zip(before, after, strict=True))
    for bound, count in zip(bounds, after, strict=True):
        reach = abs(bound) * 0.0101
        assert sum(v <= bound - reach for v in a + b) <= count <= sum(v <= bound + reach for v in a + b)
