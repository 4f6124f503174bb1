"""The store: whole or unchanged, and words for what is wrong with the disk."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
from pathlib import Path

import pytest

from farsite_edge.core import EdgeCore
from farsite_edge.store import Database, FolderLock, Vault
from farsite_edge.store.failures import from_os
from farsite_edge.testing import run_edge, test_settings
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


async def test_a_failed_transaction_changes_nothing(tmp_path: Path) -> None:
    async with Database(tmp_path / "edge.db") as database:
        with pytest.raises(ValueError, match="stop"):
            async with database.transaction() as transaction:
                await transaction.execute("INSERT INTO facts VALUES ('a', '1')")
                raise ValueError("stop")
        assert await database.fetch("SELECT * FROM facts") == []
        await database.execute("INSERT INTO facts VALUES ('a', '2')")
    async with Database(tmp_path / "edge.db") as database:
        assert [tuple(row) for row in await database.fetch("SELECT * FROM facts")] == [("a", "2")]


async def test_writes_that_come_together_share_a_commit(tmp_path: Path) -> None:
    async with Database(tmp_path / "edge.db") as database:
        seen: list[str] = []
        await database._connection.run(lambda connection: connection.set_trace_callback(seen.append))

        async def write(number: int) -> None:
            await database.execute("INSERT INTO facts VALUES (?, 'x')", (str(number % 90),))

        outcomes = await asyncio.gather(*map(write, range(100)), return_exceptions=True)
        # What one cannot do (a name twice) takes nothing from the others.
        assert sum(isinstance(one, FarsiteError) for one in outcomes) == 10
        assert len(await database.fetch("SELECT * FROM facts")) == 90
        assert sum(line == "COMMIT" for line in seen) <= 3


async def test_who_is_cancelled_while_others_commit_loses_nothing_of_theirs(tmp_path: Path) -> None:
    async with Database(tmp_path / "edge.db") as database:

        async def write(number: int) -> None:
            await database.execute("INSERT INTO facts VALUES (?, 'x')", (str(number),))

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(write(number)) for number in range(20)]
            await asyncio.sleep(0)  # the first leads, the others wait
            await asyncio.sleep(0)
            for task in (tasks[0], tasks[5]):
                task.cancel()
        kept = {row["name"] for row in await database.fetch("SELECT name FROM facts")}
        assert {str(number) for number in range(20) if number not in (0, 5)} <= kept


async def test_a_full_disk_says_so_and_keeps_what_was(tmp_path: Path) -> None:
    async with Database(tmp_path / "edge.db") as database:
        await database.execute("INSERT INTO facts VALUES ('a', '1')")
        await database.fetch("PRAGMA max_page_count = 1")
        with pytest.raises(FarsiteError) as caught:
            await database.execute("INSERT INTO facts VALUES ('b', ?)", ("x" * 500_000,))
        assert caught.value.code is ErrorCode.DISK_FULL
        assert "nothing was changed" in caught.value.detail
        assert [tuple(row) for row in await database.fetch("SELECT * FROM facts")] == [("a", "1")]
        await database.fetch("PRAGMA max_page_count = 100000")
        await database.execute("INSERT INTO facts VALUES ('b', '2')")


def test_no_space_for_a_file_is_disk_full() -> None:
    assert from_os(OSError(28, "No space left on device"), Path("x")).code is ErrorCode.DISK_FULL
    assert from_os(OSError(30, "Read-only file system"), Path("x")).code is ErrorCode.STORAGE_FAILED


async def test_a_read_only_database_says_so(tmp_path: Path) -> None:
    async with Database(tmp_path / "edge.db") as database:
        await database.fetch("PRAGMA query_only = 1")
        with pytest.raises(FarsiteError) as caught:
            await database.execute("INSERT INTO facts VALUES ('a', '1')")
        assert caught.value.code is ErrorCode.STORAGE_FAILED
        assert "read-only" in caught.value.detail


@pytest.mark.parametrize("where", [0, 4096, 16384])
async def test_a_damaged_database_is_refused_untouched(where: int, tmp_path: Path) -> None:
    path = tmp_path / "edge.db"
    async with Database(path) as database:
        for number in range(200):
            await database.execute("INSERT INTO facts VALUES (?, ?)", (str(number), "x" * 100))
    content = bytearray(path.read_bytes())
    content[where : where + 500] = os.urandom(500)
    path.write_bytes(content)
    with pytest.raises(FarsiteError) as caught:
        async with Database(path):
            pass
    assert caught.value.code is ErrorCode.STORAGE_FAILED
    assert "sets it aside by itself" in caught.value.detail
    assert path.read_bytes() == content


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    async with Database(tmp_path / "edge.db"):
        pass
    with sqlite3.connect(tmp_path / "edge.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(FarsiteError, match="newer Farsite"):
        async with Database(tmp_path / "edge.db"):
            pass


async def test_a_folder_serves_one_edge_host(tmp_path: Path) -> None:
    with FolderLock(tmp_path):
        with pytest.raises(FarsiteError) as caught, FolderLock(tmp_path):
            pass
        assert caught.value.code is ErrorCode.CONFLICT
    with FolderLock(tmp_path):
        pass


async def test_vault(tmp_path: Path) -> None:
    async with Database(tmp_path / "edge.db") as database:
        vault = Vault(database, tmp_path)
        vault.load()
        await vault.put("device:A", "canary-secret")
        assert await vault.get("device:A") == "canary-secret"
        assert await vault.get("device:B") is None
        assert stat.S_IMODE((tmp_path / "vault.key").stat().st_mode) == 0o600
        await database.execute("UPDATE secrets SET name = 'device:B'")
        with pytest.raises(FarsiteError, match="does not open"):
            await vault.get("device:B")
    assert not any(b"canary-secret" in file.read_bytes() for file in tmp_path.iterdir())


async def test_another_vault_key_opens_nothing(tmp_path: Path) -> None:
    async with Database(tmp_path / "edge.db") as database:
        vault = Vault(database, tmp_path)
        vault.load()
        await vault.put("device:A", "secret")
        (tmp_path / "vault.key").write_bytes(os.urandom(32))
        vault.load()
        with pytest.raises(FarsiteError) as caught:
            await vault.get("device:A")
        assert caught.value.code is ErrorCode.STORAGE_FAILED
        (tmp_path / "vault.key").write_bytes(b"short")
        with pytest.raises(FarsiteError, match="vault key"):
            vault.load()


async def test_identity_survives_a_restart(tmp_path: Path) -> None:
    seen = set()
    for _ in range(2):
        async with EdgeCore(test_settings(tmp_path)) as core:
            seen.add((core.keeper.edge_id, core.keeper.fingerprint))
    assert len(seen) == 1
    assert stat.S_IMODE((tmp_path / "identity.key").stat().st_mode) == 0o600


async def test_a_long_folder_name_falls_back_to_a_token(tmp_path: Path) -> None:
    from farsite_edge import commands

    folder = tmp_path / ("long" * 25)
    async with run_edge(folder) as edge:
        assert '"token":"' in (folder / "admin.json").read_text()
        assert (await commands.status(edge.host.settings)).name == "test site"
        port = edge.host._authenticator.admin_port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b"not_claimed" in await reader.read()
        writer.close()
