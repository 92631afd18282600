"""The planner by tables: no processes, no clock."""

import dataclasses
import random

import pytest

from services.chassis import processes
from services.node import actions, model, planner

_POLICY = planner.Policy()
_NOW = 1000.0
_ID = processes.Identity(42, 7, "boot")
_WISH = model.Wish("iris-r1-aaaaa", "namespaces/default/apis/iris/revisions/r1", "namespaces/default/bundles/00", {})
_NEW = model.Record(_WISH, "127.0.0.1:20000", "127.0.0.1:20001", create_time=_NOW)
_PREPARED = model.Preparation(model.Progress.DONE, prepared=model.Prepared("/p", "/v/bin/python", "e"))


def _running(**changes: object) -> model.Record:
    launch = model.Launch(_ID, time=_NOW - 100)
    return dataclasses.replace(_NEW, launch=dataclasses.replace(launch, **changes))  # type: ignore[arg-type]


def _seen(life: model.Life = model.Life.RUNNING, **changes: object) -> model.Observation:
    return dataclasses.replace(model.Observation(life=life), **changes)  # type: ignore[arg-type]


def _plan(record: model.Record, seen: model.Observation, now: float = _NOW) -> planner.Plan:
    return planner.plan(record, seen, _POLICY, now=now, rng=random.Random(1))


_READY = model.Report(42, model.State.READY)


@pytest.mark.parametrize(
    ("record", "seen", "steps"),
    [
        (_NEW, model.Observation(), (actions.Prepare(),)),
        (_NEW, model.Observation(model.Preparation(model.Progress.BUNDLE)), ()),
        (_NEW, model.Observation(_PREPARED), (actions.Launch(),)),
        (dataclasses.replace(_NEW, not_before=_NOW + 5), model.Observation(_PREPARED), ()),
        (_running(), _seen(), ()),
        (dataclasses.replace(_NEW, stop=model.StopIntent(5)), model.Observation(), (actions.Remove(),)),
        (dataclasses.replace(_running(), stop=model.StopIntent(5)), _seen(), (actions.Terminate(),)),
        (dataclasses.replace(_running(), stop=model.StopIntent(5, _NOW - 6)), _seen(), ()),
        (dataclasses.replace(_running(), stop=model.StopIntent(5, _NOW - 7)), _seen(), (actions.Kill(),)),
        (
            dataclasses.replace(_running(), stop=model.StopIntent(5, _NOW)),
            _seen(model.Life.GONE),
            (actions.Kill(), actions.Remove()),
        ),
        (_running(), _seen(model.Life.GONE, exit_code=1), (actions.Kill(),)),
    ],
)
def test_what_is_done(record: model.Record, seen: model.Observation, steps: tuple[actions.Action, ...]) -> None:
    assert _plan(record, seen).steps == steps


@pytest.mark.parametrize(("age", "wait"), [(0.0, 0.01), (0.19, 0.01), (1.0, 0.05), (4.0, 0.2), (1000.0, 0.2)])
def test_a_short_start_is_looked_at_often_and_a_long_one_seldom(age: float, wait: float) -> None:
    record = _running(time=_NOW - age)
    assert _plan(record, _seen(report=None)).wait == pytest.approx(wait)
    ready = dataclasses.replace(record, launch=model.Launch(_ID, _NOW - age, ready_time=_NOW))
    assert _plan(ready, _seen(report=None)).wait == pytest.approx(0.2)


def test_sigterm_is_sent_once() -> None:
    first = _plan(dataclasses.replace(_running(), stop=model.StopIntent(60)), _seen())
    assert first.record.stop == model.StopIntent(60, _NOW)
    assert _plan(first.record, _seen()).steps == ()


def test_the_first_crash_of_a_ready_replica_costs_no_wait_and_the_next_ones_more_and_more() -> None:
    record, waits = _running(ready_time=_NOW - 5), []
    for _ in range(12):
        record = _plan(record, _seen(model.Life.GONE, exit_code=-9)).record
        waits.append(record.not_before - _NOW)
        record = dataclasses.replace(record, launch=model.Launch(_ID, _NOW, ready_time=_NOW))
    assert waits[0] == 0
    assert 0.1 <= waits[1] <= 0.2
    assert 15 <= waits[-1] <= 30
    assert record.restart_count == 12
    assert record.unready_crashes == 0


def test_a_run_that_was_ready_for_long_makes_the_next_crash_the_first() -> None:
    record = dataclasses.replace(_running(ready_time=_NOW - 31), crashes=9)
    after = _plan(record, _seen(model.Life.GONE)).record
    assert (after.crashes, after.not_before) == (1, _NOW)


def test_a_crash_before_ready_waits() -> None:
    assert _plan(_running(), _seen(model.Life.GONE)).record.not_before > _NOW


