"""A store that tells: every write, whoever makes it, reaches the watchers and the reconciler.

What began is finished even when its caller hangs up meanwhile. A commit that nobody heard of would wait for the
reconciler's next round; and a query cancelled half-way leaves SQLAlchemy closing its connection in a task of its own,
which never ends when the loop is shut down around it.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any, TypeVar

from services.apiserver import model, ports, watch

T = TypeVar("T")


class AnnouncingStore:
    """`ports.StorePort` around another one. `enqueue` makes the reconciler look at an API again."""

    def __init__(self, inner: ports.StorePort, hub: watch.Hub, enqueue: Callable[[str], None]) -> None:
        self._inner = inner
        self._hub = hub
        self._enqueue = enqueue
        self._running: set[asyncio.Task[Any]] = set()

    async def settle(self) -> None:
        """Waits for all that began; to be called before the database is closed."""
        while self._running:
            await asyncio.wait(self._running)

    async def get_api(self, name: str) -> model.Api:
        return await self._whole(self._inner.get_api(name))

    async def list_apis(self, namespace: str | None, after: str, limit: int) -> Sequence[model.Api]:
        return await self._whole(self._inner.list_apis(namespace, after, limit))

    async def list_names(self) -> Sequence[str]:
        return await self._whole(self._inner.list_names())

    async def create_api(
        self, api: model.Api, revision: model.Revision, *, answer: model.Answer | None = None
    ) -> model.Api:
        return await self._whole(self._write(self._inner.create_api(api, revision, answer=answer)))

    async def update_api(
        self,
        api: model.Api,
        *,
        expected_version: int,
        revision: model.Revision | None = None,
        answer: model.Answer | None = None,
    ) -> model.Api:
        work = self._inner.update_api(api, expected_version=expected_version, revision=revision, answer=answer)
        return await self._whole(self._write(work))

    async def delete_api(self, name: str, uid: str) -> None:
        await self._whole(self._delete(name, uid))

    async def get_revision(self, api: str, revision_id: str) -> model.Revision:
        return await self._whole(self._inner.get_revision(api, revision_id))

    async def list_revisions(self, api: str, before: int | None, limit: int) -> Sequence[model.Revision]:
        return await self._whole(self._inner.list_revisions(api, before, limit))

    async def bundle_digests(self) -> Collection[str]:
        return await self._whole(self._inner.bundle_digests())

    async def set_revision_state(
        self, api: str, revision_id: str, state: model.RevisionState, reason: model.Reason, message: str
    ) -> None:
        await self._whole(self._inner.set_revision_state(api, revision_id, state, reason, message))

    async def add_event(self, event: model.Event) -> model.Event:
        return await self._whole(self._add_event(event))

    async def list_events(
        self, namespace: str | None, api: str | None, *, before: int | None = None, after: int | None = None, limit: int
    ) -> Sequence[model.Event]:
        return await self._whole(self._inner.list_events(namespace, api, before=before, after=after, limit=limit))

    async def prune_events(self, before: float, most: int) -> int:
        return await self._whole(self._inner.prune_events(before, most))

    async def recall(self, request_id: str, digest: str) -> str | None:
        return await self._whole(self._inner.recall(request_id, digest))

    async def remember(self, answer: model.Answer) -> None:
        await self._whole(self._inner.remember(answer))

    async def _write(self, work: Coroutine[Any, Any, model.Api]) -> model.Api:
        api = await work
        self._hub.written(api)
        self._enqueue(api.name)
        return api

    async def _delete(self, name: str, uid: str) -> None:
        await self._inner.delete_api(name, uid)
        self._hub.removed(name, uid)
        # The name may be in use again by an API that waits to be looked at.
        self._enqueue(name)

    async def _add_event(self, event: model.Event) -> model.Event:
        stored = await self._inner.add_event(event)
        self._hub.happened(stored)
        return stored

    async def _whole(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        # Whoever asked may be gone; its error is nobody's then, and not worth a line in the log.
        if not task.cancelled():
            task.exception()
