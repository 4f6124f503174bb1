"""N18: a database that turns out damaged while the edge host runs is repaired by itself, without another process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from farsite_edge import lifetime
from farsite_edge.admin.caller import AdminCaller
from farsite_edge.host import EdgeHost
from farsite_edge.lifetime import Lifetime
from farsite_edge.store.repair import set_aside
from farsite_edge.supervisor.notifier import Notifier
from farsite_edge.testing import test_settings
from farsite_signaling.wire.edge_api import DeviceList, DiscoverRequest, StorageState
from farsite_signaling.wire.errors import FarsiteError
from tests.edge.conftest import FakeDevice, FakeSite
from tests.edge.test_edge_storage_faults import SERIALS, garbage_page_of_devices

QUIET = {"poll_interval": 3600, "discovery_interval": 3600, "report_interval": 3600}


class Run:
    """`hosts`: one after another; `ready`: what each told."""

    def __init__(self, folder: Path, site: FakeSite) -> None:
        self.hosts: list[EdgeHost] = []
        self.ready: asyncio.Queue[dict[str, object]] = asyncio.Queue()
        self.stop = asyncio.Event()
        make = partial(self._made, site)
        settings = test_settings(folder, **QUIET)
        self.lifetime = Lifetime(settings, self._tell, Notifier(), self.stop, make=make)

    def _made(self, site: FakeSite, *given: Any, **more: Any) -> EdgeHost:
        self.hosts.append(EdgeHost(*given, gateway=site.gateway(), **more))
        return self.hosts[-1]

    def _tell(self, event: str, values: dict[str, object]) -> None:
        if event == "ready":
            self.ready.put_nowait(values)

    async def next(self) -> dict[str, object]:
        return await asyncio.wait_for(self.ready.get(), 50)


@asynccontextmanager
async def living(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Run]:
    monkeypatch.setattr(lifetime, "GRACE", 0.05)
    monkeypatch.setattr(lifetime, "LOOK", 0.05)
    run = Run(folder, FakeSite(*map(FakeDevice, SERIALS)))
    async with asyncio.TaskGroup() as group:
        group.create_task(run.lifetime.run(), name="lifetime")
        try:
            yield run
        finally:
            run.stop.set()


async def damage(host: EdgeHost) -> None:
    """A page of the disk is another one now, and somebody reads it."""
    database = host.core.database
    garbage_page_of_devices(database.path)
    await database.fetch("PRAGMA shrink_memory")
    with pytest.raises(FarsiteError):
        await database.fetch("SELECT * FROM devices")


async def test_it_starts_anew_from_what_can_be_read_and_the_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with living(tmp_path, monkeypatch) as run:
        first = await run.next()
        host = run.hosts[0]
        await host.finder.find(DiscoverRequest(multicast=False))
        await host.manager.add(SERIALS)
        await host.copies.make()
        await damage(host)
        await host.audit.note("tunnel.open", actor="ann")
        second = await run.next()
        assert (second["https_port"], second["id"]) == (first["https_port"], first["id"])
        assert run.hosts[1].status().storage is StorageState.OK
        assert len(set_aside(host.core.database.path)) == 1
        shown = await AdminCaller(tmp_path).call("GET", "/devices?limit=100", DeviceList)
        assert [one.id for one in shown.devices] == SERIALS
        actions = [row.action for row in (await run.hosts[1].audit.page(None, 50))[0]]
        assert {"tunnel.open", "edge.database_repaired"} <= set(actions)
    assert len(run.hosts) == 2


async def test_without_room_for_a_second_one_it_serves_what_it_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    usage = SimpleNamespace(free=0)
    monkeypatch.setattr(lifetime.shutil, "disk_usage", lambda _path: usage)
    async with living(tmp_path, monkeypatch) as run:
        await run.next()
        host = run.hosts[0]
        await host.finder.find(DiscoverRequest(multicast=False))
        await damage(host)
        async with asyncio.timeout(50):
            while "no room for a second one" not in caplog.text:
                await asyncio.sleep(0.02)
        shown = await AdminCaller(tmp_path).call("GET", "/devices?limit=100", DeviceList)
        assert len(shown.devices) == len(SERIALS)
        usage.free = 1 << 30
        await run.next()
        assert run.hosts[1].status().storage is StorageState.OK


async def test_a_first_start_that_fails_says_so(tmp_path: Path) -> None:
    (tmp_path / "vault.key").write_bytes(b"short")
    run = Run(tmp_path, FakeSite())
    with pytest.raises(FarsiteError, match="vault key"):
        await run.lifetime.run()
