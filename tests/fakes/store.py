"""`ports.StorePort` in memory; it passes the same suite as the databases (tests/contract/test_store.py)."""

import dataclasses
from collections.abc import Collection, Sequence

from services.apiserver import model
from services.apiserver.store import apis, events, requests, revisions


class MemoryStore:
    """`writes` counts what was changed, for tests that expect silence."""

    def __init__(self) -> None:
        self.apis: dict[str, model.Api] = {}
        self.revisions: dict[str, dict[str, model.Revision]] = {}
        self.events: list[model.Event] = []
        self.answers: dict[str, model.Answer] = {}
        self.writes = 0
        self._last_event = 0

    async def get_api(self, name: str) -> model.Api:
        if name not in self.apis:
            raise apis.not_found(name)
        return self.apis[name]

    async def list_apis(self, namespace: str | None, after: str, limit: int) -> Sequence[model.Api]:
        names = sorted(name for name in self.apis if name > after and _in(namespace, name))
        return [self.apis[name] for name in names[:limit]]

    async def list_names(self) -> Sequence[str]:
        return sorted(self.apis)

    async def create_api(
        self, api: model.Api, revision: model.Revision, *, answer: model.Answer | None = None
    ) -> model.Api:
        if api.name in self.apis:
            raise apis.already_exists(api.name)
        stored = self._put(api, 1)
        self.revisions[api.name] = {revision.id: revision}
        self._remember(answer)
        return stored

    async def update_api(
        self,
        api: model.Api,
        *,
        expected_version: int,
        revision: model.Revision | None = None,
        answer: model.Answer | None = None,
    ) -> model.Api:
        present = await self.get_api(api.name)
        if (present.uid, present.version) != (api.uid, expected_version):
            raise apis.changed_meanwhile(api.name)
        stored = self._put(api, expected_version + 1)
        if revision is not None:
            self.revisions[api.name][revision.id] = revision
        self._remember(answer)
        return stored

    async def delete_api(self, name: str, uid: str) -> None:
        if name not in self.apis or self.apis[name].uid != uid:
            raise apis.not_found(name)
        del self.apis[name], self.revisions[name]
        self.writes += 1

    async def get_revision(self, api: str, revision_id: str) -> model.Revision:
        found = self.revisions.get(api, {}).get(revision_id)
        if found is None:
            raise revisions.not_found(api, revision_id)
        return found

    async def list_revisions(self, api: str, before: int | None, limit: int) -> Sequence[model.Revision]:
        mine = sorted(self.revisions.get(api, {}).values(), key=lambda revision: -revision.number)
        return [revision for revision in mine if before is None or revision.number < before][:limit]

    async def bundle_digests(self) -> Collection[str]:
        return {known.spec.bundle_digest for mine in self.revisions.values() for known in mine.values()}

    async def set_revision_state(
        self, api: str, revision_id: str, state: model.RevisionState, reason: model.Reason, message: str
    ) -> None:
        found = await self.get_revision(api, revision_id)
        self.revisions[api][revision_id] = dataclasses.replace(found, state=state, reason=reason, message=message)
        self.writes += 1

    async def add_event(self, event: model.Event) -> model.Event:
        self.writes += 1
        mine = [index for index, known in enumerate(self.events) if known.api == event.api]
        if mine and events.same(self.events[mine[-1]], event):
            newest = self.events[mine[-1]]
            folded = dataclasses.replace(newest, count=newest.count + event.count, time=event.time)
            self.events[mine[-1]] = folded
            return folded
        self._last_event += 1
        added = dataclasses.replace(event, id=self._last_event)
        self.events.append(added)
        if len(mine) >= events.KEPT_PER_API:
            del self.events[mine[0]]
        return added

    async def list_events(
        self, namespace: str | None, api: str | None, *, before: int | None = None, after: int | None = None, limit: int
    ) -> Sequence[model.Event]:
        wanted = [
            event
            for event in self.events
            if _in(namespace, event.api)
            and (api is None or event.api == api)
            and (before is None or event.id < before)
            and (after is None or event.id > after)
        ]
        return (wanted if after is not None else wanted[::-1])[:limit]

    async def prune_events(self, before: float, most: int) -> int:
        newest = max((event.id for event in self.events), default=0)
        left = [event for event in self.events if event.api not in self.apis and event.id < newest]
        gone = {event.id for event in left if event.time < before}
        young: dict[str, list[int]] = {}
        for event in sorted(left, key=lambda event: -event.id):
            if event.id not in gone:
                young.setdefault(event.api.split("/")[1], []).append(event.id)
        gone |= {identity for ids in young.values() for identity in ids[most:]}
        self.events = [event for event in self.events if event.id not in gone]
        return len(gone)

    async def recall(self, request_id: str, digest: str) -> str | None:
        answer = self.answers.get(request_id)
        if answer is not None and answer.digest != digest:
            raise requests.reused(request_id)
        return None if answer is None else answer.name

    async def remember(self, answer: model.Answer) -> None:
        self._remember(answer)

    def _put(self, api: model.Api, version: int) -> model.Api:
        endpoint = api.spec.networking.endpoint
        for other in self.apis.values():
            if other.name != api.name and other.spec.networking.endpoint == endpoint:
                raise apis.endpoint_taken(endpoint, other.name)
        self.writes += 1
        self.apis[api.name] = stored = dataclasses.replace(api, version=version)
        return stored

    def _remember(self, answer: model.Answer | None) -> None:
        if answer is None:
            return
        fresh = {key: old for key, old in self.answers.items() if old.time >= answer.time - requests.KEPT_SECONDS}
        self.answers = {**fresh, answer.request_id: answer}


def _in(namespace: str | None, api: str) -> bool:
    return namespace is None or api.startswith(f"namespaces/{namespace}/")
