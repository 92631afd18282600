"""ApiService: convert in, one call, convert out."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from google.protobuf import message as protobuf

from cortex.apiserver.v1 import api_pb2
from cortex.apiserver.v1 import api_service_pb2 as pb
from cortex.apiserver.v1 import api_service_pb2_grpc as pb_grpc
from services.apiserver import (
    board,
    changes,
    convert_status,
    deploying,
    drafting,
    errors,
    introduction,
    masks,
    model,
    ports,
    preview,
    resource_names,
    validation,
    watch,
)
from services.apiserver import spec as specs
from services.chassis import clock as clocks
from services.chassis import paging, server

SERVICE = "cortex.apiserver.v1.ApiService"
HEARTBEAT_SECONDS = 5.0
LONGEST_REASON_BYTES = 1024
LONGEST_REQUEST_ID = 128
_PAGE = 500
_ACTORS = ("user", "autoscaler")


class ApiServicer(pb_grpc.ApiServiceServicer):
    def __init__(
        self,
        *,
        store: ports.StorePort,
        deploying: deploying.Deploying,
        drafter: drafting.Drafter,
        introduction: introduction.Introduction,
        statuses: board.StatusBoard,
        hub: watch.Hub,
        clock: clocks.Clock,
    ) -> None:
        self._store = store
        self._deploying = deploying
        self._drafter = drafter
        self._introduction = introduction
        self._statuses = statuses
        self._hub = hub
        self._clock = clock

    async def GetApi(self, request: pb.GetApiRequest, context: Any) -> api_pb2.Api:
        resource_names.parse_api(request.name)
        return self._shown(await self._store.get_api(request.name))

    async def ListApis(self, request: pb.ListApisRequest, context: Any) -> pb.ListApisResponse:
        namespace = resource_names.parse_scope(request.parent)
        query, size = ("apis", request.parent), paging.clamp(request.page_size)
        after = paging.open_token(query, request.page_token) or ""
        found = await self._store.list_apis(namespace, after, size + 1)
        token = paging.seal(query, found[size - 1].name) if len(found) > size else ""
        return pb.ListApisResponse(apis=[self._shown(api) for api in found[:size]], next_page_token=token)

    async def CreateApi(self, request: pb.CreateApiRequest, context: Any) -> api_pb2.Api:
        ask = _ask("CreateApi", request)
        name = resource_names.api(resource_names.parse_parent(request.parent), request.api_id)
        labels, spec = await self._draft(name, request.api)
        return await self._create(name, labels, spec, ask)

    async def UpdateApi(self, request: pb.UpdateApiRequest, context: Any) -> api_pb2.Api:
        ask, name, etag = _ask("UpdateApi", request), request.api.name, request.api.etag
        resource_names.parse_api(name)

        async def build(present: model.Api) -> tuple[Mapping[str, str], specs.ApiSpec]:
            stored = convert_status.api_to_pb(present, None, heard=None, now=0.0)
            return await self._draft(name, masks.merge(stored, request.api, request.update_mask.paths))

        try:
            return self._shown(await self._deploying.update(name, etag, build, ask))
        except errors.NotFound:
            if not request.allow_missing or etag:
                raise
        return await self._create_missing(request, build, ask)

    async def _create_missing(self, request: pb.UpdateApiRequest, build: Any, ask: deploying.Ask) -> api_pb2.Api:
        name = request.api.name
        labels, spec = await self._draft(name, request.api)
        try:
            return await self._create(name, labels, spec, ask)
        except errors.AlreadyExists as error:
            # Somebody else created it in between; a taken endpoint stays an error.
            if error.reason != "ALREADY_EXISTS":
                raise
        return self._shown(await self._deploying.update(name, "", build, ask))

    async def _create(
        self, name: str, labels: Mapping[str, str], spec: specs.ApiSpec, ask: deploying.Ask
    ) -> api_pb2.Api:
        made = await self._deploying.create(name, labels, spec, ask)
        await self._introduction.made(name)
        return self._shown(made)

    async def PlanApi(self, request: pb.PlanApiRequest, context: Any) -> pb.PlanApiResponse:
        name = request.api.name
        drafting.refuse(validation.check_labels(request.api.labels))
        before = await self._find(name)
        if before is not None:
            deploying.check_etag(before, request.api.etag)
        sketch = await self._drafter.sketch(name, request.api.spec, before.spec if before else None)
        labels, spec = dict(request.api.labels), sketch.spec
        step = await self._deploying.plan(before, name, labels, spec)
        differing = changes.differences(before, labels, spec)
        return pb.PlanApiResponse(
            api=convert_status.api_to_pb(step.api, None, heard=None, now=self._clock.now()),
            creates=before is None,
            revision_id=step.revision.id if step.revision else "",
            changes=[pb.FieldChange(path=it.path, before=it.before, after=it.after) for it in differing],
            actions=[*sketch.skipped, *await self._preview(before, step)],
        )

    async def _preview(self, before: model.Api | None, step: deploying.Step) -> list[str]:
        if step.api == before:
            return []
        status = self._statuses.of(before) if before is not None else None
        replicas = status.replicas if status is not None else ()
        # Hundreds of replicas take a while to imagine; other calls go on meanwhile.
        return await asyncio.to_thread(preview.preview, before, step.api, step.revision is not None, replicas)

    async def DeleteApi(self, request: pb.DeleteApiRequest, context: Any) -> api_pb2.Api:
        resource_names.parse_api(request.name)
        return self._shown(await self._deploying.delete(request.name, request.etag))

    async def RollbackApi(self, request: pb.RollbackApiRequest, context: Any) -> api_pb2.Api:
        resource_names.parse_api(request.name)
        ask = _ask("RollbackApi", request)
        return self._shown(await self._deploying.rollback(request.name, request.revision_id, ask))

    async def RefreshApi(self, request: pb.RefreshApiRequest, context: Any) -> api_pb2.Api:
        resource_names.parse_api(request.name)
        return self._shown(await self._deploying.refresh(request.name, _ask("RefreshApi", request)))

    async def ScaleApi(self, request: pb.ScaleApiRequest, context: Any) -> api_pb2.Api:
        resource_names.parse_api(request.name)
        _check_scale(request)
        given = {field.name: value for field, value in request.ListFields()}
        scaled = await self._deploying.scale(
            request.name,
            least=given.get("min_replicas"),
            most=given.get("max_replicas"),
            wanted=given.get("desired_replicas"),
            reason=request.reason,
            actor=request.actor or _ACTORS[0],
        )
        return self._shown(scaled)

    async def WatchApis(self, request: pb.WatchApisRequest, context: Any) -> AsyncIterator[pb.WatchApisResponse]:
        namespace = resource_names.parse_scope(request.parent)
        if request.api:
            resource_names.parse_api(request.api)
        sent: dict[str, tuple[str, int]] = {}
        with self._hub.watch() as watcher:
            async for api in self._everything(namespace, request.api):
                sent[api.name] = (api.uid, api.version)
                yield pb.WatchApisResponse(api=self._shown(api), type=pb.WATCH_EVENT_TYPE_UPDATED)
            yield pb.WatchApisResponse(type=pb.WATCH_EVENT_TYPE_SYNCED)
            while True:
                if not await watcher.wait(HEARTBEAT_SECONDS):
                    yield pb.WatchApisResponse(type=pb.WATCH_EVENT_TYPE_HEARTBEAT)
                for name in watcher.take():
                    if _wanted(name, namespace, request.api) and (news := self._news(name, sent)) is not None:
                        yield news

    async def GetRevision(self, request: pb.GetRevisionRequest, context: Any) -> Any:
        api, revision = resource_names.parse_revision(request.name)
        return convert_status.revision_to_pb(await self._store.get_revision(api, revision))

    async def ListRevisions(self, request: pb.ListRevisionsRequest, context: Any) -> pb.ListRevisionsResponse:
        resource_names.parse_api(request.parent)
        query, size = ("revisions", request.parent), paging.clamp(request.page_size)
        before = paging.open_token(query, request.page_token)
        found = await self._store.list_revisions(request.parent, before, size + 1)
        if not found:
            await self._store.get_api(request.parent)
        token = paging.seal(query, found[size - 1].number) if len(found) > size else ""
        revisions = [convert_status.revision_to_pb(revision) for revision in found[:size]]
        return pb.ListRevisionsResponse(revisions=revisions, next_page_token=token)

    async def _everything(self, namespace: str | None, only: str) -> AsyncIterator[model.Api]:
        if only:
            found = await self._find(only)
            if found is not None and _wanted(only, namespace, only):
                yield found
            return
        after = ""
        while page := await self._store.list_apis(namespace, after, _PAGE):
            for api in page:
                yield api
            after = page[-1].name

    def _news(self, name: str, sent: dict[str, tuple[str, int]]) -> pb.WatchApisResponse | None:
        """What to send of an API that changed; None when the stream has something newer already."""
        latest = self._hub.latest(name)
        known = sent.get(name)
        if not isinstance(latest, model.Api):
            if known is None or (latest is not None and known[0] != latest.uid):
                return None
            del sent[name]
            gone = api_pb2.Api(name=name, uid=known[0])
            return pb.WatchApisResponse(api=gone, type=pb.WATCH_EVENT_TYPE_DELETED)
        if known is not None and known[0] == latest.uid and known[1] > latest.version:
            return None
        sent[name] = (latest.uid, latest.version)
        return pb.WatchApisResponse(api=self._shown(latest), type=pb.WATCH_EVENT_TYPE_UPDATED)

    async def _find(self, name: str) -> model.Api | None:
        try:
            return await self._store.get_api(name)
        except errors.NotFound:
            return None

    async def _draft(self, name: str, given: api_pb2.Api) -> tuple[Mapping[str, str], specs.ApiSpec]:
        labels = dict(given.labels)
        drafting.refuse(validation.check_labels(labels))
        return labels, await self._drafter.draft(name, given.spec)

    def _shown(self, api: model.Api) -> api_pb2.Api:
        status = self._statuses.of(api)
        heard = None if status is None else self._statuses.observed_at(status)
        return convert_status.api_to_pb(api, status, heard=heard, now=self._clock.now())


def _wanted(name: str, namespace: str | None, only: str) -> bool:
    return (not only or name == only) and (namespace is None or resource_names.namespace_of(name) == namespace)


def _ask(method: str, request: Any) -> deploying.Ask:
    """Identity of a request: its arguments without the request id."""
    if len(request.request_id) > LONGEST_REQUEST_ID:
        drafting.refuse([errors.Violation("request_id", f"at most {LONGEST_REQUEST_ID} characters")])
    bare: protobuf.Message = type(request)()
    bare.CopyFrom(request)
    bare.ClearField("request_id")
    body = bare.SerializeToString(deterministic=True)
    return deploying.Ask(request.request_id, hashlib.sha256(method.encode() + b"\0" + body).hexdigest())


def _check_scale(request: pb.ScaleApiRequest) -> None:
    found = []
    if request.actor and request.actor not in _ACTORS:
        found.append(errors.Violation("actor", f"must be {' or '.join(_ACTORS)}"))
    if len(request.reason.encode()) > LONGEST_REASON_BYTES:
        found.append(errors.Violation("reason", f"at most {LONGEST_REASON_BYTES} bytes"))
    if request.HasField("desired_replicas") and request.desired_replicas < 0:
        found.append(errors.Violation("desired_replicas", "must not be negative"))
    if found:
        text = "; ".join(f"{violation.field}: {violation.description}" for violation in found)
        raise errors.InvalidArgument(text, violations=found)


def add(doors: server.Server, servicer: ApiServicer) -> None:
    doors.add(pb_grpc.add_ApiServiceServicer_to_server, servicer, SERVICE)
