"""An API that is made again under the name of one that was removed has metrics of its own."""

import random

from services.chassis import clock
from services.monitor import history, model, ports, queries, registry
from tests.fakes import history as fakes
from tests.fakes import replica_reports

MADE = 1_000_060.0  # forty seconds into its minute


async def store() -> ports.HistoryStore:
    return fakes.MemoryHistory()


class Bench:
    """A namesake that answered ten requests up to ten seconds before MADE, and an API that answered two since."""

    def __init__(self) -> None:
        self.memory = registry.Registry(most_replicas=10)
        past = history.History(
            self.memory, store, save_seconds=5.0, time_source=clock.SystemClock(), rng=random.Random(1)
        )
        self.queries = queries.Queries(self.memory, past)
        self.take("old", MADE - 200, 5)
        self.take("old", MADE - 10, 5, sequence=2)
        self.take("new", MADE + 2, 2)

    def take(self, replica: str, at: float, count: int, sequence: int = 1) -> None:
        report = replica_reports.report(sequence, end=at, replica=replica, statuses={200: count})
        self.memory.take(report, at)

    async def ask(self, later: float, since: float = MADE, window: float = 900.0) -> model.ApiSummary:
        return await self.queries.api(replica_reports.API, window, MADE + later, since)


async def test_only_its_own_requests_count_at_once_and_later() -> None:
    bench = Bench()
    assert bench.memory.revisions(replica_reports.API).keys() == {"r1-aaaa"}, "the revisions are called alike"
    for later in (5.0, 100.0, 300.0):
        found = await bench.ask(later)
        assert found.total.tally.requests == {200: 2}, later
        assert (found.start, set(found.replicas)) == (MADE, {"new"})


async def test_without_the_time_all_of_the_name_counts() -> None:
    assert (await Bench().ask(300.0, since=0.0)).total.tally.requests == {200: 12}


async def test_the_window_still_ends_what_is_old() -> None:
    bench = Bench()
    bench.take("new", MADE + 3000, 1, sequence=2)
    assert (await bench.ask(3010.0)).total.tally.requests == {200: 1}


async def test_nothing_of_its_own_is_lost_when_the_replicas_are_forgotten() -> None:
    bench = Bench()
    bench.memory.revisions(replica_reports.API)["r1-aaaa"].replicas.clear()
    assert (await bench.ask(300.0)).total.tally.requests == {200: 7}, "the minute of its making, whole"


async def test_a_time_ahead_of_the_clock_is_no_fault() -> None:
    assert (await Bench().ask(5.0, since=MADE + 60)).total.tally.requests == {}
