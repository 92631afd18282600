"""Engine and transactions: pragmas of SQLite, one writer at a time, and driver errors turned into ours.

SQLite takes its write lock when a write transaction begins (BEGIN IMMEDIATE): a transaction that read first and wrote
later could otherwise fail half-way with "database is locked", whatever the time-out. Writers of this process queue up
on a lock of their own, so that the time-out is only ever spent on other processes.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sa_asyncio

from services.apiserver import errors

BUSY_SECONDS = 5.0
_SQLITE_FULL, _SQLITE_BUSY, _SQLITE_LOCKED, _SQLITE_IOERR = 13, 5, 6, 10
_POSTGRES_FULL = {"53100", "53000"}
_WRITING = "cortex_writing"


def normalise(url: str) -> sa.URL:
    """The URL with the driver we use. Raises ValueError naming what is wrong, and never the password."""
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise ValueError("the database URL does not parse; expected sqlite:///path or postgresql://host/name") from None
    drivers = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
    dialect = parsed.drivername.partition("+")[0]
    if dialect not in drivers:
        raise ValueError(f"databases of type {dialect!r} are not supported; use sqlite or postgresql")
    return parsed.set(drivername=drivers[dialect])


class Database:
    """An engine and its two kinds of transaction."""

    def __init__(self, url: str) -> None:
        self.url = normalise(url)
        self._lock = asyncio.Lock()
        embedded = self.url.get_backend_name() == "sqlite"
        options: dict[str, Any] = {"pool_size": 4} if embedded else {"pool_size": 10, "pool_pre_ping": True}
        self.engine = sa_asyncio.create_async_engine(self.url, **options)
        if embedded:
            sa.event.listen(self.engine.sync_engine, "connect", _prepare_sqlite)
            sa.event.listen(self.engine.sync_engine, "begin", _begin_sqlite)

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[sa_asyncio.AsyncConnection]:
        with translated():
            async with self.engine.begin() as connection:
                yield connection

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[sa_asyncio.AsyncConnection]:
        """Commits when the block ends, and nothing of it is kept when the block or the commit fails."""
        async with self._lock:
            with translated():
                async with self.engine.connect() as connection:
                    await connection.execution_options(**{_WRITING: True})
                    async with connection.begin():
                        yield connection

    async def close(self) -> None:
        await self.engine.dispose()


def plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row with keys of type str: SQLAlchemy's own subclass of it is too much for strict readers."""
    return {str(key): value for key, value in row.items()}


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turns the drivers' errors into ours; what no user can act on stays what it is and becomes INTERNAL."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        meant = _meaning(error)
        if meant is None:
            raise
        raise meant from error
    except sa.exc.TimeoutError as error:
        raise errors.DatabaseUnavailable("every database connection is in use; try again", retry_after=1.0) from error


def _meaning(error: sa.exc.DBAPIError) -> errors.CortexError | None:
    code = getattr(error.orig, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    state = getattr(error.orig, "sqlstate", None)
    if primary == _SQLITE_FULL or state in _POSTGRES_FULL or (primary == _SQLITE_IOERR and "full" in str(error.orig)):
        return errors.DiskFull(
            "the disk that holds the database is full; nothing was changed: free some space, try again"
        )
    if primary in (_SQLITE_BUSY, _SQLITE_LOCKED):
        return errors.DatabaseUnavailable(
            f"another process held the database's lock for {BUSY_SECONDS:.0f} s; nothing was changed: try again",
            retry_after=1.0,
        )
    lost = error.connection_invalidated or (state is None and primary is None) or str(state).startswith(("08", "57P"))
    if lost and isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError):
        return errors.DatabaseUnavailable(
            "the database does not answer; nothing was changed: try again", retry_after=1.0
        )
    return None


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # We begin transactions ourselves; the driver must not.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={int(BUSY_SECONDS * 1000)}",
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    writing = connection.get_execution_options().get(_WRITING)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
