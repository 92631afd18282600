"""`ports.StorePort` on SQLite or PostgreSQL: each method is one transaction."""

import dataclasses
from collections.abc import Collection, Sequence

import sqlalchemy as sa

from services.apiserver import errors, model
from services.apiserver.store import apis, events, requests, revisions, session


class SqlStore:
    def __init__(self, database: session.Database) -> None:
        self._database = database

    async def get_api(self, name: str) -> model.Api:
        async with self._database.read() as connection:
            found = await apis.get(connection, name)
        if found is None:
            raise apis.not_found(name)
        return found

    async def list_apis(self, namespace: str | None, after: str, limit: int) -> Sequence[model.Api]:
        async with self._database.read() as connection:
            return await apis.page(connection, namespace, after, limit)

    async def list_names(self) -> Sequence[str]:
        async with self._database.read() as connection:
            return await apis.names(connection)

    async def create_api(
        self, api: model.Api, revision: model.Revision, *, answer: model.Answer | None = None
    ) -> model.Api:
        stored = dataclasses.replace(api, version=1)
        try:
            async with self._database.write() as connection:
                await apis.insert(connection, stored)
                await revisions.insert(connection, revision)
                if answer is not None:
                    await requests.remember(connection, answer)
        except sa.exc.IntegrityError as error:
            raise _lost_race(api.name) from error
        return stored

    async def update_api(
        self,
        api: model.Api,
        *,
        expected_version: int,
        revision: model.Revision | None = None,
        answer: model.Answer | None = None,
    ) -> model.Api:
        stored = dataclasses.replace(api, version=expected_version + 1)
        try:
            async with self._database.write() as connection:
                await apis.update(connection, stored, expected_version)
                if revision is not None:
                    await revisions.insert(connection, revision)
                if answer is not None:
                    await requests.remember(connection, answer)
        except sa.exc.IntegrityError as error:
            raise _lost_race(api.name) from error
        return stored

    async def delete_api(self, name: str, uid: str) -> None:
        async with self._database.write() as connection:
            await apis.delete(connection, name, uid)

    async def get_revision(self, api: str, revision_id: str) -> model.Revision:
        async with self._database.read() as connection:
            return await revisions.get(connection, api, revision_id)

    async def list_revisions(self, api: str, before: int | None, limit: int) -> Sequence[model.Revision]:
        async with self._database.read() as connection:
            return await revisions.page(connection, api, before, limit)

    async def bundle_digests(self) -> Collection[str]:
        async with self._database.read() as connection:
            return await revisions.bundle_digests(connection)

    async def set_revision_state(
        self, api: str, revision_id: str, state: model.RevisionState, reason: model.Reason, message: str
    ) -> None:
        async with self._database.write() as connection:
            await revisions.set_state(connection, api, revision_id, state=state, reason=reason, message=message)

    async def add_event(self, event: model.Event) -> model.Event:
        async with self._database.write() as connection:
            return await events.add(connection, event)

    async def list_events(
        self, namespace: str | None, api: str | None, *, before: int | None = None, after: int | None = None, limit: int
    ) -> Sequence[model.Event]:
        async with self._database.read() as connection:
            return await events.page(connection, namespace=namespace, api=api, before=before, after=after, limit=limit)

    async def prune_events(self, before: float, most: int) -> int:
        async with self._database.write() as connection:
            return await events.prune(connection, before, most)

    async def recall(self, request_id: str, digest: str) -> str | None:
        async with self._database.read() as connection:
            return await requests.recall(connection, request_id, digest)

    async def remember(self, answer: model.Answer) -> None:
        async with self._database.write() as connection:
            await requests.remember(connection, answer)


def _lost_race(name: str) -> errors.EtagMismatch:
    # Only another process on the same database gets here: within this one, writers take turns.
    return errors.EtagMismatch(
        f"{name} or its endpoint was written by another process meanwhile; read it again and repeat"
    )
