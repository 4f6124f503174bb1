"""Reading the database: without trips to a thread, and without transactions that nobody needs."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from sqlalchemy import text

from farsite_cloud.database import Database, one_trip
from farsite_cloud.database.one_trip import MOMENT, is_small
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


async def test_a_statement_that_took_long_goes_to_the_thread_at_once(sqlite, monkeypatch):
    tried, run = [], one_trip._run_for_a_moment

    def watched(connection, statement, *rest):
        tried.append(statement)
        return run(connection, statement, *rest)

    monkeypatch.setattr(one_trip, "_run_for_a_moment", watched)
    monkeypatch.setattr(one_trip, "_STALLED", 60.0)
    async with sqlite.reading() as session:
        for _ in range(3):
            assert await session.scalar(_counting(400_000)) == 400_000
            assert await session.scalar(text("SELECT 1")) == 1
        assert len(tried) == 4
        monkeypatch.setattr(one_trip, "WHILE", 0.0)
        for _ in range(3):
            assert await session.scalar(_counting(400_001)) == 400_001
    assert len(tried) == 7, "it is looked at again after a while"


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


async def _write(database, number, wrote):
    async with database.writing() as session:
        await session.execute(text(f"INSERT INTO things VALUES ({number})"))
        wrote.append(number)
        await asyncio.sleep(0)


async def test_writers_go_in_the_order_they_came(sqlite):
    wrote = []
    async with AsyncExitStack() as stack:  # each has its connection from here on
        for _ in range(4):
            await (await stack.enter_async_context(sqlite.reading())).execute(text("SELECT 1"))
    async with asyncio.TaskGroup() as group:
        for number in range(2, 6):
            group.create_task(_write(sqlite, number, wrote), name=f"writer {number}")
            await asyncio.sleep(0)
    assert wrote == list(range(2, 6))


async def test_a_writer_that_gives_up_or_fails_lets_the_next_one_write(sqlite, monkeypatch):
    monkeypatch.setattr("farsite_cloud.database.sqlite.PATIENCE", 60)
    wrote = []
    async with sqlite.writing() as session:
        await session.execute(text("INSERT INTO things VALUES (2)"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await _write(sqlite, 3, wrote)
    with pytest.raises(FarsiteError):
        await _write(sqlite, 2, wrote)
    async with asyncio.timeout(30):
        await _write(sqlite, 4, wrote)
    assert wrote == [4]


@pytest.mark.parametrize(
    ("statement", "small"),
    [
        ("INSERT INTO things (id) VALUES (?)", True),
        ("UPDATE things SET name=? WHERE things.id = ?", True),
        ("UPDATE things SET name=? WHERE things.place = ?", False),
        ("INSERT INTO things (id) SELECT id FROM others", False),
        ("DELETE FROM things WHERE things.id = ?", False),
    ],
)
def test_what_may_write_much_is_left_to_a_thread(statement, small):
    assert is_small(statement, (1,)) is small
    assert not is_small(statement, range(101)) or not statement.startswith("INSERT")


async def test_small_writes_need_no_trip(sqlite):
    others = []
    async with sqlite.writing() as session:
        await session.execute(text("SELECT 1"))
        asyncio.get_running_loop().call_soon(others.append, 1)
        await session.execute(text("INSERT INTO things VALUES (:id)"), {"id": 5})
        assert not others
    async with sqlite.reading() as session:
        assert await session.scalar(text("SELECT max(id) FROM things")) == 5
