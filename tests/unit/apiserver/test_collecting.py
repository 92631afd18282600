"""What is removed of the bundles: only what nobody names and nobody asked for in a day."""

import asyncio
import dataclasses
import hashlib
import pathlib

import pytest

from services.apiserver import blobs, collecting, model
from tests.fakes import records
from tests.fakes.clock import FakeClock
from tests.fakes.store import MemoryStore

A, B = "a" * 64, "b" * 64


@pytest.mark.parametrize(
    ("bundles", "referenced", "found"),
    [
        ({}, [], []),
        ({A: 99.0, B: 50.0}, [], [A, B]),
        ({A: 99.0, B: 50.0}, [f"sha256:{A}"], [B]),
        ({A: 100.0, B: 101.0}, [], []),
    ],
)
def test_garbage(bundles: dict[str, float], referenced: list[str], found: list[str]) -> None:
    assert collecting.garbage(bundles, referenced, before=100.0) == found


class Bench:
    """A shelf with bundles of these texts, all of them finished and asked for long ago."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.clock = FakeClock(4_000_000_000.0)
        self.store = MemoryStore()
        self.shelf = blobs.DiskBlobs(folder, lambda _: None, now=self.clock.now)
        self.collector = collecting.Collector(self.store, self.shelf, self.clock)

    async def put(self, text: str) -> str:
        digest = hashlib.sha256(text.encode()).hexdigest()
        await self.shelf.append(digest, 0, text.encode())
        await self.shelf.finish(digest)
        return digest

    async def held(self) -> set[str]:
        return set(await self.shelf.asked_for())


async def test_what_a_revision_names_stays_and_the_rest_goes(tmp_path: pathlib.Path) -> None:
    bench = Bench(tmp_path)
    used, unused = await bench.put("used"), await bench.put("unused")
    revision = records.revision("r1")
    bench.store.revisions[records.NAME] = {"r1": _of(revision, used)}
    await bench.collector.collect()
    assert (await bench.held(), await bench.shelf.size(unused)) == ({used}, None)


async def test_what_was_asked_for_lately_stays(tmp_path: pathlib.Path) -> None:
    bench = Bench(tmp_path)
    digest = await bench.put("deployed soon")
    assert await bench.shelf.size(digest) is not None
    bench.clock.advance(collecting.KEPT_SECONDS)
    await bench.collector.collect()
    assert await bench.held() == {digest}
    bench.clock.advance(1.0)
    await bench.collector.collect()
    assert await bench.held() == set()


async def test_what_is_asked_for_in_the_last_moment_stays(tmp_path: pathlib.Path) -> None:
    bench = Bench(tmp_path)
    digest = await bench.put("late")
    assert await bench.shelf.size(digest) is not None
    assert not await bench.shelf.remove(digest, bench.clock.now() - 1.0)
    assert await bench.held() == {digest}


async def test_a_round_that_fails_is_made_good_by_the_next(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path)
    await bench.put("unused")
    rounds: list[int] = []
    done = asyncio.Event()

    async def digests() -> set[str]:
        rounds.append(1)
        if len(rounds) == 1:
            raise OSError("database is away")
        done.set()
        return set()

    monkeypatch.setattr(bench.store, "bundle_digests", digests)
    running = asyncio.create_task(bench.collector.run())
    async with asyncio.timeout(5):
        while not done.is_set():
            await asyncio.sleep(0)
            bench.clock.advance(collecting.EVERY_SECONDS)
    running.cancel()


async def test_events_of_removed_apis_go_after_a_month(tmp_path: pathlib.Path) -> None:
    bench = Bench(tmp_path)
    for name in ("gone", "newest"):
        api = f"namespaces/default/apis/{name}"
        event = model.Event(api, "ApiRemoved", model.Severity.INFO, "is removed", bench.clock.now())
        await bench.store.add_event(event)
    bench.clock.advance(collecting.EVENTS_KEPT_SECONDS)
    await bench.collector.collect()
    assert len(bench.store.events) == 2
    bench.clock.advance(1.0)
    await bench.collector.collect()
    assert [event.api for event in bench.store.events] == ["namespaces/default/apis/newest"]


async def test_uploads_are_swept_in_every_round(tmp_path: pathlib.Path) -> None:
    bench = Bench(tmp_path)
    await bench.collector.collect()
    await bench.shelf.append(A, 0, b"half an")
    await bench.collector.collect()
    assert await bench.shelf.committed(A) == 0, "the disk's clock is a century behind"


def _of(revision: model.Revision, digest: str) -> model.Revision:
    spec = dataclasses.replace(revision.spec, bundle_digest=f"sha256:{digest}")
    return dataclasses.replace(revision, spec=spec)
