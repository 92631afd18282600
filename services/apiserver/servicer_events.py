"""EventService: what happened, as pages and as a stream."""

from collections.abc import AsyncIterator
from typing import Any

from cortex.apiserver.v1 import event_service_pb2 as pb
from cortex.apiserver.v1 import event_service_pb2_grpc as pb_grpc
from services.apiserver import convert_status, errors, model, ports, resource_names, watch
from services.chassis import paging, server

SERVICE = "cortex.apiserver.v1.EventService"
_PAGE = 500
# Waiting ends by an event; this only bounds the harm of one that another process wrote.
_LONGEST_WAIT_SECONDS = 30.0


class EventServicer(pb_grpc.EventServiceServicer):
    def __init__(self, store: ports.StorePort, hub: watch.Hub) -> None:
        self._store = store
        self._hub = hub

    async def ListEvents(self, request: pb.ListEventsRequest, context: Any) -> pb.ListEventsResponse:
        namespace, api = _scope(request.parent, request.api)
        query, size = ("events", request.parent, request.api), paging.clamp(request.page_size)
        before = paging.open_token(query, request.page_token)
        found = await self._store.list_events(namespace, api, before=before, limit=size + 1)
        token = paging.seal(query, found[size - 1].id) if len(found) > size else ""
        events = [convert_status.event_to_pb(event) for event in found[:size]]
        return pb.ListEventsResponse(events=events, next_page_token=token)

    async def WatchEvents(self, request: pb.WatchEventsRequest, context: Any) -> AsyncIterator[pb.WatchEventsResponse]:
        namespace, api = _scope(request.parent, request.api)
        with self._hub.watch() as watcher:
            last = await self._start(request.after)
            # The caller knows that it watches before the first event comes.
            await context.send_initial_metadata(())
            # An event may be read from the store before the hub tells of it: what was sent at that count is not news.
            counts: dict[int, int] = {}
            while True:
                folded = [event for event in watcher.take_events() if event.id <= last]
                for event in folded:
                    if _matches(event, namespace, api) and event.count > counts.get(event.id, 0):
                        counts[event.id] = event.count
                        yield _answer(event)
                while page := await self._store.list_events(namespace, api, after=last, limit=_PAGE):
                    for event in page:
                        yield _answer(event)
                    counts = {event.id: event.count for event in page}
                    last = page[-1].id
                await watcher.wait(_LONGEST_WAIT_SECONDS)

    async def _start(self, after: str) -> int:
        """The id to go on behind."""
        newest = await self._store.list_events(None, None, limit=1)
        highest = newest[0].id if newest else 0
        if not after:
            return highest
        try:
            given = resource_names.parse_event(after)
        except errors.InvalidArgument as error:
            raise _invalid(after, error.message) from error
        if given > highest:
            raise _invalid(after, "no such event was ever sent by this control plane")
        return given


def _answer(event: model.Event) -> pb.WatchEventsResponse:
    return pb.WatchEventsResponse(event=convert_status.event_to_pb(event))


def _matches(event: model.Event, namespace: str | None, api: str | None) -> bool:
    inside = namespace is None or resource_names.namespace_of(event.api) == namespace
    return inside and (api is None or event.api == api)


def _scope(parent: str, api: str) -> tuple[str | None, str | None]:
    if api:
        resource_names.parse_api(api)
    return resource_names.parse_scope(parent), api or None


def _invalid(after: str, why: str) -> errors.InvalidArgument:
    return errors.InvalidArgument(
        f"cannot go on after {after[:200]!r}: {why}; watch without `after`, and list what is missing",
        reason="INVALID_RESUME_TOKEN",
    )


def add(doors: server.Server, servicer: EventServicer) -> None:
    doors.add(pb_grpc.add_EventServiceServicer_to_server, servicer, SERVICE)
