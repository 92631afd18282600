"""The migrations make exactly the tables, the head is the head, and a full or newer database says so."""

import pathlib

import pytest
import sqlalchemy as sa
from alembic import autogenerate, migration
from alembic import script as alembic_script

from services.chassis import errors
from services.monitor import model
from services.monitor.store import schema, session, sql, tables


def test_migrations_make_the_tables() -> None:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        schema.upgrade(connection)
        context = migration.MigrationContext.configure(connection, opts={"compare_type": True})
        assert autogenerate.compare_metadata(context, tables.metadata) == []
        heads = alembic_script.ScriptDirectory.from_config(schema.configuration(connection)).get_heads()
    assert heads == [schema.HEAD]


async def test_a_newer_schema_is_refused(tmp_path: pathlib.Path) -> None:
    url = f"sqlite:///{tmp_path}/monitor.db"
    store = await sql.connect(url)
    await store.close()
    database = session.Database(url)
    async with database.write() as connection:
        await connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    await database.close()
    with pytest.raises(errors.FailedPrecondition, match="newer version"):
        await sql.connect(url)


async def test_a_full_disk_is_named(tmp_path: pathlib.Path) -> None:
    store = await sql.connect(f"sqlite:///{tmp_path}/monitor.db")
    engine = store._database.engine
    sa.event.listen(engine.sync_engine, "begin", lambda c: c.exec_driver_sql("PRAGMA max_page_count = 1"))
    tally = model.Tally(classes={f"{n:0200d}": 1 for n in range(1000)})
    with pytest.raises(errors.ResourceExhausted) as told:
        await store.save([model.Bucket("namespaces/a/apis/x", "r1", 60, 0, tally)])
    assert told.value.reason == "DISK_FULL"
    await store.close()


@pytest.mark.parametrize("url", ["nonsense", "mysql://user:secret@host/db"])
def test_a_wrong_url_is_explained_without_its_password(url: str) -> None:
    with pytest.raises(errors.FailedPrecondition) as told:
        session.normalise(url)
    assert "secret" not in told.value.message


async def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.Unavailable, match="cannot make"):
        await sql.connect(f"sqlite:///{tmp_path}/file/x/monitor.db")
