"""Databases of every earlier release, with rows in all tables: up to this release's schema and back, and under both."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from farsite_cloud.database import Database, sqlite
from farsite_cloud.database.schema import HEAD, downgrade, revision_of, revisions, upgrade, wait_turn
from farsite_cloud.database.sqlite import sqlite_url
from farsite_cloud.testing_servers import fresh_database

pytestmark = pytest.mark.both_databases
START = datetime(2026, 1, 1, tzinfo=UTC)
Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture
async def address(database_kind, tmp_path, request):
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


class History:
    """A release's tables as they stand in the database, without its code."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._made = 0
        self.tables: dict[str, sa.Table] = {}

    async def look(self) -> None:
        """What the release that is there now knows of; a newer one's additions it does not."""
        metadata = sa.MetaData()
        async with self._database.engine.connect() as connection:
            await connection.run_sync(metadata.reflect)
        tables = metadata.sorted_tables
        # What SQLite keeps for its index of texts is none of a release's.
        found = [one for one in tables if one.name != "alembic_version" and "_text" not in one.name]
        self.tables = {table.name: table for table in found}

    async def write(self) -> None:
        """One row into every table, with every column that it has."""
        self._made += 1
        keys: dict[tuple[str, str], Any] = {}
        async with self._database.writing() as session:
            for table in self.tables.values():
                row = {column.name: self._value(column, keys) for column in table.columns}
                await session.execute(table.insert().values(row))
                keys |= {(table.name, name): value for name, value in row.items()}

    def _value(self, column: sa.Column[Any], keys: dict[tuple[str, str], Any]) -> Any:
        for foreign in column.foreign_keys:
            parent, name = foreign.target_fullname.split(".")
            return keys.get((parent, name))
        kind = column.type
        if isinstance(kind, sa.Boolean):
            return True
        if isinstance(kind, sa.Integer | sa.Numeric | sa.Float):
            return self._made
        if isinstance(kind, sa.DateTime):
            return START + timedelta(seconds=self._made)
        if isinstance(kind, sa.Date):
            return START.date() + timedelta(days=self._made)
        if isinstance(kind, sa.JSON):
            return [f"{column.name}-{self._made}"]
        if isinstance(kind, sa.LargeBinary):
            return b"%d" % self._made
        return f"{column.name[:8]}{self._made}"

    async def read(self) -> Rows:
        async with self._database.reading() as session:
            found = {}
            for name, table in self.tables.items():
                rows = await session.execute(sa.select(table).order_by(*table.primary_key.columns))
                found[name] = [dict(row._mapping) for row in rows]
        return found

    async def change_and_delete(self) -> None:
        """As its release would: children first."""
        async with self._database.writing() as session:
            for table in reversed(self.tables.values()):
                plain = [
                    column for column in table.columns if not (column.foreign_keys or column.primary_key)
                ]
                if plain:
                    await session.execute(table.update().values({plain[0].name: plain[0]}))
                await session.execute(table.delete())


@pytest.mark.parametrize("revision", revisions())
async def test_every_releases_rows_outlive_the_upgrade_and_the_way_back(database, revision):
    await upgrade(database, revision)
    history = History(database)
    await history.look()
    await history.write()
    before = await history.read()
    assert all(len(rows) == 1 for rows in before.values())
    await upgrade(database, HEAD)
    assert await history.read() == before
    await downgrade(database, revision)
    assert await revision_of(database) == revision
    assert await history.read() == before


@pytest.mark.parametrize("revision", revisions()[:-1])
async def test_an_older_release_goes_on_while_the_schema_is_newer(database, revision):
    await upgrade(database, revision)
    history = History(database)
    await history.look()
    await history.write()
    await upgrade(database, HEAD)
    await history.write()
    assert all(len(rows) == 2 for rows in (await history.read()).values())
    await history.change_and_delete()


async def test_tags_there_are_take_their_devices_models(database):
    await upgrade(database, "0015")
    history = History(database)
    await history.look()
    await history.write()
    devices, tags = history.tables["devices"], history.tables["tags"]
    async with database.writing() as session:
        await session.execute(tags.update().values(thing_id=sa.select(devices.c.id).scalar_subquery()))
    await upgrade(database)
    async with database.reading() as session:
        kind = (await session.execute(sa.text("SELECT model, version FROM tags"))).one()
        assert kind == (await session.execute(sa.select(devices.c.model, devices.c.version))).one()


async def test_a_preparation_that_takes_long_is_waited_for(address, database, monkeypatch):
    """Longer than other writers are waited for."""
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 100)
    monkeypatch.setattr(sqlite, "PATIENCE", 0.1)
    other = Database(address)
    await upgrade(database)
    async with database.writing() as session:
        await wait_turn(session)
        waiting = asyncio.ensure_future(upgrade(other))  # noqa: TID251
        done, _ = await asyncio.wait([waiting], timeout=0.6)
        assert not done
    await asyncio.wait_for(waiting, 60)
    await other.aclose()


async def test_one_process_prepares_the_database_and_others_wait(address, database):
    other = Database(address)
    await asyncio.gather(upgrade(database), upgrade(other))
    assert await revision_of(database) == revisions()[-1]
    async with database.writing() as session:
        await wait_turn(session)
        waiting = asyncio.ensure_future(upgrade(other))  # noqa: TID251
        done, _ = await asyncio.wait([waiting], timeout=0.3)
        assert not done
    await asyncio.wait_for(waiting, 60)
    await other.aclose()
