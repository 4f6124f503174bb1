from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, select, text

from farsite_cloud.accounts.models import Account
from farsite_cloud.accounts.service import create_account
from farsite_cloud.audit.log import Act, write
from farsite_cloud.audit.verify import verify_chain
from farsite_cloud.database import Database, sqlite
from farsite_cloud.database.postgres import PostgresOptions
from farsite_cloud.database.schema import EMPTY, downgrade, revision_of, upgrade
from farsite_cloud.database.sqlite import sqlite_url
from farsite_cloud.folders.models import Folder
from farsite_cloud.models import metadata
from farsite_cloud.testing_servers import fresh_database
from farsite_signaling.wire.errors import FarsiteError

pytestmark = pytest.mark.both_databases


@pytest.fixture
async def address(database_kind, tmp_path, request):
    """Of an empty database."""
    if database_kind == "sqlite":
        yield sqlite_url(tmp_path)
        return
    async with fresh_database(request.getfixturevalue("postgres")) as url:
        yield url


@pytest.fixture
async def database(address):
    database = Database(address)
    yield database
    await database.aclose()


async def _tables(database: Database) -> set[str]:
    async with database.engine.connect() as connection:
        return set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))


async def test_migrations_make_exactly_the_models_tables(database):
    await upgrade(database)

    def compare(connection):
        # What models cannot say: the index of parts of texts.
        options = {
            "include_name": lambda name, *_: "_text" not in (name or "") and name != "ix_devices_search"
        }
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    async with database.engine.connect() as connection:
        assert await connection.run_sync(compare) == []


async def test_up_down_and_up_again(database):
    await upgrade(database)
    head = await revision_of(database)
    assert head is not None
    await downgrade(database, EMPTY)
    assert await _tables(database) == {"alembic_version"}
    await upgrade(database)
    assert await revision_of(database) == head


async def test_upgrading_twice_changes_nothing(database):
    await upgrade(database)
    async with database.writing() as session:
        create_account(session, "a@example.com", "hash", datetime.now(UTC))
    await upgrade(database)
    async with database.reading() as session:
        assert len((await session.scalars(select(Account))).all()) == 1


async def test_a_newer_releases_database_is_left_alone(database):
    await upgrade(database)
    async with database.writing() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(FarsiteError, match="newer release"):
        await upgrade(database)


async def test_sqlite_is_set_up_for_a_server(tmp_path):
    database = Database(sqlite_url(tmp_path))
    async with database.reading() as session:
        values = {
            name: await session.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "foreign_keys", "busy_timeout")
        }
    await database.aclose()
    assert values["journal_mode"] == "wal"
    assert values["foreign_keys"] == 1
    assert values["busy_timeout"] >= 5000


async def test_a_failed_unit_of_work_leaves_nothing(database):
    await upgrade(database)
    now = datetime.now(UTC)
    with pytest.raises(FarsiteError) as caught:
        async with database.writing() as session:
            create_account(session, "a@example.com", "hash", now)
            await session.flush()
            # No such organization: the foreign key refuses.
            session.add(Folder(id="f", organization_id="none", name="x", parent_id=None, created_at=now))
    assert caught.value.code == "conflict"
    async with database.reading() as session:
        assert (await session.scalars(select(Account))).all() == []


async def test_a_naive_time_is_refused(database):
    await upgrade(database)
    with pytest.raises(Exception, match="without its zone"):
        async with database.writing() as session:
            create_account(session, "a@example.com", "hash", datetime(2026, 1, 1))  # noqa: DTZ001


async def test_too_many_at_once_are_told_to_come_back(address, monkeypatch):
    monkeypatch.setattr(sqlite, "POOL_TIMEOUT", 0.01)
    database = Database(address, PostgresOptions(timeout=0.2))
    with pytest.raises(FarsiteError) as caught:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(database.aclose)
            for _ in range(50):
                session = await stack.enter_async_context(database.reading())
                await session.execute(text("SELECT 1"))
    assert (caught.value.code, caught.value.retry_after) == ("unavailable", 1)


async def test_audit_rows_of_earlier_releases_become_a_chain(database):
    await upgrade(database, "0003")
    async with database.writing() as session:
        await session.execute(
            text(
                "INSERT INTO organizations (id, name, default_folder_id, authority_certificate, authority_key, "
                "grant_public_key, grant_key, created_at) VALUES ('o', 'O', 'f', '', '', '', '', '2026-01-01')"
            )
        )
        for number in range(3):
            await session.execute(
                text(
                    "INSERT INTO audit_events (id, organization_id, at, actor, action, target, outcome, source, details) "
                    f"VALUES ('{number}', 'o', '2026-01-0{number + 1} 10:00:00.5', 'ä', 'act', '', 'allowed', '', "
                    "'{\"n\": [1.5, null]}')"
                )
            )
    await upgrade(database)
    result = await verify_chain(database, "o")
    assert (result.ok, result.rows, result.last) == (True, 3, 3)
    async with database.writing() as session:
        write(session, Act("later", "a", "", ["o"]), datetime.now(UTC))
    assert (await verify_chain(database, "o")).last == 4
    await downgrade(database, "0003")
    async with database.reading() as session:
        assert await session.scalar(text("SELECT count(*) FROM audit_events")) == 4
