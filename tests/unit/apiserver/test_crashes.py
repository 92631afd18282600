"""Counting falls: a worker's death, a process's death, and one accident that shows both ways."""

from services.apiserver import crashes, model
from tests.fakes import records

READY, UNREADY = model.ReplicaState.READY, model.ReplicaState.UNREADY


def count(*states: model.Replica) -> int:
    ledger = crashes.CrashLedger()
    return [ledger.count(records.NAME, [state])["a"] for state in states][-1]


def test_each_fall_from_ready_counts_once() -> None:
    up, down = records.replica("a"), records.replica("a", state=UNREADY)
    assert count(up, down, down, up, down, up) == 2


def test_each_failure_counts_once_however_often_it_is_seen() -> None:
    first, second = (records.failed(model.Reason.EXITED, time=time) for time in (1.0, 2.0))
    assert count(records.replica("a", last_failure=first), records.replica("a", last_failure=first)) == 1
    assert count(records.replica("a", last_failure=first), records.replica("a", last_failure=second)) == 2


def test_one_accident_that_shows_both_ways_is_one() -> None:
    failure = records.failed(model.Reason.EXITED)
    assert count(records.replica("a"), records.replica("a", state=UNREADY, last_failure=failure)) == 1


def test_failures_to_load_are_no_crashes_and_the_gone_are_forgotten() -> None:
    assert count(records.replica("a", last_failure=records.failed(model.Reason.IMPORT_FAILED))) == 0
    ledger = crashes.CrashLedger()
    ledger.count(records.NAME, [records.replica("a", state=UNREADY)])
    ledger.count(records.NAME, [])
    assert ledger.count(records.NAME, [records.replica("a")]) == {"a": 0}
