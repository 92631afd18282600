"""The ancestor's rule against the worked cases of its description (reference cortex.md, section 5)."""

import itertools

import pytest

from services.autoscaler import ancestor, model
from tests.unit.autoscaler.driving import Drive

T = model.Term
# Both periods off: what remains is the step itself.
STEP = model.Scaling(
    min_replicas=0, max_replicas=1000, downscale_stabilization_period=0, upscale_stabilization_period=0
)


def step(current: int, average: float, scaling: model.Scaling = STEP) -> dict[model.Term, float]:
    rule = ancestor.Ancestor()
    seen = model.Observation(current, current, 0, 0, average)
    steps, _ = rule.decide(rule.begin(0.0), seen, scaling, 0.0)
    return {item.term: item.after for item in steps}


@pytest.mark.parametrize(
    ("current", "average", "term", "after"),
    [
        # raw = average / target, rounded up
        (10, 10.0, T.LOAD, 10),
        (10, 10.0001, T.LOAD, 11),
        (10, 12.000000000000002, T.LOAD, 12),
        # tolerance 5 %: strictly inside keeps the number, the edge does not
        (100, 95.0, T.TOLERANCE, 95),
        (100, 95.01, T.TOLERANCE, 100),
        (100, 104.99, T.TOLERANCE, 100),
        (100, 105.0, T.TOLERANCE, 105),
        (100, 105.01, T.TOLERANCE, 106),
        # one step down keeps 75 %, rounded up, but one less is always allowed
        (100, 1.0, T.DOWNSCALE_FACTOR, 75),
        (10, 1.0, T.DOWNSCALE_FACTOR, 8),
        (3, 1.0, T.DOWNSCALE_FACTOR, 2),
        (2, 0.0, T.DOWNSCALE_FACTOR, 1),
        (1, 0.0, T.DOWNSCALE_FACTOR, 0),
        # one step up goes to 150 %, rounded up, and one more is always allowed
        (1, 900.0, T.UPSCALE_FACTOR, 2),
        (2, 900.0, T.UPSCALE_FACTOR, 3),
        (3, 900.0, T.UPSCALE_FACTOR, 5),
        (100, 900.0, T.UPSCALE_FACTOR, 150),
    ],
)
def test_each_term(current: int, average: float, term: model.Term, after: int) -> None:
    assert step(current, average)[term] == after


def test_a_small_factor_still_allows_a_step_of_one() -> None:
    timid = model.Scaling(min_replicas=0, max_upscale_factor=1.01, max_downscale_factor=0.99)
    assert step(5, 50.0, timid)[T.UPSCALE_FACTOR] == 6
    assert step(5, 0.0, timid)[T.DOWNSCALE_FACTOR] == 4


def test_bounds() -> None:
    bounded = model.Scaling(min_replicas=4, max_replicas=6)
    assert step(5, 0.0, bounded)[T.MIN_REPLICAS] == 4
    assert step(5, 100.0, bounded)[T.MAX_REPLICAS] == 6


def test_the_target_divides() -> None:
    assert step(1, 10.0, model.Scaling(target_in_flight=10.0))[T.LOAD] == 1
    assert step(1, 10.1, model.Scaling(target_in_flight=10.0))[T.LOAD] == 2


def test_one_to_a_hundred_takes_eleven_steps_a_minute_apart() -> None:
    drive = Drive(model.Scaling(max_replicas=100))
    drive.run(14 * 60, 1000.0)
    numbers = [desired for _, desired in drive.changes()]
    assert numbers == [2, 3, 5, 8, 12, 18, 27, 41, 62, 93, 100]
    times = [at for at, _ in drive.changes()]
    # Watched from the first second on; the first step after one period, each next after one more.
    assert times[0] == 61.0
    assert {later - earlier for earlier, later in itertools.pairwise(times)} == {61.0}


def test_nothing_goes_down_before_it_was_watched_for_the_period() -> None:
    drive = Drive(model.Scaling(), replicas=4)
    drive.run(300, 0.0)
    assert drive.changes() == []
    assert drive.decisions[-1][1].winning is T.DOWNSCALE_STABILIZATION
    drive.run(1, 0.0)
    assert drive.changes() == [(301.0, 3)]


def test_the_highest_wish_of_the_period_counts_for_a_step_down() -> None:
    drive = Drive(model.Scaling(window=1.0), replicas=4)
    drive.run(310, 4.0)
    drive.run(250, 1.0)
    drive.run(1, 4.0)
    drive.run(300, 1.0)
    assert drive.changes() == []
    drive.run(1, 1.0)
    assert drive.changes() == [(862.0, 3)]


def test_the_lowest_wish_of_the_period_counts_for_a_step_up() -> None:
    drive = Drive(model.Scaling(window=1.0, max_upscale_factor=10.0), replicas=1)
    drive.run(100, 1.0)
    drive.run(30, 5.0)
    drive.run(1, 3.0)
    drive.run(60, 5.0)
    # For a minute after the dip no more than the dip is granted, and only once the old ones are out of sight.
    assert drive.changes() == [(161.0, 3)]
    drive.run(1, 5.0)
    assert drive.changes() == [(161.0, 3), (192.0, 5)]


def test_a_restart_forgets_and_watches_again() -> None:
    drive = Drive(model.Scaling(), replicas=2)
    drive.run(1000, 2.0)
    drive.restart()
    drive.run(60, 10.0)
    assert drive.changes() == []
    drive.run(1, 10.0)
    assert drive.changes() == [(1061.0, 3)]


def test_a_hole_shorter_than_the_window_is_no_restart() -> None:
    drive = Drive(model.Scaling(), replicas=2)
    drive.run(400, 2.0)
    for _ in range(50):
        assert not drive.blind_second().changes
    drive.run(61, 10.0)
    assert drive.changes()[0][1] == 3
    late = Drive(model.Scaling(), replicas=2)
    late.run(400, 2.0)
    for _ in range(61):
        late.blind_second()
    late.run(60, 10.0)
    assert late.changes() == []


def test_no_stabilization_is_the_fastest_setting() -> None:
    fast = model.Scaling(window=1.0, upscale_stabilization_period=0.0)
    drive = Drive(fast)
    drive.run(4, 100.0)
    assert drive.changes() == [(1.0, 2), (2.0, 3), (3.0, 5), (4.0, 8)]
