"""One pass after another through the real executor, against the fakes."""

import asyncio
import dataclasses
import random
from collections.abc import Sequence

import pytest

from services.apiserver import errors, model, observation, reconciler
from tests.fakes import records
from tests.fakes.backend import FakeBackend
from tests.fakes.board import FakeBoard
from tests.fakes.clock import FakeClock
from tests.fakes.gateway import FakeEnvoy, FakeGateway
from tests.fakes.store import MemoryStore

OTHER = "namespaces/team/apis/fraud"


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock(records.NOW)
        self.store = MemoryStore()
        self.backend = FakeBackend(self.clock)
        self.envoy = FakeEnvoy()
        self.restart()

    def restart(self) -> None:
        self.board = FakeBoard()
        self.gateway = FakeGateway(self.clock, self.envoy)
        self.backend.forget_observation()
        self.reconciler = reconciler.Reconciler(
            store=self.store,
            backend=self.backend,
            gateway=self.gateway,
            board=self.board,
            clock=self.clock,
            rng=random.Random(1),
        )

    async def create(self, name: str = records.NAME, **parts: object) -> None:
        await self.store.create_api(records.api(name, **parts), records.revision("r1", name))  # type: ignore[arg-type]

    async def turn(self, *names: str, seconds: float = 0.2) -> None:
        self.clock.advance(seconds)
        self.backend.tick()
        for name in names or (records.NAME,):
            await self.reconciler.reconcile(name)

    async def serve(self, *names: str) -> None:
        for _ in range(30):
            await self.turn(*names)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_an_api_comes_up_and_says_so(bench: Bench) -> None:
    await bench.create(desired=2)
    await bench.serve()
    assert bench.store.apis[records.NAME].serving_revision == "r1"
    assert bench.store.revisions[records.NAME]["r1"].state is model.RevisionState.SERVING
    status = bench.board.statuses[records.NAME]
    assert (status.conditions[0].status, status.routable_replicas) == (model.Truth.TRUE, 2)
    types = [event.type for event in bench.store.events]
    assert types[0] == "RolloutStarted" and "ReplicaStarted" in types and types[-1] == "RolloutSucceeded"


async def test_a_quiet_api_costs_no_write_and_no_publication(bench: Bench) -> None:
    await bench.create()
    await bench.serve()
    writes, published = bench.store.writes, len(bench.gateway.published)
    await bench.serve()
    assert (bench.store.writes, len(bench.gateway.published)) == (writes, published)


async def test_a_restarted_apiserver_shows_nothing_until_it_knows_everything(bench: Bench) -> None:
    names = (records.NAME, OTHER)
    for name in names:
        await bench.create(name)
    await bench.serve(*names)
    before, replicas = dict(bench.envoy.routes), set(bench.backend.real())
    bench.restart()
    await bench.reconciler.reconcile(records.NAME)
    await bench.reconciler.reconcile(OTHER)
    assert bench.gateway.published == []
    await bench.turn(records.NAME)
    assert bench.gateway.published == []
    await bench.turn(OTHER)
    assert bench.gateway.published == [before]
    await bench.serve(*names)
    assert bench.gateway.published == [before] and set(bench.backend.real()) == replicas


async def test_a_start_that_ends_in_doubt_is_repeated_by_the_same_id(bench: Bench) -> None:
    await bench.create()
    bench.clock.advance(0.2)
    bench.backend.tick()
    bench.backend.silent = True
    with pytest.raises(errors.BackendUnavailable):
        await bench.reconciler.reconcile(records.NAME)
    assert bench.board.statuses[records.NAME].reconciling
    bench.backend.silent = False
    await bench.serve()
    assert len(bench.backend.real()) == 1
    assert [event.type for event in bench.store.events].count("RolloutSucceeded") == 1


async def test_what_was_asked_for_and_is_not_shown_yet_is_not_asked_for_again(bench: Bench) -> None:
    await bench.create(desired=3)
    bench.clock.advance(0.2)
    bench.backend.tick()
    for _ in range(5):
        await bench.reconciler.reconcile(records.NAME)
    assert len(bench.backend.real()) == 3


async def test_a_start_that_the_node_lost_is_made_up_for(bench: Bench) -> None:
    await bench.create()
    await bench.turn()
    bench.backend.wipe()
    for _ in range(4):
        await bench.turn(seconds=9)
    assert len(bench.backend.real()) == 1


async def test_a_write_by_somebody_else_only_costs_another_look(bench: Bench) -> None:
    await bench.create()
    get = bench.store.get_api

    async def slow(name: str) -> model.Api:
        seen = await get(name)
        bench.store.apis[name] = dataclasses.replace(seen, version=seen.version + 1)
        return seen

    bench.store.get_api = slow  # type: ignore[method-assign]
    bench.clock.advance(0.2)
    bench.backend.tick()
    assert await bench.reconciler.reconcile(records.NAME) == 0.0
    assert bench.backend.real() == {} and bench.board.statuses == {}


async def test_deletion_ends_with_nothing_left(bench: Bench) -> None:
    await bench.create()
    await bench.serve()
    api = bench.store.apis[records.NAME]
    await bench.store.update_api(dataclasses.replace(api, delete_time=1.0), expected_version=api.version)
    await bench.turn()
    assert bench.board.statuses[records.NAME].conditions[0].reason is model.Reason.DELETING
    await bench.serve()
    assert (bench.store.apis, bench.backend.real(), bench.envoy.routes, bench.board.statuses) == ({}, {}, {}, {})


async def test_an_empty_cluster_opens_at_once_and_runs_until_cancelled(bench: Bench) -> None:
    task = asyncio.create_task(bench.reconciler.run())
    async with asyncio.timeout(5):
        while bench.gateway.published != [{}]:
            await asyncio.sleep(0)
        await bench.create()
        bench.reconciler.changed(records.NAME)
        while not bench.backend.real():
            bench.backend.tick()
            bench.clock.advance(0.5)
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_all_names_are_listed_once_or_twice_before_the_gateways_are_served(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"namespaces/default/apis/a{number}" for number in range(9)]
    for name in names:
        await bench.create(name)
    lists: list[int] = []
    real = bench.store.list_names

    async def counted() -> Sequence[str]:
        lists.append(1)
        return await real()

    monkeypatch.setattr(bench.store, "list_names", counted)
    await bench.turn(*names)
    assert len(bench.gateway.published[0]) == 9 and len(lists) == 2


async def test_an_orphan_goes(bench: Bench) -> None:
    await bench.create(OTHER)
    await bench.backend.start_replica("stray", records.revision("r7"))
    await bench.serve(OTHER, records.NAME)
    assert [r.api for r in bench.backend.real().values()] == [OTHER]
    assert observation.endpoint_ids(bench.envoy.routes[OTHER])
