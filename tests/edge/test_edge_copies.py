"""The copy of the database: whole or not there, and without what was forgotten."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from pathlib import Path

import pytest

from farsite_edge.core import EdgeCore
from farsite_edge.store.copies import Copies, copy_of, make_copy
from farsite_edge.testing import test_settings

LEFT = ("edge.db.copy.new", "edge.db.copy.new-journal")


async def test_what_a_kill_left_of_a_copy_is_removed_at_the_next_start(tmp_path: Path) -> None:
    async with EdgeCore(test_settings(tmp_path)) as core:
        whole = make_copy(core.database.path).read_bytes()
    for name in LEFT:
        (tmp_path / name).write_bytes(whole[:5000])
    async with EdgeCore(test_settings(tmp_path)):
        assert not [name for name in LEFT if (tmp_path / name).exists()]
        assert (tmp_path / "edge.db.copy").read_bytes() == whole


async def test_a_copy_is_made_beside_what_another_left(tmp_path: Path) -> None:
    async with EdgeCore(test_settings(tmp_path)) as core:
        for name in LEFT:
            (tmp_path / name).write_bytes(b"half of it")
        copy = await Copies(core.database).make()
    assert not [name for name in LEFT if (tmp_path / name).exists()]
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with sqlite3.connect(copy) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def sealed(path: Path, name: str) -> bytes:
    with sqlite3.connect(path) as connection:
        found = connection.execute("SELECT sealed FROM secrets WHERE name = ?", (name,)).fetchone()[0]
    connection.close()
    return bytes(found)


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped-at-once"])
async def test_forgotten_secrets_do_not_stay_in_the_copy(tmp_path: Path, running: bool) -> None:
    """Neither when the copies are made all the time, nor when the process ended before the next one."""
    async with EdgeCore(test_settings(tmp_path)) as core:
        await core.vault.change({"device-password:1": "one", "device-password:2": "two"})
        copies = Copies(core.database, pause=0)
        core.vault.on_replaced = copies.secrets_changed
        await copies.make()
        old = [sealed(core.database.path, f"device-password:{number}") for number in (1, 2)]
        assert all(secret in copy_of(core.database.path).read_bytes() for secret in old)
        if not running:
            await forget(core)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(copies.run(), name="copies")
            if running:
                await forget(core)
            async with asyncio.timeout(30):
                while any(secret in copy_of(core.database.path).read_bytes() for secret in old):
                    await asyncio.sleep(0.02)
            task.cancel()
        files = {path.name: path.read_bytes() for path in tmp_path.glob("edge.db*")}
        assert [name for name, content in files.items() if any(secret in content for secret in old)] == []
        assert sealed(copy_of(core.database.path), "device-password:2")
        assert await core.vault.get("device-password:2") == "another"


async def forget(core: EdgeCore) -> None:
    await core.vault.forget("device-password:1")
    await core.vault.put("device-password:2", "another")
