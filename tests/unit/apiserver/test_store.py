"""What a database does beyond the contract of stores: migrations, a full disk, a foreign lock, a start in no time."""

import asyncio
import pathlib
import sqlite3
import subprocess
import sys
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import script

from services.apiserver import errors, model
from services.apiserver.store import schema, session, sql


def event(message: str) -> model.Event:
    return model.Event("namespaces/n/apis/x", "T", model.Severity.INFO, message, 1.0)


async def test_migrations_go_back_to_nothing(tmp_path: pathlib.Path) -> None:
    from alembic import command

    database = session.Database(f"sqlite:///{tmp_path}/a.db")
    await schema.prepare(database)
    async with database.write() as connection:
        await connection.run_sync(lambda c: command.downgrade(schema.configuration(c), "base"))
    async with database.read() as connection:
        left = await connection.run_sync(lambda c: sa.inspect(c).get_table_names())
    assert [name for name in left if name != "alembic_version"] == []
    await database.close()


def test_head_is_the_newest_migration() -> None:
    assert script.ScriptDirectory(str(schema.MIGRATIONS)).get_heads() == [schema.HEAD]


async def test_a_start_with_a_ready_database_does_not_import_alembic(tmp_path: pathlib.Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    database = session.Database(url)
    await schema.prepare(database)
    await database.close()
    code = (
        "import asyncio, sys\n"
        "from services.apiserver.store import schema, session\n"
        f"asyncio.run(schema.prepare(session.Database({url!r})))\n"
        "sys.exit('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


async def test_a_database_from_the_future_is_left_alone(tmp_path: pathlib.Path) -> None:
    database = session.Database(f"sqlite:///{tmp_path}/a.db")
    await schema.prepare(database)
    async with database.write() as connection:
        await connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(errors.FailedPrecondition, match="9999"):
        await schema.prepare(database)
    await database.close()


async def test_a_full_disk_is_told_and_loses_nothing(tmp_path: pathlib.Path) -> None:
    database = session.Database(f"sqlite:///{tmp_path}/a.db")
    await schema.prepare(database)
    store = sql.SqlStore(database)
    await store.add_event(event("before"))

    def limit(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA page_count")
        cursor.execute(f"PRAGMA max_page_count = {cursor.fetchone()[0] + 2}")
        cursor.close()

    await database.engine.dispose()
    sa.event.listen(database.engine.sync_engine, "connect", limit)
    with pytest.raises(errors.DiskFull, match="nothing was changed"):
        await store.add_event(event("x" * 100_000))
    assert [e.message for e in await store.list_events(None, None, limit=10)] == ["before"]
    sa.event.remove(database.engine.sync_engine, "connect", limit)
    await database.engine.dispose()
    await store.add_event(event("after"))
    assert [e.message for e in await store.list_events(None, None, limit=10)] == ["after", "before"]
    await database.close()


async def test_a_lock_held_elsewhere_is_unavailable_not_a_bug(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "BUSY_SECONDS", 0.05)
    database = session.Database(f"sqlite:///{tmp_path}/a.db")
    await schema.prepare(database)
    store = sql.SqlStore(database)
    other = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(errors.DatabaseUnavailable) as caught:
        await store.add_event(event("a"))
    assert caught.value.retry_after == 1.0
    assert list(await store.list_events(None, None, limit=1)) == [], "readers go on"
    other.execute("ROLLBACK")
    assert (await store.add_event(event("a"))).id == 1
    other.close()
    await database.close()


async def test_sqlite_is_set_up_for_speed_and_safety(tmp_path: pathlib.Path) -> None:
    database = session.Database(f"sqlite:///{tmp_path}/a.db")
    async with database.read() as connection:
        found = {
            name: (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert found == {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1, "busy_timeout": 5000}
    await database.close()


async def test_a_server_that_is_gone_is_unavailable() -> None:
    database = session.Database("postgresql://nobody:secret@127.0.0.1:1/none")
    with pytest.raises(errors.DatabaseUnavailable) as caught:
        await asyncio.wait_for(sql.SqlStore(database).get_api("x"), 10)
    assert "secret" not in str(caught.value)
    await database.close()


async def test_only_the_newest_events_of_an_api_are_kept(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from services.apiserver.store import events

    monkeypatch.setattr(events, "KEPT_PER_API", 5)
    database = session.Database(f"sqlite:///{tmp_path}/a.db")
    await schema.prepare(database)
    store = sql.SqlStore(database)
    await store.add_event(model.Event("namespaces/n/apis/y", "T", model.Severity.INFO, "other", 1.0))
    for number in range(8):
        await store.add_event(event(f"m{number}"))
    kept = [e.message for e in await store.list_events(None, None, limit=100)]
    assert kept == ["m7", "m6", "m5", "m4", "m3", "other"]
    await database.close()


@pytest.mark.parametrize("url", ["mysql://x/y", "nonsense", ""])
def test_other_databases_are_refused_by_name(url: str) -> None:
    with pytest.raises(ValueError, match=r"sqlite|expected"):
        session.normalise(url)
