"""The writes of users and of the autoscaler. Each reads the record, decides by `changes`, and writes it where it is
still as it was read; without an etag it tries again when somebody else was faster. Effects follow from the record
alone: the reconciler does them.
"""

import asyncio
import contextlib
import dataclasses
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from services.apiserver import changes, convert_status, drafting, errors, model, ports, rollbacks, validation
from services.apiserver import revisions as content
from services.apiserver import spec as specs
from services.chassis import clock as clocks
from services.chassis import telemetry

_TRIES = 20
Build = Callable[[model.Api], Awaitable[tuple[Mapping[str, str], specs.ApiSpec]]]


@dataclasses.dataclass(frozen=True, slots=True)
class Ask:
    """A caller's request id, empty when it gave none, and the digest of what it asked for."""

    request_id: str
    digest: str


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """What one try wants written: the record after, a new revision, and what to tell of it."""

    api: model.Api
    revision: model.Revision | None = None
    events: tuple[model.Event, ...] = ()


class Deploying:
    def __init__(self, *, store: ports.StorePort, clock: clocks.Clock, new_uid: Callable[[], str]) -> None:
        self._store = store
        self._clock = clock
        self._new_uid = new_uid
        self._asked: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    async def create(self, name: str, labels: Mapping[str, str], spec: specs.ApiSpec, ask: Ask) -> model.Api:
        async with self._once(ask) as earlier:
            if earlier is not None:
                return await self._store.get_api(earlier)
            return await self._create(name, labels, spec, ask)

    async def update(self, name: str, etag: str, build: Build, ask: Ask) -> model.Api:
        """`build` makes labels and spec from the present record."""

        async def step(api: model.Api) -> Step:
            labels, spec = await build(api)
            return await self._deploy(api, labels, spec)

        return await self._write(name, etag, step, ask)

    async def rollback(self, name: str, revision_id: str, ask: Ask) -> model.Api:
        async def step(api: model.Api) -> Step:
            goal = await rollbacks.find(self._store, api, revision_id)
            now = self._clock.now()
            moved = changes.changed(api, content.with_content(api.spec, goal.spec), now)
            settled = dataclasses.replace(changes.answered(moved, goal.id), target_revision=goal.id)
            text = f"Going back from {_wished(api)} to {goal.id}."
            return Step(settled, events=(self._event(api, "RolledBack", text, goal.id),))

        return await self._write(name, "", step, ask)

    async def refresh(self, name: str, ask: Ask) -> model.Api:
        async def step(api: model.Api) -> Step:
            target = await self._store.get_revision(name, api.target_revision)
            spec = content.with_content(api.spec, target.spec)
            fresh = await self._revision(api, spec, model.RevisionCause.REFRESH)
            moved = changes.changed(api, spec, self._clock.now())
            event = self._event(api, "Refreshed", f"New replicas of the same content, as {fresh.id}.", fresh.id)
            return Step(dataclasses.replace(moved, target_revision=fresh.id), fresh, (event,))

        return await self._write(name, "", step, ask)

    async def scale(
        self, name: str, *, least: int | None, most: int | None, wanted: int | None, reason: str, actor: str
    ) -> model.Api:
        async def step(api: model.Api) -> Step:
            after = changes.scaled(api, least=least, most=most, wanted=wanted, now=self._clock.now())
            drafting.refuse(validation.check(after.spec) if after.spec != api.spec else ())
            return Step(after, events=tuple(self._scaling_events(api, after, reason, actor)))

        return await self._write(name, "", step, Ask("", ""))

    async def delete(self, name: str, etag: str) -> model.Api:
        async def step(api: model.Api) -> Step:
            event = self._event(api, "ApiDeleting", "Being removed: routes, then replicas, then the record.")
            return Step(dataclasses.replace(api, delete_time=self._clock.now()), events=(event,))

        try:
            return await self._write(name, etag, step, Ask("", ""))
        except errors.ApiDeleting:
            return await self._store.get_api(name)

    async def plan(self, before: model.Api | None, name: str, labels: Mapping[str, str], spec: specs.ApiSpec) -> Step:
        """What create or update would write."""
        if before is not None:
            _check_alive(before)
            return await self._deploy(before, labels, spec)
        uid = self._new_uid()
        revision = self._first_revision(name, spec, uid)
        api = changes.first(name, labels, spec, uid=uid, target=revision.id, now=self._clock.now())
        return Step(api, revision)

    async def _create(self, name: str, labels: Mapping[str, str], spec: specs.ApiSpec, ask: Ask) -> model.Api:
        step = await self.plan(None, name, labels, spec)
        assert step.revision is not None
        try:
            created = await self._store.create_api(step.api, step.revision, answer=self._answer(ask, name))
        except errors.AlreadyExists as error:
            if error.reason == "ALREADY_EXISTS":
                _check_alive(await self._store.get_api(name))
            raise
        await self._tell(self._event(created, "ApiCreated", f"Created with {step.revision.id}.", step.revision.id))
        return created

    async def _write(self, name: str, etag: str, make: Callable[[model.Api], Awaitable[Step]], ask: Ask) -> model.Api:
        async with self._once(ask) as earlier:
            if earlier is not None:
                return await self._store.get_api(earlier)
            for _ in range(_TRIES):
                present = await self._store.get_api(name)
                check_etag(present, etag)
                _check_alive(present)
                step = await make(present)
                try:
                    return await self._apply(present, step, ask)
                except errors.EtagMismatch:
                    if etag:
                        raise
        raise errors.Unavailable(f"{name} is being changed by others without a pause; try again", retry_after=1.0)

    async def _apply(self, present: model.Api, step: Step, ask: Ask) -> model.Api:
        answer = self._answer(ask, present.name)
        if step.api == present and step.revision is None:
            if answer is not None:
                await self._store.remember(answer)
            return present
        written = await self._store.update_api(
            step.api, expected_version=present.version, revision=step.revision, answer=answer
        )
        for event in step.events:
            await self._tell(event)
        return written

    async def _deploy(self, api: model.Api, labels: Mapping[str, str], spec: specs.ApiSpec) -> Step:
        target = await self._store.get_revision(api.name, api.target_revision)
        differing = [change.path for change in changes.differences(api, labels, spec)]
        moved = dataclasses.replace(changes.changed(api, spec, self._clock.now()), labels=labels)
        if not changes.needs_revision(api, target, spec):
            text = f"Changed {', '.join(differing[:10]) or 'the source'}{' and more' if len(differing) > 10 else ''}."
            settled = changes.answered(moved, api.target_revision)
            return Step(settled, events=(self._event(api, "ApiUpdated", text),))
        fresh = await self._revision(api, spec, model.RevisionCause.DEPLOY)
        event = self._event(api, "Deployed", f"Deployed {fresh.id}.", fresh.id)
        return Step(dataclasses.replace(moved, target_revision=fresh.id), fresh, (event,))

    async def _revision(self, api: model.Api, spec: specs.ApiSpec, cause: model.RevisionCause) -> model.Revision:
        newest = await self._store.list_revisions(api.name, None, 1)
        number = newest[0].number + 1 if newest else 1
        return content.make(api.name, spec, number, uid=self._new_uid(), now=self._clock.now(), cause=cause)

    def _first_revision(self, name: str, spec: specs.ApiSpec, uid: str) -> model.Revision:
        return content.make(name, spec, 1, uid=f"{uid}-1", now=self._clock.now(), cause=model.RevisionCause.DEPLOY)

    def _scaling_events(self, before: model.Api, after: model.Api, reason: str, actor: str) -> list[model.Event]:
        found = []
        old, new = before.spec.autoscaling, after.spec.autoscaling
        if old != new:
            text = f"Replicas may now be {new.min_replicas} to {new.max_replicas}."
            found.append(self._event(before, "ScalingBoundsChanged", _because(text, reason), actor=actor))
        if before.desired_replicas != after.desired_replicas:
            up = after.desired_replicas > before.desired_replicas
            text = f"From {before.desired_replicas} to {after.desired_replicas} replicas."
            event = self._event(before, "ScaledUp" if up else "ScaledDown", _because(text, reason), actor=actor)
            found.append(dataclasses.replace(event, reason=_scaling_reason(before, after)))
        return found

    def _event(self, api: model.Api, kind: str, message: str, revision: str = "", actor: str = "user") -> model.Event:
        return model.Event(
            api=api.name,
            type=kind,
            severity=model.Severity.INFO,
            message=message,
            time=self._clock.now(),
            revision=revision,
            actor=actor,
            trace_id=telemetry.trace_id(),
        )

    async def _tell(self, event: model.Event) -> None:
        await self._store.add_event(event)

    def _answer(self, ask: Ask, name: str) -> model.Answer | None:
        return model.Answer(ask.request_id, ask.digest, name, self._clock.now()) if ask.request_id else None

    @contextlib.asynccontextmanager
    async def _once(self, ask: Ask) -> AsyncIterator[str | None]:
        """Yields the name the request was answered with before, None for a first time. A repetition that comes while
        the first is still at work waits for it."""
        if not ask.request_id:
            yield None
            return
        async with self._asked.setdefault(ask.request_id, asyncio.Lock()):
            yield await self._store.recall(ask.request_id, ask.digest)


def check_etag(api: model.Api, etag: str) -> None:
    if etag and etag != convert_status.etag(api):
        raise errors.EtagMismatch(
            f"{api.name} was changed since you read it; read it again, apply your change to it and send the new etag",
            metadata={"name": api.name},
        )


def _check_alive(api: model.Api) -> None:
    if api.delete_time is not None:
        raise errors.ApiDeleting(
            f"{api.name} is being removed; wait until it is gone, then create it again",
            metadata={"name": api.name},
            retry_after=1.0,
        )


def _wished(api: model.Api) -> str:
    """The revision that was asked for last."""
    return api.rollout.to_revision if api.rollout is not None and changes.update_failed(api) else api.target_revision


def _because(text: str, reason: str) -> str:
    return f"{text.rstrip('.')}: {reason}" if reason else text


def _scaling_reason(before: model.Api, after: model.Api) -> model.Reason:
    if after.desired_replicas == 0:
        return model.Reason.SCALED_TO_ZERO
    return model.Reason.ACTIVATING if before.desired_replicas == 0 else model.Reason.UNSPECIFIED
