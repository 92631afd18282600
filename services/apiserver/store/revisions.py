"""Rows of `revisions`: immutable but for what became of them."""

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.apiserver import encoding, errors, model, resource_names
from services.apiserver.store import session, tables

_T = tables.revisions


async def get(connection: AsyncConnection, api: str, revision_id: str) -> model.Revision:
    query = sa.select(_T).where(_is(api, revision_id))
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is None:
        raise not_found(api, revision_id)
    return encoding.from_json(session.plain(row), model.Revision)


async def page(connection: AsyncConnection, api: str, before: int | None, limit: int) -> Sequence[model.Revision]:
    query = sa.select(_T).where(_T.c.api == api).order_by(_T.c.number.desc()).limit(limit)
    if before is not None:
        query = query.where(_T.c.number < before)
    return [
        encoding.from_json(session.plain(row), model.Revision) for row in (await connection.execute(query)).mappings()
    ]


async def bundle_digests(connection: AsyncConnection) -> Collection[str]:
    query = sa.select(_T.c.spec["bundle_digest"].as_string()).distinct()
    return set((await connection.execute(query)).scalars())


async def insert(connection: AsyncConnection, revision: model.Revision) -> None:
    row: dict[str, Any] = encoding.to_json(revision)
    await connection.execute(sa.insert(_T).values(**row))


async def set_state(
    connection: AsyncConnection,
    api: str,
    revision_id: str,
    *,
    state: model.RevisionState,
    reason: model.Reason,
    message: str,
) -> None:
    values = {"state": state.value, "reason": reason.value, "message": message}
    done = await connection.execute(sa.update(_T).where(_is(api, revision_id)).values(**values))
    if done.rowcount == 0:
        raise not_found(api, revision_id)


def not_found(api: str, revision_id: str) -> errors.NotFound:
    name = resource_names.revision(api, revision_id)
    return errors.NotFound(f"{name} does not exist; ListRevisions tells which do", metadata={"name": name})


def _is(api: str, revision_id: str) -> sa.ColumnElement[bool]:
    return (_T.c.api == api) & (_T.c.id == revision_id)
