"""Watches over a real connection: whole state, then news, once per API however slow the reader; events resumable."""

import asyncio
import dataclasses
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from cortex.apiserver.v1 import api_pb2
from cortex.apiserver.v1 import api_service_pb2 as pb
from cortex.apiserver.v1 import event_service_pb2 as event_pb
from services.apiserver import errors, model, servicer_api, watch
from tests.fakes import apiserver as fakes
from tests.fakes.apiserver import IRIS, Apiserver, refused

OTHER = "namespaces/team/apis/other"


@pytest.fixture
async def api(tmp_path: pathlib.Path) -> AsyncIterator[Apiserver]:
    async with fakes.running(tmp_path, most_watchers=2) as running:
        yield running


class Stream:
    def __init__(self, call: Any) -> None:
        self.call = call

    async def next(self) -> Any:
        return await asyncio.wait_for(self.call.read(), 10)

    async def until_synced(self) -> list[str]:
        names = []
        while (message := await self.next()).type != pb.WATCH_EVENT_TYPE_SYNCED:
            names.append(message.api.name)
        return names

    async def news(self) -> tuple[int, api_pb2.Api]:
        message = await self.next()
        return message.type, message.api


def watching(api: Apiserver, parent: str = "namespaces/-", only: str = "") -> Stream:
    return Stream(api.apis.WatchApis(pb.WatchApisRequest(parent=parent, api=only)))


def status(ready: int = 0, *, observe_time: float | None = None, generation: int = 1) -> model.Status:
    condition = model.Condition("Ready", model.Truth.TRUE, model.Reason.OK, "all well", 1.0)
    replica = model.Replica("r", IRIS, "r1-x", model.ReplicaState.READY, 1.0)
    return model.Status(
        generation, (condition,), False, "http://x/iris", {"r1-x": 100}, ready, 0, 0, (replica,), observe_time
    )


async def test_the_whole_state_comes_first_then_changes(api: Apiserver) -> None:
    await api.deploy()
    await api.deploy(OTHER)
    stream, scoped = watching(api), watching(api, "namespaces/team")
    assert await stream.until_synced() == [IRIS, OTHER]
    assert await scoped.until_synced() == [OTHER]
    await api.deploy(labels={"a": "1"})
    kind, found = await stream.news()
    assert (kind, found.name, dict(found.labels)) == (pb.WATCH_EVENT_TYPE_UPDATED, IRIS, {"a": "1"})
    await api.store.delete_api(IRIS, found.uid)
    kind, gone = await stream.news()
    assert kind == pb.WATCH_EVENT_TYPE_DELETED and gone == api_pb2.Api(name=IRIS, uid=found.uid)
    await api.deploy(OTHER, labels={"b": "2"})
    assert (await scoped.news())[1].name == OTHER, "the other namespace's changes never came"


async def test_a_status_is_news_when_it_differs(api: Apiserver) -> None:
    await api.deploy()
    stored = await api.store.get_api(IRIS)
    stream = watching(api, only=IRIS)
    await stream.until_synced()
    api.statuses.put(stored, status(1, observe_time=999.0))
    _, first = await stream.news()
    assert (first.status.ready_replicas, first.status.conditions[0].status) == (1, 1)
    api.statuses.put(stored, status(1, observe_time=1000.0))
    api.statuses.put(stored, status(2, observe_time=1000.0))
    assert (await stream.news())[1].status.ready_replicas == 2


async def test_a_status_of_an_older_record_does_not_bring_it_back(api: Apiserver) -> None:
    await api.deploy()
    old = await api.store.get_api(IRIS)
    stream = watching(api, only=IRIS)
    await stream.until_synced()
    await api.deploy(labels={"new": "1"})
    await stream.news()
    api.statuses.put(old, status(1, observe_time=999.0))
    _, found = await stream.news()
    assert dict(found.labels) == {"new": "1"} and found.status.ready_replicas == 1


async def test_silence_is_broken_by_heartbeats(api: Apiserver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servicer_api, "HEARTBEAT_SECONDS", 0.01)
    stream = watching(api)
    await stream.until_synced()
    assert (await stream.news())[0] == pb.WATCH_EVENT_TYPE_HEARTBEAT


async def test_more_streams_than_allowed_are_refused(api: Apiserver) -> None:
    streams = [watching(api), watching(api)]
    for stream in streams:
        await stream.until_synced()
    error = await refused(api.apis.WatchApis(pb.WatchApisRequest(parent="namespaces/-")))
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS")
    streams[0].call.cancel()
    # The server learns of it in its own time.
    async with asyncio.timeout(10):
        while True:
            again = watching(api)
            try:
                await again.until_synced()
                return
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0)


def test_a_slow_reader_costs_one_entry_per_api() -> None:
    hub = watch.Hub(most_watchers=1)
    with hub.watch() as watcher:
        for _ in range(1000):
            watcher.notice(IRIS)
            watcher.notice(OTHER)
        assert watcher.take() == [IRIS, OTHER] and watcher.take() == []
        with pytest.raises(errors.TooManyStreams), hub.watch():
            pass
    with hub.watch():
        pass


