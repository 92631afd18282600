"""Every store keeps the same promises: SQLite, a real PostgreSQL, and the one in memory that other tests use."""

import asyncio
import dataclasses
import pathlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import autogenerate, migration

from services.apiserver import errors, model, ports, revisions
from services.apiserver import spec as specs
from services.apiserver.store import schema, session, sql, tables
from tests.fakes import postgres
from tests.fakes import store as fake_store


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[str]:
    with postgres.server() as url:
        yield url


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> AsyncIterator[ports.StorePort]:
    if request.param == "memory":
        yield fake_store.MemoryStore()
        return
    url = f"sqlite:///{tmp_path}/cortex.db"
    if request.param == "postgresql":
        url = postgres.create_database(request.getfixturevalue("postgres_server"))
    database = session.Database(url)
    await schema.prepare(database)
    yield sql.SqlStore(database)
    await database.close()


def spec(api_id: str = "iris", **changes: object) -> specs.ApiSpec:
    made = specs.ApiSpec(
        predictor=specs.Predictor(path="predictor.py", config={"n": 1, "deep": {"x": [1.5, None, "é"]}}),
        networking=specs.Networking(endpoint=f"/{api_id}"),
        bundle_digest="sha256:" + "ab" * 32,
        monitoring=specs.Monitoring(specs.ModelType.REGRESSION, key="y"),
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def pair(api_id: str = "iris", namespace: str = "default", uid: str = "u1") -> tuple[model.Api, model.Revision]:
    name = f"namespaces/{namespace}/apis/{api_id}"
    endpoint = f"/{api_id}" if namespace == "default" else f"/{namespace}/{api_id}"
    wanted = spec(api_id, networking=specs.Networking(endpoint=endpoint))
    first = revisions.make(name, wanted, 1, uid=f"{uid}-1", now=10.5, cause=model.RevisionCause.DEPLOY)
    rollout = model.Rollout(model.RolloutState.IN_PROGRESS, "", first.id, 10.5, 10.5)
    api = model.Api(
        name=name,
        uid=uid,
        generation=1,
        version=0,
        labels={"team": "a"},
        spec=wanted,
        create_time=10.5,
        update_time=10.5,
        target_revision=first.id,
        serving_revision="",
        desired_replicas=1,
        rollout=rollout,
    )
    return api, first


def event(message: str, *, api: str = "namespaces/default/apis/iris", time: float = 1.0) -> model.Event:
    return model.Event(api=api, type="Deployed", severity=model.Severity.INFO, message=message, time=time)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_migrations_make_exactly_the_tables(
    kind: str, request: pytest.FixtureRequest, tmp_path: pathlib.Path
) -> None:
    url = f"sqlite:///{tmp_path}/cortex.db"
    if kind == "postgresql":
        url = postgres.create_database(request.getfixturevalue("postgres_server"))
    database = session.Database(url)
    await schema.prepare(database)

    def compare(connection: sa.Connection) -> list[Any]:
        context = migration.MigrationContext.configure(connection, opts={"compare_type": True})
        return list(autogenerate.compare_metadata(context, tables.metadata))

    async with database.read() as connection:
        assert await connection.run_sync(compare) == []
    await database.close()


async def test_what_goes_in_comes_out(store: ports.StorePort) -> None:
    api, first = pair()
    stored = await store.create_api(api, first)
    assert stored == dataclasses.replace(api, version=1)
    assert await store.get_api(api.name) == stored
    assert await store.get_revision(api.name, first.id) == first


async def test_a_name_is_given_once(store: ports.StorePort) -> None:
    await store.create_api(*pair())
    with pytest.raises(errors.AlreadyExists):
        await store.create_api(*pair(uid="u2"))
    assert (await store.get_api(pair()[0].name)).uid == "u1"


async def test_an_endpoint_is_given_once_over_all_namespaces(store: ports.StorePort) -> None:
    await store.create_api(*pair())
    api, first = pair("other", "team")
    clash = dataclasses.replace(api, spec=dataclasses.replace(api.spec, networking=specs.Networking(endpoint="/iris")))
    with pytest.raises(errors.EndpointTaken, match="belongs to namespaces/default/apis/iris"):
        await store.create_api(clash, first)
    created = await store.create_api(api, first)
    with pytest.raises(errors.EndpointTaken):
        await store.update_api(dataclasses.replace(clash, version=1), expected_version=created.version)
    assert (await store.get_api(api.name)).spec.networking.endpoint == "/team/other"


async def test_the_second_of_two_writers_is_refused(store: ports.StorePort) -> None:
    api, first = pair()
    created = await store.create_api(api, first)
    changed = await store.update_api(dataclasses.replace(created, desired_replicas=3), expected_version=1)
    assert changed.version == 2
    with pytest.raises(errors.EtagMismatch):
        await store.update_api(dataclasses.replace(created, desired_replicas=9), expected_version=1)
    assert (await store.get_api(api.name)).desired_replicas == 3


async def test_many_writers_at_once_lose_nothing(store: ports.StorePort) -> None:
    await store.create_api(*pair())

    async def raise_by_one() -> None:
        while True:
            present = await store.get_api(pair()[0].name)
            more = dataclasses.replace(present, desired_replicas=present.desired_replicas + 1)
            try:
                await store.update_api(more, expected_version=present.version)
                return
            except errors.EtagMismatch:
                continue

    await asyncio.wait_for(asyncio.gather(*(raise_by_one() for _ in range(8))), 30)
    assert (await store.get_api(pair()[0].name)).desired_replicas == 9


async def test_a_refused_update_leaves_no_revision_and_no_answer(store: ports.StorePort) -> None:
    api, first = pair()
    created = await store.create_api(api, first)
    second = dataclasses.replace(first, id="r2-x", number=2, uid="u1-2")
    answer = model.Answer("q", "d", api.name, 1.0)
    with pytest.raises(errors.EtagMismatch):
        await store.update_api(created, expected_version=7, revision=second, answer=answer)
    assert [revision.id for revision in await store.list_revisions(api.name, None, 10)] == [first.id]
    assert await store.recall("q", "d") is None
    await store.update_api(created, expected_version=1, revision=second, answer=answer)
    assert [revision.number for revision in await store.list_revisions(api.name, None, 10)] == [2, 1]
    assert [revision.number for revision in await store.list_revisions(api.name, 2, 10)] == [1]
    assert await store.recall("q", "d") == api.name


async def test_what_is_missing_is_not_found(store: ports.StorePort) -> None:
    api, first = pair()
    missing = "namespaces/default/apis/none"
    with pytest.raises(errors.NotFound):
        await store.get_api(missing)
    with pytest.raises(errors.NotFound):
        await store.update_api(api, expected_version=1)
    with pytest.raises(errors.NotFound):
        await store.delete_api(missing, "u1")
    with pytest.raises(errors.NotFound):
        await store.get_revision(api.name, first.id)
    with pytest.raises(errors.NotFound):
        await store.set_revision_state(api.name, first.id, model.RevisionState.FAILED, model.Reason.OK, "")


async def test_deleting_takes_the_revisions_and_leaves_the_events(store: ports.StorePort) -> None:
    api, first = pair()
    await store.create_api(api, first)
    await store.add_event(event("hello"))
    with pytest.raises(errors.NotFound):
        await store.delete_api(api.name, "another uid")
    await store.delete_api(api.name, api.uid)
    assert list(await store.list_revisions(api.name, None, 10)) == []
    assert [e.message for e in await store.list_events(None, api.name, limit=10)] == ["hello"]
    again = await store.create_api(*pair(uid="u2"))
    assert again.uid == "u2"


async def test_the_bundles_that_revisions_name_are_told_once(store: ports.StorePort) -> None:
    assert set(await store.bundle_digests()) == set()
    api, first = pair()
    await store.create_api(api, first)
    await store.create_api(*pair("other", uid="u2"))
    other = spec(bundle_digest="sha256:" + "cd" * 32)
    second = revisions.make(api.name, other, 2, uid="u1-2", now=11.0, cause=model.RevisionCause.DEPLOY)
    await store.update_api(api, expected_version=1, revision=second)
    assert sorted(await store.bundle_digests()) == [first.spec.bundle_digest, other.bundle_digest]


async def test_a_revision_s_fate_is_kept(store: ports.StorePort) -> None:
    api, first = pair()
    await store.create_api(api, first)
    await store.set_revision_state(
        api.name, first.id, model.RevisionState.FAILED, model.Reason.IMPORT_FAILED, "Traceback\x1b …"
    )
    found = await store.get_revision(api.name, first.id)
    assert (found.state, found.reason, found.message) == (
        model.RevisionState.FAILED,
        model.Reason.IMPORT_FAILED,
        "Traceback\x1b …",
    )
    assert (await store.get_api(api.name)).version == 1


async def test_pages_cover_everything_once(store: ports.StorePort) -> None:
    for namespace in ("default", "team"):
        for index in range(5):
            await store.create_api(*pair(f"a{index}", namespace, uid=f"{namespace}{index}"))
    names, after = [], ""
    while page := await store.list_apis(None, after, 3):
        names += [api.name for api in page]
        after = names[-1]
    assert len(names) == 10 and names == sorted(set(names))
    assert len(await store.list_apis("team", "", 100)) == 5


async def test_equal_events_in_a_row_are_one(store: ports.StorePort) -> None:
    one = await store.add_event(event("same", time=1.0))
    two = await store.add_event(event("same", time=2.0))
    assert (two.id, two.count, two.time) == (one.id, 2, 2.0)
    other = await store.add_event(event("other", api="namespaces/team/apis/x"))
    three = await store.add_event(event("same", time=3.0))
    assert (three.id, three.count) == (one.id, 3), "another API's event does not come between"
    between = await store.add_event(event("between"))
    four = await store.add_event(event("same"))
    assert one.id < other.id < between.id < four.id and four.count == 1
    assert [e.id for e in await store.list_events("team", None, limit=10)] == [other.id]
    assert [e.id for e in await store.list_events("default", None, limit=2)] == [four.id, between.id]
    assert [e.id for e in await store.list_events(None, None, before=four.id, limit=2)] == [between.id, other.id]
    assert [e.id for e in await store.list_events(None, None, after=one.id, limit=2)] == [other.id, between.id]


async def test_events_of_what_is_gone_are_pruned_by_age_and_number(store: ports.StorePort) -> None:
    api, first = pair()
    await store.create_api(api, first)
    await store.add_event(event("of an API that is there", time=1.0))
    for number in range(4):
        await store.add_event(event(f"{number}", api="namespaces/default/apis/gone", time=float(number)))
    await store.add_event(event("another namespace", api="namespaces/team/apis/gone", time=2.0))
    await store.add_event(event("newest of all", api="namespaces/team/apis/gone", time=0.0))
    assert await store.prune_events(before=1.0, most=2) == 2
    left = [e.message for e in await store.list_events(None, None, limit=10)]
    assert left == ["newest of all", "another namespace", "3", "2", "of an API that is there"]
    assert await store.prune_events(before=1.0, most=2) == 0
    await store.delete_api(api.name, api.uid)
    assert await store.prune_events(before=100.0, most=2) == 4


async def test_names_alone(store: ports.StorePort) -> None:
    assert await store.list_names() == []
    for api_id in ("b", "a"):
        await store.create_api(*pair(api_id))
    await store.create_api(*pair("a", "team"))
    assert [name.removeprefix("namespaces/") for name in await store.list_names()] == [
        "default/apis/a",
        "default/apis/b",
        "team/apis/a",
    ]


async def test_a_request_id_belongs_to_one_request_for_a_day(store: ports.StorePort) -> None:
    await store.remember(model.Answer("q", "d", "name", 1000.0))
    assert await store.recall("q", "d") == "name"
    with pytest.raises(errors.RequestIdReused):
        await store.recall("q", "other")
    await store.remember(model.Answer("later", "d", "name", 1000.0 + 86_399))
    assert await store.recall("q", "d") == "name"
    await store.remember(model.Answer("latest", "d", "name", 1000.0 + 86_401))
    assert await store.recall("q", "d") is None
