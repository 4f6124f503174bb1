"""A write that is cancelled, at whatever moment, leaves the database usable and stays cancelled."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from farsite_edge.store import Database


@pytest.mark.parametrize("turns", range(12))
async def test_a_cancelled_write(tmp_path: Path, turns: int) -> None:
    async with Database(tmp_path / "edge.db") as database, asyncio.TaskGroup() as group:
        sql = "INSERT INTO facts VALUES ('one', ?)"
        write = group.create_task(database.execute(sql, (str(turns),)), name="write")
        for _ in range(turns):
            await asyncio.sleep(0)
        write.cancel()
        await asyncio.wait({write})
        assert write.cancelled() or write.exception() is None
        await database.execute("INSERT INTO facts VALUES ('two', '2')")
        assert len(await database.fetch("SELECT * FROM facts WHERE name = 'two'")) == 1
