"""Load added up over gateways, with reports that come late, twice, or no more."""

from services.autoscaler import gateways

A, B = "namespaces/default/apis/a", "namespaces/default/apis/b"


def one() -> gateways.Gateways:
    known = gateways.Gateways()
    known.arrived(1, "gw")
    return known


def test_nobody_has_reported() -> None:
    known = one()
    load = known.look(0.0)
    assert (load.alive, load.fresh, dict(load.mean)) == (False, False, {})


def test_reports_between_two_looks_are_averaged_and_absent_is_zero() -> None:
    known = one()
    known.report(1, {A: 4}, 0.5)
    known.report(1, {A: 2, B: 1}, 1.0)
    load = known.look(1.0)
    assert dict(load.mean) == {A: 3.0, B: 0.5}
    assert dict(load.latest) == {A: 2, B: 1}
    known.report(1, {}, 1.5)
    load = known.look(2.0)
    assert (load.alive, load.fresh, dict(load.mean), dict(load.latest)) == (True, True, {}, {})


def test_gateways_add_up_and_a_silent_one_counts_with_its_last_word_for_five_seconds() -> None:
    known = one()
    known.arrived(2, "other")
    known.report(1, {A: 4}, 1.0)
    known.report(2, {A: 10}, 1.0)
    assert known.look(1.0).mean[A] == 14.0
    for now in (2.0, 3.0, 4.0, 5.0, 6.0):
        known.report(1, {A: 4}, now)
        assert known.look(now).mean[A] == 14.0
    known.report(1, {A: 4}, 7.0)
    assert known.look(7.0).mean[A] == 4.0
    known.report(2, {A: 1}, 8.0)
    known.report(1, {A: 4}, 8.0)
    assert known.look(8.0).mean[A] == 5.0


def test_a_missing_report_is_a_hole_and_then_blindness() -> None:
    known = one()
    known.report(1, {A: 4}, 1.0)
    known.look(1.0)
    load = known.look(2.0)
    assert (load.alive, load.fresh) == (True, False)
    assert not known.look(6.1).alive


def test_a_gateway_that_comes_back_counts_once() -> None:
    known = one()
    known.report(1, {A: 4}, 1.0)
    known.left(1)
    assert known.look(1.5).mean[A] == 4.0
    known.arrived(2, "gw")
    known.report(2, {A: 3}, 2.0)
    assert known.look(2.0).mean[A] == 3.0


def test_one_that_left_is_forgotten() -> None:
    known = one()
    known.report(1, {A: 4}, 1.0)
    known.left(1)
    assert known.look(6.0).alive
    assert not known.look(6.1).alive
    known.arrived(2, "gw")
    assert not known.look(6.2).alive


def test_one_that_left_before_its_first_report_leaves_nothing() -> None:
    known = one()
    known.left(1)
    known.look(1.0)
    assert known._known == {}