async def test_the_removed_are_not_remembered_for_ever(api: Apiserver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "HELD_GONE", 1)
    first = await api.deploy()
    old = await api.store.get_api(IRIS)
    other = await api.deploy(OTHER)
    stream = watching(api)
    await stream.until_synced()
    for found in (first, other):
        await api.store.delete_api(found.name, found.uid)
    assert [await stream.news() for _ in range(2)] == [
        (pb.WATCH_EVENT_TYPE_DELETED, api_pb2.Api(name=found.name, uid=found.uid)) for found in (first, other)
    ]
    assert api.hub.latest(IRIS) is None and isinstance(api.hub.latest(OTHER), watch.Gone)
    api.clock.time += 1
    again = await api.deploy()
    kind, found = await stream.news()
    assert (kind, found.uid) == (pb.WATCH_EVENT_TYPE_UPDATED, again.uid)
    api.statuses.put(old, status(1))
    assert getattr(api.hub.latest(IRIS), "uid", "") == again.uid


async def test_a_late_status_of_a_removed_api_is_nothing(api: Apiserver) -> None:
    found = await api.deploy()
    old = await api.store.get_api(IRIS)
    await api.store.delete_api(IRIS, found.uid)
    stream = watching(api)
    assert await stream.until_synced() == []
    api.hub.observed(old, status(1))
    assert isinstance(api.hub.latest(IRIS), watch.Gone)


async def test_a_status_nobody_confirms_becomes_unknown(api: Apiserver) -> None:
    await api.deploy()
    stored = await api.store.get_api(IRIS)
    api.statuses.put(stored, status(1, observe_time=api.clock.now()))
    api.clock.time += 60
    api.heard[0] = api.clock.now() - 1
    fresh = await api.apis.GetApi(pb.GetApiRequest(name=IRIS))
    assert (fresh.status.conditions[0].status, fresh.status.replicas[0].state) == (1, api_pb2.REPLICA_STATE_READY)
    assert fresh.status.observe_time.seconds == int(api.clock.now() - 1)
    api.clock.time += 10
    stale = await api.apis.GetApi(pb.GetApiRequest(name=IRIS))
    assert (stale.status.conditions[0].status, stale.status.replicas[0].state) == (3, api_pb2.REPLICA_STATE_UNKNOWN)
    assert "11 s" in stale.status.conditions[0].message and "all well" in stale.status.conditions[0].message


async def test_a_namesake_does_not_inherit_the_status(api: Apiserver) -> None:
    await api.deploy()
    stored = await api.store.get_api(IRIS)
    api.statuses.put(dataclasses.replace(stored, uid="an earlier one"), status(5, observe_time=1000.0))
    found = await api.apis.GetApi(pb.GetApiRequest(name=IRIS))
    assert found.status.ready_replicas == 0 and found.status.conditions[0].status == 3


def event(message: str, api: str = IRIS) -> model.Event:
    return model.Event(api=api, type="T", severity=model.Severity.INFO, message=message, time=1.0)


async def test_events_go_on_where_the_reader_was(api: Apiserver) -> None:
    for number in range(3):
        await api.store.add_event(event(f"m{number}"))
    await api.store.add_event(event("elsewhere", OTHER))
    listed = await api.events.ListEvents(event_pb.ListEventsRequest(parent="namespaces/default", page_size=2))
    assert [e.message for e in listed.events] == ["m2", "m1"] and listed.next_page_token
    after = listed.events[1].name
    stream = Stream(api.events.WatchEvents(event_pb.WatchEventsRequest(parent="namespaces/default", after=after)))
    assert (await stream.next()).event.message == "m2"
    await api.store.add_event(event("elsewhere too", OTHER))
    await api.store.add_event(event("m3"))
    newest = (await stream.next()).event
    assert newest.message == "m3"
    await api.store.add_event(event("m3"))
    folded = (await stream.next()).event
    assert (folded.name, folded.count) == (newest.name, 2)


async def test_events_from_now_on(api: Apiserver) -> None:
    await api.store.add_event(event("before"))
    stream = Stream(api.events.WatchEvents(event_pb.WatchEventsRequest(parent="namespaces/-", api=IRIS)))
    await stream.call.initial_metadata()
    await api.store.add_event(event("after"))
    assert (await stream.next()).event.message == "after"


@pytest.mark.parametrize("after", ["namespaces/default/events/99", "namespaces/default/events/x", "7"])
async def test_a_place_that_never_was_is_refused(api: Apiserver, after: str) -> None:
    error = await refused(api.events.WatchEvents(event_pb.WatchEventsRequest(parent="namespaces/-", after=after)))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_RESUME_TOKEN")


async def test_news_do_not_swallow_the_end_of_their_watcher() -> None:
    watcher = watch.Watcher()
    task = asyncio.create_task(watcher.wait(30))
    await asyncio.sleep(0)
    watcher.notice(IRIS)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
