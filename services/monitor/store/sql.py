"""`ports.HistoryStore` on SQLite or PostgreSQL: each method is one transaction, or a few short ones."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from cortex.monitor.v1 import monitor_service_pb2 as pb
from services.monitor import convert, model
from services.monitor.store import schema, session, tables

_T = tables.buckets
_PRUNED_AT_ONCE = 6 * model.HOUR


async def connect(url: str) -> "SqlStore":
    """Raises errors.CortexError when the database cannot be used."""
    database = session.Database(url)
    try:
        await schema.prepare(database)
    except BaseException:
        await database.close()
        raise
    return SqlStore(database)


class SqlStore:
    def __init__(self, database: session.Database) -> None:
        self._database = database
        self._insert: Any = sqlite.insert if database.embedded else postgresql.insert

    async def save(self, buckets: Sequence[model.Bucket]) -> None:
        if not buckets:
            return
        rows = [_to_row(bucket) for bucket in buckets]
        statement = self._insert(_T)
        statement = statement.on_conflict_do_update(
            index_elements=_T.primary_key.columns, set_={"counts": statement.excluded.counts}
        )
        async with self._database.write() as connection:
            await connection.execute(statement, rows)

    async def load(self, spans: Sequence[model.Span], apis: Sequence[str] | None) -> Sequence[model.Bucket]:
        if apis is not None and not apis:
            return []
        found: list[model.Bucket] = []
        async with self._database.read() as connection:
            for span in spans:
                if span.begin >= span.end:
                    continue
                query = sa.select(_T).where(
                    (_T.c.resolution == span.resolution) & (_T.c.start >= span.begin) & (_T.c.start < span.end)
                )
                if apis is not None:
                    query = query.where(_T.c.api.in_(apis))
                found += [_from_row(row) for row in await connection.execute(query)]
        return found

    async def apis(self, since: int) -> Sequence[str]:
        hours = (_T.c.resolution == model.HOUR) & (_T.c.start >= since - model.HOUR)
        query = sa.select(_T.c.api).where(hours).distinct().order_by(_T.c.api)
        async with self._database.read() as connection:
            return list((await connection.execute(query)).scalars())

    async def prune(self, before: int) -> int:
        """In short transactions, the oldest first, so that saving never waits long."""
        removed = 0
        while True:
            async with self._database.read() as connection:
                oldest = (await connection.execute(sa.select(sa.func.min(_T.c.start)))).scalar_one_or_none()
            if oldest is None or oldest >= before:
                return removed
            until = min(before, oldest + _PRUNED_AT_ONCE)
            async with self._database.write() as connection:
                old = _T.c.resolution.in_([model.MINUTE, model.HOUR]) & (_T.c.start < until)
                removed += (await connection.execute(sa.delete(_T).where(old))).rowcount

    async def close(self) -> None:
        await self._database.close()


def _to_row(bucket: model.Bucket) -> dict[str, Any]:
    counted = bucket.tally
    message = pb.ReportMetricsRequest(
        requests_by_status=counted.requests, latency=convert.from_sketch(counted.latency),
        queue_time=convert.from_sketch(counted.queue_time), lost_observations=counted.lost,
        predictions=convert.predictions(counted) if counted.tracks else None,
    )  # fmt: skip
    return {
        "api": bucket.api, "revision": bucket.revision, "resolution": bucket.resolution, "start": bucket.start,
        "counts": message.SerializeToString(),
    }  # fmt: skip


def _from_row(row: Any) -> model.Bucket:
    message = pb.ReportMetricsRequest.FromString(row.counts)
    counted = convert.tally(message)
    counted.lost = message.lost_observations
    return model.Bucket(row.api, row.revision, row.resolution, row.start, counted)
