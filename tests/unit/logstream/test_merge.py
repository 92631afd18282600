"""The order of lines of several replicas, by tables and by property."""

import hypothesis
import hypothesis.strategies as st

from services.logstream import merge, model

WINDOW = 250


def entries(*times: int) -> list[model.Entry]:
    return [model.Entry(time_ns=time) for time in times]


def released(merger: merge.Merger, *, floor: int | None = None, wall: int = 0, now: int = 0) -> list[int]:
    return [e.time_ns for e in merger.release(floor_ns=floor, following=True, wall_ns=wall, now_ns=now)]


def test_replay_releases_below_the_floor_only() -> None:
    merger = merge.Merger(WINDOW)
    merger.add(entries(1, 5, 9), 0)
    merger.add(entries(2, 3), 0)
    first = merger.release(floor_ns=5, following=False, wall_ns=0, now_ns=0)
    assert [e.time_ns for e in first] == [1, 2, 3, 5]
    rest = merger.release(floor_ns=None, following=False, wall_ns=0, now_ns=0)
    assert [e.time_ns for e in rest] == [9]


def test_a_young_line_waits_for_an_older_one_that_comes_late() -> None:
    merger = merge.Merger(WINDOW)
    merger.add(entries(1000), now_ns=0)
    assert released(merger, wall=1010, now=10) == []
    merger.add(entries(990), now_ns=20)
    assert released(merger, wall=1249, now=249) == [990]
    assert released(merger, wall=1250, now=250) == [1000]


def test_old_lines_do_not_wait() -> None:
    merger = merge.Merger(WINDOW)
    merger.add(entries(100, 200), now_ns=0)
    assert released(merger, wall=10_000, now=0) == [100, 200]


def test_a_line_of_a_clock_that_runs_ahead_waits_no_longer_than_others() -> None:
    merger = merge.Merger(WINDOW)
    merger.add(entries(1_000_000), now_ns=0)
    assert released(merger, wall=1000, now=249) == []
    assert released(merger, wall=1000, now=250) == [1_000_000]
    merger.add(entries(2000), now_ns=1000)
    assert released(merger, wall=2000, now=1000) == [], "the clock that ran ahead does not end the waiting of others"


def test_the_floor_holds_back_what_is_ripe() -> None:
    merger = merge.Merger(WINDOW)
    merger.add(entries(500), now_ns=0)
    assert released(merger, floor=400, wall=10_000, now=10_000) == []
    assert released(merger, wall=600, now=10_000) == [500]


@hypothesis.given(st.lists(st.lists(st.integers(0, 50)), max_size=6))
def test_nothing_is_lost_and_a_replay_is_in_order(runs: list[list[int]]) -> None:
    merger, out = merge.Merger(WINDOW), []
    for position, run in enumerate(runs):
        merger.add(entries(*sorted(run)), position)
        floor = min((min(later) for later in runs[position + 1 :] if later), default=None)
        out += [e.time_ns for e in merger.release(floor_ns=floor, following=False, wall_ns=0, now_ns=position)]
    assert sorted(out) == sorted(time for run in runs for time in run)
    assert out == sorted(out)
