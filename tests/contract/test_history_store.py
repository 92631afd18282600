"""Every history store keeps the same promises: SQLite, a real PostgreSQL, and the one in memory other tests use."""

import pathlib
from collections.abc import AsyncIterator, Iterator

import pytest

from services.monitor import convert, model, ports
from services.monitor.store import sql
from tests.fakes import history, postgres, replica_reports

MINUTES = model.Span(model.MINUTE, 0, 10_000)


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[str]:
    with postgres.server() as url:
        yield url


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> AsyncIterator[ports.HistoryStore]:
    if request.param == "memory":
        yield history.MemoryHistory()
        return
    url = f"sqlite:///{tmp_path}/monitor/monitor.db"
    if request.param == "postgresql":
        url = postgres.create_database(request.getfixturevalue("postgres_server"))
    opened = await sql.connect(url)
    yield opened
    await opened.close()


def bucket(start: int, *, api: str = "namespaces/a/apis/x", count: int = 1, resolution: int = 60) -> model.Bucket:
    message = replica_reports.message(
        end=5.0, statuses={200: count, 503: 2}, latencies=[0.1, 0.2, -1.0, 0.0], classes={"é cat": 3}, values=[7.5]
    )
    tally = convert.tally(message)
    tally.lost, tally.unreadable, tally.other_classes = 4, 5, 6
    return model.Bucket(api, "r1-aaaa", resolution, start, tally)


def shape(one: model.Bucket) -> tuple[object, ...]:
    sketches = [convert.from_sketch(s) for s in (one.tally.latency, one.tally.queue_time, one.tally.values)]
    numbers = (one.tally.lost, one.tally.unreadable, one.tally.other_classes)
    key = (one.api, one.revision, one.resolution, one.start)
    return (*key, one.tally.requests, one.tally.classes, sketches, numbers)


async def test_what_is_saved_is_loaded_whole(store: ports.HistoryStore) -> None:
    await store.save([bucket(60), bucket(120, api="namespaces/b/apis/y")])
    found = sorted(await store.load([MINUTES], None), key=lambda one: one.start)
    assert [shape(one) for one in found] == [shape(bucket(60)), shape(bucket(120, api="namespaces/b/apis/y"))]


async def test_saving_again_replaces(store: ports.HistoryStore) -> None:
    await store.save([bucket(60), bucket(120)])
    await store.save([bucket(60, count=9)])
    found = {one.start: one.tally.requests[200] for one in await store.load([MINUTES], None)}
    assert found == {60: 9, 120: 1}


async def test_loads_only_the_spans_and_apis_asked_for(store: ports.HistoryStore) -> None:
    await store.save([bucket(start) for start in (0, 60, 120)] + [bucket(0, resolution=model.HOUR)])
    spans = [model.Span(model.MINUTE, 60, 120), model.Span(model.HOUR, 0, 3600), model.Span(model.MINUTE, 120, 120)]
    found = await store.load(spans, ["namespaces/a/apis/x"])
    assert sorted((one.resolution, one.start) for one in found) == [(60, 60), (3600, 0)]
    assert await store.load(spans, ["namespaces/a/apis/z"]) == []
    assert await store.load(spans, []) == []


async def test_names_apis_by_what_they_did_since(store: ports.HistoryStore) -> None:
    await store.save([bucket(0, resolution=3600), bucket(72_000, resolution=3600, api="namespaces/b/apis/y")])
    assert list(await store.apis(0)) == ["namespaces/a/apis/x", "namespaces/b/apis/y"]
    assert list(await store.apis(72_100)) == ["namespaces/b/apis/y"]


async def test_prunes_what_is_older_and_nothing_else(store: ports.HistoryStore) -> None:
    far = 10 * model.DAY
    await store.save([bucket(0), bucket(0, resolution=3600), bucket(model.DAY), bucket(far)])
    assert await store.prune(far) == 3
    left = await store.load([model.Span(60, 0, far + 1), model.Span(3600, 0, far + 1)], None)
    assert [one.start for one in left] == [far]
    assert await store.prune(far) == 0
