"""Reading the database: without trips to a thread, and without transactions that nobody needs."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from farsite_cloud.database import Database
from farsite_cloud.database.one_trip import MOMENT
from farsite_cloud.database.sqlite import sqlite_url
from farsite_signaling.wire.errors import FarsiteError


@pytest.fixture
async def sqlite(tmp_path):
    database = Database(sqlite_url(tmp_path))
    async with database.writing() as session:
        await session.execute(text("CREATE TABLE things (id INTEGER PRIMARY KEY)"))
        await session.execute(text("INSERT INTO things VALUES (1)"))
    yield database
    await database.aclose()


def _counting(to: int):
    series = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {to}) SELECT i FROM n"
    return text(f"SELECT count(*) FROM ({series})")


async def test_a_long_statement_keeps_nobody_waiting(sqlite):
    beats, loop = [], asyncio.get_running_loop()

    async def beat():
        while True:
            beats.append(loop.time())
            await asyncio.sleep(MOMENT)

    async with asyncio.TaskGroup() as group:
        beating = group.create_task(beat(), name="beat")
        async with sqlite.reading() as session:
            assert await session.scalar(_counting(400_000)) == 400_000
            assert await session.scalar(_counting(10)) == 10
        beating.cancel()
    assert len(beats) > 3


async def test_short_ones_need_no_trip(sqlite):
    others = []
    async with sqlite.reading() as session:
        await session.execute(text("SELECT 1"))
        asyncio.get_running_loop().call_soon(others.append, 1)
        assert await session.scalar(text("SELECT id FROM things")) == 1
        assert not others


async def test_a_unit_of_work_reads_one_state(sqlite):
    async with sqlite.reading() as session:
        assert await session.scalar(text("SELECT count(*) FROM things")) == 1
        async with sqlite.writing() as other:
            await other.execute(text("INSERT INTO things VALUES (2)"))
        assert await session.scalar(text("SELECT count(*) FROM things")) == 1
        assert await session.scalar(_counting(400_000)) == 400_000
        assert await session.scalar(text("SELECT count(*) FROM things")) == 1
    async with sqlite.reading() as session:
        assert await session.scalar(text("SELECT count(*) FROM things")) == 2


async def test_whoever_gives_up_waiting_spoils_nothing(sqlite):
    async def count():
        async with sqlite.reading() as session:
            await session.execute(_counting(3_000_000))

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.03):
            await count()
    async with sqlite.reading() as session:
        assert await session.scalar(text("SELECT count(*) FROM things")) == 1


async def test_what_fails_is_told_as_ever(sqlite):
    with pytest.raises(FarsiteError) as caught:
        async with sqlite.reading() as session:
            await session.execute(text("SELECT nothing FROM nowhere"))
    assert caught.value.code == "storage_failed"
    async with sqlite.reading() as session:
        assert await session.scalar(text("SELECT 1")) == 1


async def test_on_postgresql_reading_begins_no_transaction(empty_database):
    database = Database(empty_database)
    async with database.reading() as session:
        first, second = [await session.scalar(text("SELECT now()")) for _ in range(2)]
        assert first < second
    async with database.writing() as session:
        first, second = [await session.scalar(text("SELECT now()")) for _ in range(2)]
        assert first == second, "this is one transaction"
    async with database.reading() as session:
        assert await session.scalar(text("SELECT now()")) > second
    await database.aclose()
