"""Taking reports: what is counted, what counts as lost, and who is forgotten."""

import pytest

from services.chassis import errors
from services.monitor import model, registry
from tests.fakes import replica_reports
from tests.fakes.replica_reports import API, report

NOW = 1_000_000_000.0


def memory(most: int = 100) -> registry.Registry:
    return registry.Registry(most_replicas=most)


def revision(one: registry.Registry) -> registry.Revision:
    return one.revisions(API)["r1-aaaa"]


def test_reports_add_up() -> None:
    one = memory()
    one.take(report(1, end=NOW, statuses={200: 3, 503: 1}, latencies=[0.1, 0.2]), NOW)
    one.take(report(1, end=NOW, statuses={200: 2}, latencies=[0.3], replica="iris-r1-other"), NOW)
    total = revision(one).total
    assert total.requests == {200: 5, 503: 1} and total.latency.count == 3
    assert len(revision(one).replicas) == 2


@pytest.mark.parametrize(
    ("reports", "lost"),
    [
        ([(1, 0), (2, 0), (3, 0)], 0),
        ([(1, 0), (4, 0)], 2),
        ([(1, 5), (2, 5)], 5),
        ([(1, 0), (2, 7)], 7),
        ([(1, 0), (4, 7)], 7),
        ([(1, 0), (9, 3)], 7),
        ([(40, 12), (41, 12)], 0),
        ([(40, 12), (41, 13)], 1),
        ([(1, 0), (2, 3), (2, 3), (1, 0)], 3),
    ],
)
def test_losses(reports: list[tuple[int, int]], lost: int) -> None:
    one = memory()
    for sequence, count in reports:
        one.take(report(sequence, end=NOW + sequence, lost=count, statuses={200: 1}), NOW + sequence)
    assert revision(one).total.lost == lost
    assert revision(one).total.requests[200] == len(set(reports))


def test_a_process_that_began_anew_counts_anew() -> None:
    one = memory()
    one.take(report(7, end=NOW, lost=9, statuses={200: 1}), NOW)
    one.take(report(1, end=NOW + 5, lost=2, statuses={200: 1}), NOW + 5)
    one.take(report(2, end=NOW + 6, lost=2, statuses={200: 1}), NOW + 6)
    assert revision(one).total.requests[200] == 3
    assert revision(one).total.lost == 2


@pytest.mark.parametrize(("end", "second"), [(NOW - 30, NOW - 30), (NOW + 2, NOW), (NOW + 999, NOW), (5.0, NOW - 900)])
def test_a_wrong_clock_puts_nothing_out_of_reach(end: float, second: float) -> None:
    one = memory()
    one.take(report(1, end=end, statuses={200: 1}), NOW)
    assert revision(one).timeline.find(model.MINUTE, int(second // 60 * 60)) is not None


def test_only_fresh_replicas_are_in_flight() -> None:
    one = memory()
    one.take(report(1, end=NOW, in_flight=4), NOW)
    [replica] = revision(one).replicas.values()
    assert replica.in_flight == 4 and replica.is_fresh(NOW + 5.0) and not replica.is_fresh(NOW + 5.1)


def test_quiet_reports_leave_nothing_to_save() -> None:
    one = memory()
    one.take(report(1, end=NOW), NOW)
    assert revision(one).unsaved == set()
    one.take(report(2, end=NOW + 1, statuses={200: 1}), NOW + 1)
    assert {resolution for resolution, _ in revision(one).unsaved} == {60, 3600}


def test_the_silent_are_forgotten_and_make_room() -> None:
    one = memory(most=1)
    one.take(report(1, end=NOW, statuses={200: 1}), NOW)
    with pytest.raises(errors.ResourceExhausted):
        one.take(report(1, end=NOW, replica="iris-r1-other"), NOW)
    one.forget(NOW + registry.FORGOTTEN_SECONDS - 1)
    assert len(revision(one).replicas) == 1
    one.forget(NOW + registry.FORGOTTEN_SECONDS + 1)
    assert revision(one).replicas == {}, "gone, but what it did is still to be saved"
    revision(one).unsaved.clear()
    one.forget(NOW + model.DAY)
    assert list(one.apis()) == []
    one.take(report(1, end=NOW, replica="iris-r1-other"), NOW + model.DAY)


def test_classes_are_bounded() -> None:
    one = memory()
    for sequence in range(1, 4):
        classes = {f"class {n}": 1 for n in range(sequence * 500, sequence * 500 + 500)}
        one.take(report(sequence, end=NOW + sequence, classes=classes), NOW + sequence)
    total = revision(one).total
    assert len(total.classes) == model.MOST_CLASSES
    assert sum(total.classes.values()) + total.other_classes == 1500


def test_memory_of_a_busy_replica_is_bounded() -> None:
    one = memory()
    for sequence in range(1, 400):
        at = NOW + sequence * 20
        one.take(report(sequence, end=at, statuses={200: 1}), at)
        revision(one).unsaved.clear()
        one.forget(at)
    kept = [len(buckets) for buckets in revision(one).timeline._buckets.values()]
    assert kept[0] <= 7 and kept[1] <= 77 and kept[2] <= 4


def test_messages_of_the_fake_are_what_the_service_accepts() -> None:
    assert replica_reports.report(3, end=NOW).sequence == 3
