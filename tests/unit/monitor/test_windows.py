"""Which buckets make up a window, and that memory forgets."""

import itertools

import hypothesis
import hypothesis.strategies as st
import pytest

from services.monitor import model, windows

NOON = 1_000_000 * 3600.0


def ranges(start: float, end: float) -> list[tuple[int, int, int]]:
    return [(span.resolution, span.begin - int(NOON), span.end - int(NOON)) for span in windows.spans(start, end)]


@pytest.mark.parametrize(
    ("back", "expected"),
    [
        (10.0, [(1, 20, 31)]),
        (110.0, [(1, -80, 31)]),
        (300.0, [(60, -300, 31)]),
        (3900.0, [(60, -3900, 31)]),
        (7200.0, [(60, -7200, -3600 * 2), (3600, -7200, 0), (60, 0, 31)]),
        (9000.0, [(60, -9000, -7200), (3600, -7200, 0), (60, 0, 31)]),
    ],
)
def test_spans(back: float, expected: list[tuple[int, int, int]]) -> None:
    now = NOON + 30.0
    assert ranges(now - back, now) == expected


@hypothesis.given(st.integers(1, model.LONGEST_WINDOW), st.integers(0, 7200))
def test_spans_cover_the_window_once_without_a_gap(window: int, offset: int) -> None:
    now = NOON + offset
    spans = windows.spans(now - window, now)
    assert spans[0].begin <= now - window < spans[0].begin + model.MINUTE
    assert spans[-1].end > now
    for one, following in itertools.pairwise(spans):
        assert one.begin <= one.end == following.begin
    assert all(span.begin % span.resolution == 0 for span in spans)
    assert spans[-1].begin >= now - windows.MINUTES_KEPT or spans[-1].resolution == model.SECOND, "needs no database"


@hypothesis.given(st.integers(1, model.LONGEST_WINDOW), st.lists(st.integers(0, model.DAY), max_size=30))
def test_every_tally_of_the_window_is_found_once(window: int, ages: list[int]) -> None:
    timeline, now = windows.Timeline(windows.OF_REVISION), NOON + 1234
    for age in ages:
        timeline.add(now - age, model.Tally(requests={200: 1}))
    spans = windows.spans(now - window, now)
    found = sum(t.requests[200] for span in spans for t in timeline.within(span).values())
    assert found == sum(now - age >= spans[0].begin for age in ages)


def test_forgets_the_old_but_what_is_spared() -> None:
    timeline = windows.Timeline(windows.OF_REVISION)
    touched = list(timeline.add(NOON, model.Tally(requests={200: 1})))
    assert [resolution for resolution, _ in touched] == [1, 60, 3600]
    timeline.forget(NOON + 100)
    assert all(timeline.find(*key) for key in touched)
    timeline.forget(NOON + 200)
    assert timeline.find(*touched[0]) is None and timeline.find(*touched[1]) is not None
    timeline.forget(NOON + model.DAY, {touched[1]})
    assert timeline.find(*touched[1]) is not None and timeline.find(*touched[2]) is None
    timeline.forget(NOON + model.DAY)
    assert timeline.empty