def test_three_failures_without_ever_being_ready_are_shown_until_it_is_ready() -> None:
    record = _NEW
    failure = model.Failure(model.Reason.IMPORT_FAILED, "Traceback", _NOW, 1)
    report = model.Report(42, model.State.STARTING, failure=failure)
    for _ in range(3):
        record = dataclasses.replace(record, launch=model.Launch(_ID, _NOW))
        record = _plan(record, _seen(model.Life.GONE, exit_code=1, report=report)).record
    again = dataclasses.replace(record, launch=model.Launch(_ID, _NOW))
    shown = planner.view(again, _seen(), _POLICY)
    assert (shown.state, shown.last_failure) == (model.State.BACKING_OFF, failure)
    ready = _plan(again, _seen(report=_READY)).record
    assert planner.view(ready, _seen(report=_READY), _POLICY).state is model.State.READY
    assert ready.unready_crashes == 0


@pytest.mark.parametrize(
    ("code", "log", "words"),
    [
        (-9, "", "signal 9 and left no output"),
        (3, "boom", "status 3; its last output:\nboom"),
        (None, "", "while the node was not there"),
    ],
)
def test_an_exit_nobody_explained(code: int | None, log: str, words: str) -> None:
    failure = _plan(_running(), _seen(model.Life.GONE, exit_code=code, boot_log=log)).record.last_failure
    assert failure is not None
    assert failure.reason is model.Reason.EXITED
    assert words in failure.message


def test_the_failure_of_an_earlier_run_explains_nothing() -> None:
    old = model.Failure(model.Reason.IMPORT_FAILED, "old", _NOW - 500, 1)
    report = model.Report(42, model.State.READY, failure=old)
    failure = _plan(_running(), _seen(model.Life.GONE, exit_code=1, report=report)).record.last_failure
    assert failure is not None
    assert failure.reason is model.Reason.EXITED


@pytest.mark.parametrize(("used", "kills", "killed"), [(99, 0, False), (100, 0, False), (101, 0, True), (50, 1, True)])
def test_memory(used: int, kills: int, killed: bool) -> None:
    record = dataclasses.replace(_running(), wish=dataclasses.replace(_WISH, memory_bytes=100))
    plan = _plan(record, _seen(memory_bytes=used, out_of_memory_kills=kills))
    assert (plan.steps == (actions.Kill(),)) is killed
    if killed:
        assert _plan(plan.record, _seen(memory_bytes=used)).steps == ()  # once
        failure = _plan(plan.record, _seen(model.Life.GONE, exit_code=-9)).record.last_failure
        assert failure is not None and failure.reason is model.Reason.OUT_OF_MEMORY


def test_a_process_that_is_stopped_is_unready_at_once_and_ended_if_it_does_not_go_on() -> None:
    still = _seen(report=_READY, stopped=True)
    plan = _plan(_running(ready_time=_NOW), still)
    assert plan.steps == () and planner.view(plan.record, still, _POLICY).state is model.State.UNREADY
    goes_on = _plan(plan.record, _seen(report=_READY), now=_NOW + 1.9)
    assert planner.view(goes_on.record, _seen(report=_READY), _POLICY).state is model.State.READY
    assert _plan(goes_on.record, still, now=_NOW + 2.1).steps == ()
    ended = _plan(plan.record, still, now=_NOW + 2.1)
    assert ended.steps == (actions.Kill(),)
    assert _plan(ended.record, still, now=_NOW + 2.2).steps == ()  # once
    failure = _plan(ended.record, _seen(model.Life.GONE, exit_code=-9)).record.last_failure
    assert failure is not None and "SIGSTOP" in failure.message


def test_a_failed_preparation_is_told_and_tried_again_later() -> None:
    failure = model.Failure(model.Reason.ENVIRONMENT_FAILED, "No solution found", _NOW)
    plan = _plan(_NEW, model.Observation(model.Preparation(model.Progress.FAILED, failure=failure)))
    assert plan.steps == ()
    assert plan.wait is not None and 0.5 <= plan.wait <= 1
    shown = planner.view(plan.record, model.Observation(), _POLICY)
    assert (shown.state, shown.last_failure) == (model.State.BACKING_OFF, failure)
    assert plan.record.restart_count == 0


@pytest.mark.parametrize(
    ("progress", "state"),
    [
        (model.Progress.NONE, model.State.PENDING),
        (model.Progress.BUNDLE, model.State.PENDING),
        (model.Progress.ENVIRONMENT, model.State.BUILDING_ENVIRONMENT),
    ],
)
def test_progress_is_shown(progress: model.Progress, state: model.State) -> None:
    shown = planner.view(_NEW, model.Observation(model.Preparation(progress, "installing numpy ... 1/3")), _POLICY)
    assert (shown.state, shown.message) == (state, "installing numpy ... 1/3")


def test_unready_is_shown_as_the_runtime_tells_it() -> None:
    report = model.Report(42, model.State.UNREADY, "no worker is left")
    shown = planner.view(_running(ready_time=_NOW), _seen(report=report), _POLICY)
    assert (shown.state, shown.message, shown.pid) == (model.State.UNREADY, "no worker is left", 42)
