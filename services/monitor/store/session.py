"""Engine and transactions, and the drivers' errors turned into ours.

Only the monitor writes here, one transaction at a time; readers of SQLite do not wait for it (write-ahead log).
"""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sa_asyncio

from services.chassis import errors

_BUSY_SECONDS = 5.0
_TIMEOUT_SECONDS = 15.0
_SQLITE_FULL = 13
_POSTGRES_FULL = ("53100", "53000")


def normalise(url: str) -> sa.URL:
    """The URL with the driver we use. Raises errors.FailedPrecondition, which never holds the password."""
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise errors.FailedPrecondition(
            "CORTEX_MONITOR_DATABASE_URL does not parse; expected sqlite:///path or postgresql://host/name"
        ) from None
    drivers = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
    dialect = parsed.drivername.partition("+")[0]
    if dialect not in drivers:
        raise errors.FailedPrecondition(f"databases of type {dialect!r} are not supported; use sqlite or postgresql")
    return parsed.set(drivername=drivers[dialect])


class Database:
    """An engine, and transactions that end within a time."""

    def __init__(self, url: str) -> None:
        self.url = normalise(url)
        self.embedded = self.url.get_backend_name() == "sqlite"
        self._writing = asyncio.Lock()
        options: dict[str, Any] = {"pool_size": 2}
        if not self.embedded:
            options |= {"pool_pre_ping": True, "connect_args": {"connect_timeout": 5}}
        self.engine = sa_asyncio.create_async_engine(self.url, **options)
        if self.embedded:
            sa.event.listen(self.engine.sync_engine, "connect", _prepare_sqlite)

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[sa_asyncio.AsyncConnection]:
        async with _translated(), self.engine.begin() as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[sa_asyncio.AsyncConnection]:
        """Commits when the block ends; nothing of it is kept when the block or the commit fails."""
        async with self._writing, _translated(), self.engine.begin() as connection:
            yield connection

    def make_folder(self) -> None:
        """Raises errors.Unavailable when it cannot."""
        if self.embedded and self.url.database and self.url.database != ":memory:":
            folder = pathlib.Path(self.url.database).parent
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise errors.Unavailable(f"cannot make {folder}: {error.strerror}") from error

    async def close(self) -> None:
        await self.engine.dispose()


@contextlib.asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            yield
    except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
        raise _meaning(error) from error
    except (TimeoutError, OSError) as error:
        raise errors.Unavailable(f"the metrics database did not answer: {error}", retry_after=1.0) from error


def _meaning(error: sa.exc.DBAPIError | sa.exc.TimeoutError) -> errors.CortexError:
    cause = getattr(error, "orig", None)
    full = getattr(cause, "sqlite_errorcode", None) == _SQLITE_FULL or getattr(cause, "sqlstate", "") in _POSTGRES_FULL
    if full:
        return errors.ResourceExhausted("the disk of the metrics database is full; free some space", reason="DISK_FULL")
    told = str(cause or error).splitlines()[0] if str(cause or error) else type(cause or error).__name__
    return errors.Unavailable(f"the metrics database failed: {told[:200]}", retry_after=1.0)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {int(_BUSY_SECONDS * 1000)}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.close()
