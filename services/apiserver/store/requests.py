"""Rows of `requests`: which call a request id was used for, for a day."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.apiserver import errors, model
from services.apiserver.store import tables

KEPT_SECONDS = 86_400.0
_T = tables.requests


async def recall(connection: AsyncConnection, request_id: str, digest: str) -> str | None:
    row = (await connection.execute(sa.select(_T).where(_T.c.id == request_id))).mappings().one_or_none()
    if row is None:
        return None
    if row["digest"] != digest:
        raise reused(request_id)
    return str(row["name"])


async def remember(connection: AsyncConnection, answer: model.Answer) -> None:
    """Forgets what is older than a day on the way."""
    await connection.execute(
        sa.delete(_T).where((_T.c.time < answer.time - KEPT_SECONDS) | (_T.c.id == answer.request_id))
    )
    row = {"id": answer.request_id, "digest": answer.digest, "name": answer.name, "time": answer.time}
    await connection.execute(sa.insert(_T).values(**row))


def reused(request_id: str) -> errors.RequestIdReused:
    return errors.RequestIdReused(
        f"request_id {request_id!r} was used with other arguments; choose a new one for a new request",
        metadata={"request_id": request_id},
    )
