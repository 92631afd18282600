"""The guards around every policy: nothing blindly, bounds always, and no zero under somebody who waits."""

import pytest

from services.autoscaler import explain, model
from tests.unit.autoscaler.driving import Drive

T = model.Term
ZERO = model.Scaling(min_replicas=0, max_replicas=8, target_in_flight=4.0)


@pytest.mark.parametrize(("held", "replicas"), [(1, 1), (4, 1), (5, 2), (9, 3), (500, 8)])
def test_held_requests_wake_an_api(held: int, replicas: int) -> None:
    drive = Drive(ZERO, replicas=0)
    decision = drive.second(0.0, held=held, ready=0)
    assert (decision.desired, decision.winning) == (replicas, T.MAX_REPLICAS if held == 500 else T.ACTIVATION)


def test_an_api_is_woken_without_any_report() -> None:
    drive = Drive(ZERO, replicas=0)
    drive.now = 1.0
    decision = drive.decide(0, held=2, blindness=model.Blindness.APISERVER_SILENT)
    assert (decision.desired, decision.winning) == (1, T.ACTIVATION)
    assert explain.sentence(decision) == "0 -> 1 replicas: held requests: 2, at 4 a replica worth 1"


def test_nothing_ready_keeps_the_number() -> None:
    drive = Drive(model.Scaling(min_replicas=1), replicas=5)
    for _ in range(1000):
        assert drive.second(0.0, ready=0).winning is T.NOT_READY
    assert drive.replicas == 5
    assert drive.second(0.0, held=3, ready=0).winning is T.ACTIVATION
    assert drive.replicas == 5


@pytest.mark.parametrize("blindness", list(model.Blindness))
def test_blind_means_hold(blindness: model.Blindness) -> None:
    drive = Drive(model.Scaling(), replicas=5)
    drive.now = 1000.0
    decision = drive.decide(90, blindness=blindness)
    assert (decision.desired, decision.winning) == (5, T.NO_DATA)
    assert blindness.value in explain.sentence(decision)


def test_changed_bounds_count_at_once() -> None:
    drive = Drive(model.Scaling(min_replicas=3, max_replicas=4), replicas=1)
    decision = drive.second(0.0)
    assert (decision.desired, decision.winning) == (3, T.MIN_REPLICAS)
    drive.replicas = 9
    decision = drive.second(9.0)
    assert (decision.desired, decision.winning) == (4, T.MAX_REPLICAS)
    drive.replicas = 9
    drive.now += 1.0
    assert drive.decide(0, blindness=model.Blindness.NO_REPORT).desired == 4


def test_to_zero_and_back() -> None:
    drive = Drive(model.Scaling(min_replicas=0))
    drive.run(100, 1.0)
    drive.run(1000, 0.0)
    # 60 s until the window is empty, then 300 s as the highest wish of the period.
    assert drive.changes() == [(460.0, 0)]
    assert drive.second(0.0, held=1, ready=0).desired == 1
    drive.run(5, 1.0)
    drive.run(200, 0.0)
    assert drive.replicas == 1


def test_a_woken_api_lives_for_a_window_even_without_stabilization() -> None:
    quick = model.Scaling(min_replicas=0, window=20.0, downscale_stabilization_period=0.0)
    drive = Drive(quick, replicas=0)
    drive.second(0.0, held=1, ready=0)
    # The replica is ready at once and no request follows.
    drive.run(19, 0.0)
    assert drive.replicas == 1
    drive.run(1, 0.0)
    assert drive.changes() == [(1.0, 1), (21.0, 0)]


def test_a_wake_outlasts_a_window_that_saw_nothing() -> None:
    quick = model.Scaling(min_replicas=0, window=20.0, downscale_stabilization_period=0.0)
    drive = Drive(quick, replicas=0)
    drive.now = 5.0
    drive.decide(0, held=1)
    decision = drive.second(0.0)
    assert (decision.desired, decision.winning) == (1, T.ACTIVATION)


def test_zero_ordered_by_hand_stays_zero() -> None:
    drive = Drive(model.Scaling(min_replicas=0))
    drive.run(200, 1.0)
    drive.second(0.0, held=1)
    drive.replicas = 0
    drive.run(300, 0.0)
    assert drive.changes() == []
