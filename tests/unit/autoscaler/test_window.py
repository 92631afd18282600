"""A time average with holes."""

import pytest

from services.autoscaler import window


def test_the_average_covers_the_window_and_no_more() -> None:
    seen = window.Window()
    for second in range(1, 11):
        seen.add(float(second), float(second))
    assert seen.average(10.0, 10.0) == 5.5
    assert seen.average(10.0, 4.0) == 8.5
    assert seen.average(10.0, 1.0) == 10.0


def test_a_hole_is_not_counted() -> None:
    seen = window.Window()
    for second in (1.0, 2.0, 3.0, 30.0, 31.0):
        seen.add(second, 6.0 if second < 10 else 1.0)
    assert seen.average(31.0, 60.0) == pytest.approx((3 * 6.0 + 2 * 1.0) / 5)
    assert seen.average(31.0, 10.0) == 1.0
    assert seen.average(100.0, 10.0) is None


def test_an_empty_window_has_no_average() -> None:
    assert window.Window().average(1.0, 60.0) is None


def test_samples_weigh_what_they_stand_for() -> None:
    seen = window.Window()
    seen.add(1.0, 0.0)
    seen.add(1.5, 8.0)
    seen.add(3.0, 2.0)
    assert seen.average(3.0, 60.0) == pytest.approx((0.0 * 1 + 8.0 * 0.5 + 2.0 * 1.5) / 3.0)
