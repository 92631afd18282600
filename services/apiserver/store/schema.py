"""Brings the database's schema to what the code expects.

Alembic takes half a second to import, so it is imported only when there is something to migrate: a start with a
database that is up to date reads one row.
"""

import pathlib
from typing import Any

import sqlalchemy as sa
import structlog

from services.apiserver import errors
from services.apiserver.store import session

# The newest file of migrations/versions; a test compares.
HEAD = "0001"
MIGRATIONS = pathlib.Path(__file__).parent / "migrations"
_log = structlog.get_logger("schema")


async def prepare(database: session.Database) -> None:
    """Migrates when the schema is behind. Raises FailedPrecondition when a newer version of Cortex has been here."""
    _make_folder(database.url)
    found = await _version(database)
    if found == HEAD:
        return
    known = sorted(path.stem.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))
    if found is not None and found not in known:
        raise errors.FailedPrecondition(
            f"the database has schema {found}, this version of Cortex knows up to {HEAD}: "
            "run the newer version that wrote it, or restore a copy from before the upgrade"
        )
    _log.info("migrating", found=found, head=HEAD)
    async with database.write() as connection:
        await connection.run_sync(upgrade)


def configuration(connection: sa.Connection) -> Any:
    """Alembic's configuration for a connection that is already open."""
    from alembic import config

    made = config.Config()
    made.set_main_option("script_location", str(MIGRATIONS))
    made.attributes["connection"] = connection
    return made


def upgrade(connection: sa.Connection) -> None:
    from alembic import command

    command.upgrade(configuration(connection), "head")


async def _version(database: session.Database) -> str | None:
    async with database.read() as connection:
        if not await connection.run_sync(lambda c: sa.inspect(c).has_table("alembic_version")):
            return None
        found = await connection.execute(sa.text("SELECT version_num FROM alembic_version"))
        version: str | None = found.scalar_one_or_none()
        return version


def _make_folder(url: sa.URL) -> None:
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        pathlib.Path(url.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
