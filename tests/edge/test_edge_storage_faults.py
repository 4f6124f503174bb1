"""N18: a disk that is full, a folder that cannot be written, a database that is damaged, on real files and mounts."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from farsite_edge import commands
from farsite_edge.admin.caller import AdminCaller
from farsite_edge.doctor import examine
from farsite_edge.store.copies import copy_of
from farsite_edge.store.repair import set_aside
from farsite_edge.testing import RunningEdge, run_edge
from farsite_signaling.wire.edge_api import ClaimRequest, DeviceList, EdgeState, StorageState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.netcheck import Result
from tests.edge.conftest import GOOD, FakeDevice, FakeSite, SmallCloud
from tests.edge.test_edge_command import ran

SERIALS = [f"ACCC8E0000{number:02X}" for number in range(60)]


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[bool]:
    """A disk of its own where that is allowed; whether it is."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)]
    mounted = subprocess.run(["mount", *options], check=False, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


class Filler:
    """Takes the rest of the disk, or of what the database may take where there is no disk of its own."""

    def __init__(self, folder: Path, edge: RunningEdge, *, mounted: bool) -> None:
        self._file = folder / "filler"
        self._database = edge.host.core.database
        self._mounted = mounted

    async def fill(self) -> None:
        if not self._mounted:
            pages = (await self._database.fetch("PRAGMA page_count"))[0][0]
            await self._database.fetch(f"PRAGMA max_page_count = {pages}")
            return
        with self._file.open("wb", buffering=0) as file:
            size = 1 << 20
            while size:
                try:
                    file.write(bytes(size))
                except OSError:
                    size //= 2

    async def free(self) -> None:
        if self._mounted:
            self._file.unlink()
        else:
            await self._database.fetch("PRAGMA max_page_count = 1000000")


@asynccontextmanager
async def managing(folder: Path, site: FakeSite) -> AsyncIterator[RunningEdge]:
    settings = {"poll_interval": 3600, "discovery_interval": 3600, "report_interval": 3600}
    async with run_edge(folder, gateway=site.gateway(), **settings) as edge:
        yield edge


async def managed(edge: RunningEdge, site: FakeSite) -> None:
    from farsite_signaling.wire.edge_api import DiscoverRequest

    await edge.host.finder.find(DiscoverRequest(multicast=False))
    results = await edge.host.manager.add([one.serial for one in site.devices.values()])
    assert all(one.ok for one in results)


async def until(edge: RunningEdge, state: StorageState) -> None:
    async with asyncio.timeout(20):
        while edge.host.status().storage is not state:
            await asyncio.sleep(0.05)


async def test_a_full_disk_is_told_and_outlived(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Views from memory go on, changes are refused with `disk_full`, nothing is half done; with space it goes on by
    itself, and what happened meanwhile is in the audit log."""
    caplog.set_level(logging.INFO)
    site = FakeSite(FakeDevice())
    with small_disk(tmp_path / "disk", "3m") as mounted:
        async with managing(tmp_path / "disk" / "edge", site) as edge:
            await managed(edge, site)
            filler = Filler(tmp_path / "disk", edge, mounted=mounted)
            caller, settings = AdminCaller(edge.host.settings.data_dir), edge.host.settings
            await filler.fill()
            with pytest.raises(FarsiteError) as caught:
                for number in range(200):
                    await caller.call("PATCH", "/settings", ClaimRequest, {"name": f"n{number}" + "x" * 90})
            assert caught.value.code is ErrorCode.DISK_FULL
            assert "Free some space" in caught.value.detail
            name = edge.host.preferences.name
            assert (await commands.status(settings)).storage is StorageState.FULL
            shown = await caller.call("GET", "/devices", DeviceList)
            assert [one.id for one in shown.devices] == [FakeDevice.serial]
            row = (await examine(settings)).row("edge host")
            assert row.result is Result.FAIL
            assert "full" in row.detail
            while "audit row waits" not in caplog.text:  # a little may still have fitted
                await edge.host.audit.note("tunnel.open", actor="ann", details={"pad": "x" * 4000})
            await filler.free()
            await until(edge, StorageState.OK)
            async with asyncio.timeout(10):
                while "tunnel.open" not in [row.action for row in (await edge.host.audit.page(None, 1))[0]]:
                    await asyncio.sleep(0.05)
            assert edge.host.preferences.name == name
            await commands.settings(settings, {"name": "after"})
        assert "storage: ok -> full" in caplog.text and "storage: full -> ok" in caplog.text
        async with managing(tmp_path / "disk" / "edge", site) as edge:
            assert edge.host.preferences.name == "after"
            assert edge.host.core.repaired is None


async def test_storage_that_turns_read_only(tmp_path: Path) -> None:
    site = FakeSite(FakeDevice())
    async with managing(tmp_path, site) as edge:
        await managed(edge, site)
        await edge.host.core.database.fetch("PRAGMA query_only = 1")
        with pytest.raises(FarsiteError) as caught:
            await commands.settings(edge.host.settings, {"name": "new"})
        assert caught.value.code is ErrorCode.STORAGE_FAILED
        assert (await commands.status(edge.host.settings)).storage is StorageState.READ_ONLY
        # What is seen of devices is shown all the same, and kept later.
        device = site.devices[20000]
        device.reachable = False
        seen = await edge.host.manager.looks.check(device.serial, refresh=False)
        assert seen.last_error and edge.host.registry.get(device.serial).last_error == seen.last_error
        with pytest.raises(FarsiteError):
            await edge.host.registry.release(device.serial)
        assert edge.host.registry.get(device.serial).managed
        await edge.host.core.database.fetch("PRAGMA query_only = 0")
        await until(edge, StorageState.OK)
        async with asyncio.timeout(10):
            while edge.host.registry.unkept:
                await asyncio.sleep(0.05)
    async with managing(tmp_path, site) as edge:
        assert edge.host.registry.get(device.serial).last_error == seen.last_error


async def test_a_start_in_a_read_only_folder_says_so(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "3m") as mounted:
        folder = tmp_path / "disk" / "edge"
        async with run_edge(folder):
            pass
        if mounted:
            subprocess.run(["mount", "-o", "remount,ro", str(tmp_path / "disk")], check=True)
        else:
            for path in (*folder.iterdir(), folder):
                path.chmod(path.stat().st_mode & ~0o222)
        code, out, _ = await ran(folder, "run", "--json")
        problem = json.loads(out)
        assert (code, problem["code"]) == (1, "storage_failed")
        assert "writable" in problem["detail"] or "permissions" in problem["detail"]
        code, out, _ = await ran(folder, "doctor", "--json")
        assert code == 1
        if not mounted:
            folder.chmod(0o700)


def garbage_page_of_devices(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        root = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'devices'").fetchone()[0]
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    content = bytearray(path.read_bytes())
    content[(root - 1) * 4096 : root * 4096] = os.urandom(4096)
    path.write_bytes(content)


def garbage_page_of_facts(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        root = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'facts'").fetchone()[0]
    connection.close()
    content = bytearray(path.read_bytes())
    content[(root - 1) * 4096 : root * 4096] = os.urandom(4096)
    path.write_bytes(content)


def cut_off(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 + 100)


def no_database_at_all(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size))


DAMAGES = (garbage_page_of_devices, garbage_page_of_facts, cut_off, no_database_at_all)


@pytest.fixture
async def damaged_folder(tmp_path: Path, small_cloud: SmallCloud) -> Path:
    """Claimed, with sixty devices and a copy of its database."""
    site = FakeSite(*map(FakeDevice, SERIALS))
    async with managing(tmp_path / "edge", site) as edge:
        await edge.claim(small_cloud.url, GOOD)
        await managed(edge, site)
        await edge.host.copies.make()
    return tmp_path / "edge"


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_database_is_set_aside_and_made_anew(
    damaged_folder: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Whose it is, its key and its devices are as before; the damaged file is there, byte for byte."""
    path = damaged_folder / "edge.db"
    key = (damaged_folder / "identity.key").read_bytes()
    damage(path)
    content = path.read_bytes()
    async with managing(damaged_folder, FakeSite(*map(FakeDevice, SERIALS))) as edge:
        assert edge.host.info().state is EdgeState.CLAIMED
        assert edge.host.info().id == "edge1"
        assert [one.id for one in edge.host.registry.all(managed=True)] == SERIALS
        assert edge.host.status().storage is StorageState.OK
        [aside] = set_aside(path)
        assert aside.read_bytes() == content
        assert (damaged_folder / "identity.key").read_bytes() == key
        assert str(aside) in caplog.text
        rows, _ = await edge.host.audit.page(None, 50)
        assert "edge.database_repaired" in [row.action for row in rows]
    async with managing(damaged_folder, FakeSite(*map(FakeDevice, SERIALS))) as edge:
        assert edge.host.core.repaired is None


async def test_without_a_copy_nobody_on_the_lan_takes_it(
    damaged_folder: Path, small_cloud: SmallCloud
) -> None:
    path = damaged_folder / "edge.db"
    copy_of(path).unlink()
    garbage_page_of_facts(path)
    body = ClaimRequest.model_validate({"cloud_url": small_cloud.url, "code": GOOD})
    async with managing(damaged_folder, FakeSite(*map(FakeDevice, SERIALS))) as edge:
        assert edge.host.info().state is EdgeState.UNCLAIMED
        assert len(edge.host.registry.all(managed=True)) == len(SERIALS)
        with pytest.raises(FarsiteError) as caught:
            await edge.host.claim(body, source="lan 10.0.0.5")
        assert caught.value.code is ErrorCode.ALREADY_CLAIMED
        assert (await commands.claim(edge.host.settings, body)).state is EdgeState.CLAIMED


async def test_killed_while_it_repairs(damaged_folder: Path) -> None:
    """The database is aside and none is in its place: that is no new edge host."""
    path = damaged_folder / "edge.db"
    cut_off(path)
    path.rename(path.with_name("edge.db.damaged-20260101T000000000000Z"))
    path.with_name("edge.db.new").write_bytes(b"half of it")
    async with managing(damaged_folder, FakeSite(*map(FakeDevice, SERIALS))) as edge:
        assert edge.host.info().id == "edge1"
        assert len(edge.host.registry.all(managed=True)) == len(SERIALS)


async def test_a_lost_wal_costs_what_was_in_it_and_no_more(tmp_path: Path) -> None:
    site = FakeSite(*map(FakeDevice, SERIALS))
    copy = tmp_path / "copy"
    async with managing(tmp_path / "edge", site) as edge:
        await managed(edge, site)
        await edge.host.core.database.fetch("PRAGMA wal_checkpoint(TRUNCATE)")
        await commands.settings(edge.host.settings, {"name": "in the wal"})
        shutil.copytree(tmp_path / "edge", copy, ignore=shutil.ignore_patterns("admin.*"))
    (copy / "edge.db-wal").write_bytes(b"")
    async with managing(copy, site) as edge:
        assert len(edge.host.registry.all(managed=True)) == len(SERIALS)
        assert edge.host.preferences.name == "test site"
        assert edge.host.core.repaired is None


async def test_damage_that_shows_while_it_runs(tmp_path: Path) -> None:
    """It is said, and what is known is served; the next start repairs it."""
    site = FakeSite(*map(FakeDevice, SERIALS))
    async with managing(tmp_path, site) as edge:
        await managed(edge, site)
        database = edge.host.core.database
        await edge.host.copies.make()
        garbage_page_of_devices(database.path)
        await database.fetch("PRAGMA shrink_memory")
        with pytest.raises(FarsiteError):
            await database.fetch("SELECT * FROM devices")
        status = await commands.status(edge.host.settings)
        assert status.storage is StorageState.DAMAGED
        assert "sets it aside" in status.storage_detail
        shown = await AdminCaller(tmp_path).call("GET", "/devices", DeviceList)
        assert shown.devices
    async with managing(tmp_path, site) as edge:
        assert len(edge.host.registry.all(managed=True)) == len(SERIALS)
