"""Saving and restoring, with a database that is late, away or full, on a clock of our own."""

import random

import pytest

from services.chassis import errors
from services.monitor import history, model, ports, queries, registry
from tests.fakes import history as fakes
from tests.fakes.replica_reports import API, report

NOON = 1_000_000 * 3600.0


class Clock:
    """Sleeping moves it, and ends the loop under test after `naps` of them."""

    def __init__(self, at: float = NOON, naps: int = 3) -> None:
        self.at = at
        self._naps = naps

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds
        self._naps -= 1
        if self._naps <= 0:
            raise _Stop


class _Stop(Exception):
    pass


class Monitor:
    """One life of the monitor's memory over a store that outlives it."""

    def __init__(self, store: fakes.MemoryHistory, clock: Clock, *, refusals: int = 0) -> None:
        self.memory = registry.Registry(most_replicas=100)
        self.clock = clock
        self._store = store
        self._refusals = refusals
        self.past = history.History(
            self.memory, self._connect, save_seconds=5.0, time_source=clock, rng=random.Random(1)
        )  # fmt: skip
        self.answers = queries.Queries(self.memory, self.past)

    async def _connect(self) -> ports.HistoryStore:
        self._refusals -= 1
        if self._refusals >= 0:
            raise errors.Unavailable("not yet")
        return self._store

    async def live(self) -> "Monitor":
        with pytest.raises(_Stop):
            await self.past.run()
        return self

    async def count(self, window: float = 900.0) -> int:
        summary = await self.answers.api(API, window, self.clock.at)
        return summary.total.tally.requests.get(200, 0)


def take(monitor: Monitor, sequence: int, count: int, *, ago: float = 0.0) -> None:
    at = monitor.clock.at - ago
    monitor.memory.take(report(sequence, end=at, statuses={200: count}, latencies=[0.1]), monitor.clock.at)


async def test_a_restart_keeps_history_and_goes_on_counting_into_it() -> None:
    store = fakes.MemoryHistory()
    first = await Monitor(store, Clock()).live()
    take(first, 1, 7)
    await first.past.save()
    second = Monitor(store, Clock(first.clock.at + 1))
    take(second, 2, 5)
    await second.live()
    assert await second.count() == 12
    third = await Monitor(store, Clock(second.clock.at)).live()
    assert await third.count() == 12
    assert await third.count(model.LONGEST_WINDOW) == 12


async def test_nothing_is_saved_over_a_past_that_is_not_restored() -> None:
    store = fakes.MemoryHistory()
    first = await Monitor(store, Clock()).live()
    take(first, 1, 7)
    await first.past.save()
    second = Monitor(store, Clock(first.clock.at), refusals=99)
    take(second, 2, 5)
    await second.live()
    await second.past.save()
    assert await second.count() == 5
    with pytest.raises(errors.Unavailable):
        await second.count(model.DAY)
    assert await (await Monitor(store, Clock(first.clock.at)).live()).count() == 7


async def test_a_database_that_comes_late_is_waited_for() -> None:
    one = await Monitor(fakes.MemoryHistory(), Clock(naps=6), refusals=3).live()
    assert one.past.health.restored


async def test_a_process_stopped_before_it_reached_its_database_saves_all_the_same() -> None:
    store = fakes.MemoryHistory()
    one = Monitor(store, Clock())
    take(one, 1, 7)
    await one.past.finish()
    assert await (await Monitor(store, Clock(one.clock.at)).live()).count() == 7
    away = Monitor(store, Clock(), refusals=1)
    take(away, 2, 7)
    await away.past.finish()


async def test_a_full_disk_is_counted_and_nothing_is_lost_once_it_has_room() -> None:
    store = fakes.MemoryHistory()
    one = await Monitor(store, Clock()).live()
    store.failing = errors.ResourceExhausted("full", reason="DISK_FULL")
    take(one, 1, 7)
    await one.past.save()
    take(one, 2, 4)
    await one.past.save()
    assert one.past.health.save_failures == 2 and await one.count() == 11
    store.failing = None
    await one.past.save()
    assert await (await Monitor(store, Clock(one.clock.at)).live()).count() == 11


async def test_what_waits_too_long_is_given_up_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "_MOST_UNSAVED", 4)
    store = fakes.MemoryHistory()
    one = await Monitor(store, Clock()).live()
    store.failing = errors.Unavailable("away")
    for sequence in range(1, 11):
        one.clock.at += 60
        take(one, sequence, 1)
        await one.past.save()
    assert one.past.health.given_up >= 6
    store.failing = None
    await one.past.save()
    newest = await store.load([model.Span(model.MINUTE, 0, int(NOON) * 2)], None)
    assert len(newest) >= 3 and one.past.health.save_failures == 10


async def test_long_windows_join_memory_and_database() -> None:
    store = fakes.MemoryHistory()
    one = await Monitor(store, Clock()).live()
    expected = 0
    for hour in range(30):
        one.clock.at = NOON + hour * 3600 + 600
        take(one, hour + 1, hour)
        expected += hour
        await one.past.save()
        one.memory.forget(one.clock.at)
    assert await one.count(model.LONGEST_WINDOW) == expected
    assert await one.count(10 * 3600.0) == sum(range(19, 30)), "11 reports: the first minute is the window's edge"
    assert await one.count(3600.0) == 28 + 29
    assert list(await one.answers.names("default", model.DAY, one.clock.at)) == [API]
    assert list(await one.answers.names("other", model.DAY, one.clock.at)) == []


async def test_old_history_is_removed() -> None:
    store = fakes.MemoryHistory()
    one = await Monitor(store, Clock()).live()
    take(one, 1, 7)
    await one.past.save()
    await Monitor(store, Clock(NOON + 15 * model.DAY)).live()
    assert await store.load([model.Span(model.MINUTE, 0, int(NOON) * 2)], None) == []


async def test_revisions_and_replicas_are_told_apart() -> None:
    one = await Monitor(fakes.MemoryHistory(), Clock()).live()
    now = one.clock.at
    one.memory.take(report(1, end=now, statuses={200: 1}, in_flight=2), now)
    one.memory.take(report(1, end=now, statuses={500: 3}, in_flight=1, revision="r2-bbbb", replica="x"), now)
    summary = await one.answers.api(API, 60.0, now + 1)
    assert {name: s.tally.requests for name, s in summary.revisions.items()} == {
        "r1-aaaa": {200: 1}, "r2-bbbb": {500: 3}
    }  # fmt: skip
    assert set(summary.replicas) == {"iris-r1-abcde", "x"} and summary.total.in_flight == 3
    assert summary.total.report_time == now
    late = await one.answers.api(API, 60.0, now + 30)
    assert late.total.in_flight == 0 and late.total.tally.requests == {200: 1, 500: 3}
    assert (await one.answers.api(API, 10.0, now + 600)).replicas == {}
    assert (await one.answers.api("namespaces/default/apis/none", 60.0, now)).total.tally.empty
