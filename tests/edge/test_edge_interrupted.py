"""kill -9 in the middle: nothing half-written, and what was begun can be finished."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from farsite_edge import commands
from farsite_edge.audit import AuditLog
from farsite_edge.core import EdgeCore
from farsite_edge.testing import run_edge, test_settings
from farsite_signaling.identity import CertificateAuthority
from farsite_signaling.wire.edge_api import ClaimRequest, DiscoverRequest, EdgeState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from tests.edge.conftest import GOOD, FakeDevice, FakeSite, SmallCloud
from tests.edge.test_edge_command import event, ran, start


class StrictCloud(SmallCloud):
    """A code works once, but a request repeated with its key gets its answer again. `asked` tells of each."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, tuple[bytes, web.Response]] = {}
        self.asked: asyncio.Queue[None] = asyncio.Queue()
        self.hold = asyncio.Event()

    async def claim(self, request: web.Request) -> web.Response:
        key, body = request.headers["Idempotency-Key"], await request.read()
        if key not in self.answers:
            assert not self.answers, "the code is used up"
            answer = await super().claim(request)
            assert isinstance(answer.body, bytes)
            self.answers[key] = (body, answer)
        self.asked.put_nowait(None)
        await self.hold.wait()
        before, answer = self.answers[key]
        assert before == body
        assert isinstance(answer.body, bytes)
        return web.Response(body=answer.body, content_type="application/json")


@pytest.fixture
async def strict_cloud() -> AsyncIterator[StrictCloud]:
    cloud = StrictCloud()
    server = TestServer(cloud.app())
    await server.start_server()
    cloud.url = str(server.make_url("")).rstrip("/")
    yield cloud
    cloud.hold.set()
    await server.close()


def whole(folder: Path) -> None:
    with sqlite3.connect(folder / "edge.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert not list(folder.glob("*.new"))


async def test_killed_while_the_cloud_answers(strict_cloud: StrictCloud, tmp_path: Path) -> None:
    """The cloud has used the code up; the edge host finds nothing written, and the same code ends it well."""
    process = await start(tmp_path, "claim", GOOD, "--cloud", strict_cloud.url, "--remote-access")
    await asyncio.wait_for(strict_cloud.asked.get(), 30)
    process.kill()
    await process.wait()
    async with EdgeCore(test_settings(tmp_path)) as core:
        assert core.keeper.claim is None
        assert not core.preferences.remote_access
    whole(tmp_path)
    strict_cloud.hold.set()
    code, out, err = await ran(tmp_path, "claim", GOOD, "--cloud", strict_cloud.url, "--json")
    assert (code, json.loads(out)["state"]) == (0, "claimed"), err
    assert strict_cloud.claims == 1
    assert GOOD.encode() not in b"".join(file.read_bytes() for file in tmp_path.glob("edge.db*"))


async def test_killed_while_it_runs(small_cloud: SmallCloud, tmp_path: Path) -> None:
    """Claimed, then killed: it comes back as it was, its lock and its socket are nobody's."""
    process = await start(tmp_path, "run", "--json")
    await event(process, "ready")
    code, _, err = await ran(tmp_path, "claim", GOOD, "--cloud", small_cloud.url)
    assert code == 0, err
    process.kill()
    await process.wait()
    whole(tmp_path)
    assert (tmp_path / "admin.sock").exists()
    code, out, _ = await ran(tmp_path, "status", "--json")
    assert (code, json.loads(out)["code"]) == (1, "unavailable")
    async with run_edge(tmp_path) as edge:
        assert edge.host.info().state is EdgeState.CLAIMED


async def test_a_full_disk_costs_no_setup_code(strict_cloud: StrictCloud, tmp_path: Path) -> None:
    strict_cloud.hold.set()
    body = ClaimRequest.model_validate({"cloud_url": strict_cloud.url, "code": GOOD})
    async with EdgeCore(test_settings(tmp_path)) as core:
        pages = (await core.database.fetch("PRAGMA page_count"))[0][0]
        await core.database.fetch(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(FarsiteError) as caught:
            await core.claimer.claim(body)
        assert caught.value.code is ErrorCode.DISK_FULL
        assert core.keeper.claim is None
        await core.database.fetch(f"PRAGMA max_page_count = {pages + 1000}")
        assert (await core.claimer.claim(body)).edge_id == "edge1"
    assert strict_cloud.claims == 1


async def test_moving_to_another_organization(small_cloud: SmallCloud, tmp_path: Path) -> None:
    """Only the administrator of the machine may; the next organization is not told of the one before."""
    values = {"cloud_url": small_cloud.url, "code": GOOD, "again": True}
    body = ClaimRequest.model_validate(values)
    async with run_edge(tmp_path) as edge:
        await edge.claim(small_cloud.url, GOOD)
        assert await edge.host.audit.unsent()
        with pytest.raises(FarsiteError) as caught:
            await edge.host.claim(body, source="lan 10.0.0.5")
        assert caught.value.code is ErrorCode.ALREADY_CLAIMED
        assert "--again" in caught.value.detail
        small_cloud.spoil, small_cloud.ca = {"organization_name": "Next"}, small_cloud.other_ca
        assert (await commands.claim(edge.host.settings, body)).organization == "Next"
        assert [row.action for row in await edge.host.audit.unsent()] == ["edge.claim"]
    small_cloud.spoil = {"organization_name": "Third"}
    # Of the same names, which another cloud can give as well.
    small_cloud.ca = CertificateAuthority.create("Third")
    assert (await commands.claim(test_settings(tmp_path), body)).organization == "Third"
    async with EdgeCore(test_settings(tmp_path)) as core:
        assert await AuditLog(core.database).unsent() == []


async def test_killed_while_devices_are_added(tmp_path: Path) -> None:
    """Whatever the moment, a device is managed or not, and the list of them can be read."""
    copy = tmp_path / "copy"
    copy.mkdir()
    site = FakeSite(*(FakeDevice(f"ACCC8E0000{number:02X}") for number in range(40)))
    async with run_edge(tmp_path, gateway=site.gateway(), poll_interval=3600) as edge:
        await edge.host.finder.find(DiscoverRequest(multicast=False))
        ids = [record.id for record in edge.host.registry.all()]
        async with asyncio.TaskGroup() as group:
            group.create_task(edge.host.manager.add(ids))
            while edge.host.registry.count(managed=True) < 5:
                await asyncio.sleep(0)  # a turn of the loop, not a pause
            # What the disk holds at this moment is what a killed process leaves behind.
            known = edge.host.registry.count(managed=True)
            for file in tmp_path.glob("edge.db*"):
                (copy / file.name).write_bytes(file.read_bytes())
    async with run_edge(copy, gateway=site.gateway(), poll_interval=3600) as again:
        assert again.host.registry.count(managed=True) >= known
        assert len(again.host.registry.all()) == 40
    whole(copy)


async def test_killed_while_the_database_is_copied(tmp_path: Path) -> None:
    """Half a copy is thrown away by the next start, whether or not a new one is due."""
    async with run_edge(tmp_path, poll_interval=3600):
        async with asyncio.timeout(30):
            while not (tmp_path / "edge.db.copy").exists():
                await asyncio.sleep(0.01)
    whole(tmp_path)
    half = tmp_path / "edge.db.copy.new"
    half.write_bytes((tmp_path / "edge.db.copy").read_bytes()[:5000])
    async with run_edge(tmp_path, poll_interval=3600):
        assert not half.exists()
    whole(tmp_path)
