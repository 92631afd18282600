"""Rows of `events`: folded while they repeat, capped per API, kept for a while when the API goes."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.apiserver import encoding, model, resource_names
from services.apiserver.store import session, tables

KEPT_PER_API = 1000
_T = tables.events


async def add(connection: AsyncConnection, event: model.Event) -> model.Event:
    newest = await _newest(connection, event.api)
    if newest is not None and same(newest, event):
        folded = {"count": newest.count + event.count, "time": event.time}
        await connection.execute(sa.update(_T).where(_T.c.id == newest.id).values(**folded))
        return _from_row({**encoding.to_json(newest), **folded})
    row = {**encoding.to_json(event), "namespace": resource_names.namespace_of(event.api)}
    del row["id"]
    added = (await connection.execute(sa.insert(_T).values(**row).returning(_T.c.id))).scalar_one()
    await _trim(connection, event.api)
    return _from_row({**encoding.to_json(event), "id": added})


async def page(
    connection: AsyncConnection,
    *,
    namespace: str | None,
    api: str | None,
    before: int | None,
    after: int | None,
    limit: int,
) -> Sequence[model.Event]:
    query = sa.select(_T).limit(limit)
    query = query.order_by(_T.c.id.desc() if after is None else _T.c.id.asc())
    wanted = {_T.c.namespace: namespace, _T.c.api: api}
    for column, value in wanted.items():
        if value is not None:
            query = query.where(column == value)
    if before is not None:
        query = query.where(_T.c.id < before)
    if after is not None:
        query = query.where(_T.c.id > after)
    return [_from_row(session.plain(row)) for row in (await connection.execute(query)).mappings()]


async def prune(connection: AsyncConnection, before: float, most: int) -> int:
    newest_of_all = sa.select(sa.func.max(_T.c.id)).scalar_subquery()
    left = _T.c.api.not_in(sa.select(tables.apis.c.name)) & (_T.c.id < newest_of_all)
    removed = (await connection.execute(sa.delete(_T).where(left & (_T.c.time < before)))).rowcount
    for namespace in (await connection.execute(sa.select(_T.c.namespace).where(left).distinct())).scalars().all():
        mine = left & (_T.c.namespace == namespace)
        ids = sa.select(_T.c.id).where(mine).order_by(_T.c.id.desc())
        first_lost = (await connection.execute(ids.offset(most).limit(1))).scalar_one_or_none()
        if first_lost is not None:
            removed += (await connection.execute(sa.delete(_T).where(mine & (_T.c.id <= first_lost)))).rowcount
    return removed


def same(one: model.Event, other: model.Event) -> bool:
    """Whether the two tell the same story, but for when and by which request."""
    return _story(one) == _story(other)


def _story(event: model.Event) -> tuple[object, ...]:
    return (
        event.api,
        event.type,
        event.severity,
        event.message,
        event.reason,
        event.revision,
        event.replica,
        event.actor,
    )


async def _newest(connection: AsyncConnection, api: str) -> model.Event | None:
    found = await page(connection, namespace=None, api=api, before=None, after=None, limit=1)
    return found[0] if found else None


async def _trim(connection: AsyncConnection, api: str) -> None:
    mine = sa.select(_T.c.id).where(_T.c.api == api).order_by(_T.c.id.desc())
    first_lost = (await connection.execute(mine.offset(KEPT_PER_API).limit(1))).scalar_one_or_none()
    if first_lost is not None:
        await connection.execute(sa.delete(_T).where((_T.c.api == api) & (_T.c.id <= first_lost)))


def _from_row(row: dict[str, Any]) -> model.Event:
    row.pop("namespace", None)
    return encoding.from_json(row, model.Event)
