"""A session with a site, through cloud, hub and WebRTC."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from farsite_client.connector import TunnelConnector
from farsite_client.session import RemoteSession, connect
from farsite_cloud.commands import accounts, organizations
from farsite_cloud.commands.desk import run
from farsite_cloud.settings import load_settings
from farsite_signaling.wire.edge_api import DeviceState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.path import Path
from farsite_signaling.wire.stream import DeviceTarget

from .conftest import EDGE_NAME, World


async def manage_all(world: World, session: RemoteSession) -> None:
    addresses, ports = world.targets
    await session.edge.discover(addresses, ports=ports, multicast=False)
    camera = world.cameras.devices[0]
    await session.edge.add(world.serials)
    results = await session.edge.log_in(world.serials, camera.username, camera.password)
    assert [result.ok for result in results] == [True] * len(world.serials), results


async def test_discover_add_log_in_change_and_read_back(world: World) -> None:
    async with connect(world.profile, EDGE_NAME) as session:
        assert session.status().path in (Path.LAN, Path.DIRECT)
        await manage_all(world, session)
        devices = await session.edge.devices(managed=True)
        assert {device.id: device.state for device in devices} == dict.fromkeys(
            world.serials, DeviceState.REACHABLE
        )
        serial = world.serials[-1]
        await session.edge.change_parameters(serial, {"Network.Bonjour.FriendlyName": "Dock 4"})
        values = await session.edge.parameters(serial, "Network.Bonjour")
        assert values["Network.Bonjour.FriendlyName"] == "Dock 4"
        picture = await session.edge.snapshot(serial)
        assert picture.startswith(b"\xff\xd8") and picture.endswith(b"\xff\xd9")


async def test_a_lost_link_is_replaced_and_requests_go_on(world: World) -> None:
    async with connect(world.profile, EDGE_NAME) as session:
        await session.edge.status()
        link: Any = session.tunnel._link
        link.fail(FarsiteError(ErrorCode.PEER_UNREACHABLE, "Cut by the test."))
        assert session.status().path is Path.NONE
        await session.edge.status()
        status = session.status()
        assert (status.moves, status.path) == (1, link.path)
        assert "Cut by the test" in (status.last_move or "")


async def test_a_session_that_the_cloud_ended_meanwhile_gets_no_other_link(world: World) -> None:
    async with connect(world.profile, EDGE_NAME) as session:
        await session.edge.status()
        async with world.profile.cloud() as cloud:
            organization = world.profile.load().organization_id
            link: Any = session.tunnel._link
            link.fail(FarsiteError(ErrorCode.PEER_UNREACHABLE, "Cut by the test."))
            await cloud.end_session(organization, session.status().session)
        async with asyncio.timeout(45):  # an offer that nobody may answer any more is waited for once
            error = await session.wait_closed()
        assert error is not None and error.code is ErrorCode.SESSION_ENDED


async def test_the_devices_own_page_through_a_stream(world: World) -> None:
    async with connect(world.profile, EDGE_NAME) as session:
        await manage_all(world, session)
        camera = world.cameras.devices[0]
        login = aiohttp.DigestAuthMiddleware(camera.username, camera.password)
        connector = TunnelConnector(session.tunnel, DeviceTarget(device=camera.serial))
        async with (
            aiohttp.ClientSession(connector=connector, middlewares=[login]) as device,
            device.get(f"http://{camera.serial}.device/") as page,
        ):
            assert page.status == 200
            assert camera.serial in await page.text()


async def test_bytes_arrive_whole_each_way(world: World) -> None:
    size = 8 * 1024 * 1024 + 1
    async with connect(world.profile, EDGE_NAME) as session:
        up = await session.edge.upload(size)
        assert (up.bytes, up.sha256) == (size, hashlib.sha256(bytes(size)).hexdigest())
        assert len(await session.edge.download(size)) == 64


async def test_a_device_that_is_not_managed_is_refused_and_audited(world: World) -> None:
    async with connect(world.profile, EDGE_NAME) as session:
        addresses, ports = world.targets
        await session.edge.discover(addresses, ports=ports, multicast=False)
        with pytest.raises(FarsiteError) as refused:
            await session.open_device(world.serials[0])
        assert refused.value.code in (ErrorCode.DEVICE_UNKNOWN, ErrorCode.FORBIDDEN)
        rows = (await session.edge.audit()).rows
    refusals = [row for row in rows if row.outcome == "refused" and world.serials[0] in row.target]
    assert refusals, rows
    assert refusals[0].session and refusals[0].actor.startswith("urn:farsite:")


async def test_remote_access_off_refuses_with_its_code(world: World) -> None:
    await world.edge.set_remote_access(False)
    with pytest.raises(FarsiteError) as refused:
        async with connect(world.profile, EDGE_NAME):
            pass
    assert refused.value.code == ErrorCode.REMOTE_ACCESS_OFF


async def test_switching_remote_access_off_closes_the_tunnel(world: World) -> None:
    async with connect(world.profile, EDGE_NAME) as session:
        await world.edge.set_remote_access(False)
        async with asyncio.timeout(5):
            error = await session.wait_closed()
    assert error is not None and error.code == ErrorCode.REMOTE_ACCESS_OFF


async def test_removing_the_edge_host_cuts_its_live_tunnel(world: World) -> None:
    async with connect(world.profile, EDGE_NAME) as session:
        stored = world.profile.load()
        async with world.profile.cloud() as cloud:
            await cloud.remove_edge_host(stored.organization_id, session.edge_host.id, risk_confirmed=True)
        async with asyncio.timeout(5):
            error = await session.wait_closed()
    assert error is not None


async def _sign_out(world: World) -> None:
    async with world.profile.cloud() as cloud:
        await cloud.sign_out()


async def _suspend(world: World) -> None:
    """By the command beside the cloud, which tells no process of it."""
    settings = load_settings({"data_dir": world.cloud.cloud.settings.data_dir}, environ={})
    organization = world.profile.load().organization_id
    await asyncio.to_thread(run, settings, lambda desk: organizations.suspend(desk, organization, "unpaid"))


async def _disable(world: World) -> None:
    settings = load_settings({"data_dir": world.cloud.cloud.settings.data_dir}, environ={})
    email = world.cloud.owner_email
    await asyncio.to_thread(run, settings, lambda desk: accounts.disable(desk, email, "stolen laptop"))


@pytest.mark.parametrize("lose", [_sign_out, _suspend, _disable])
async def test_a_live_tunnel_is_cut_when_what_it_stands_on_goes(
    world: World, lose: Callable[[World], Awaitable[None]]
) -> None:
    """Security row S7: token, organization, account."""
    async with connect(world.profile, EDGE_NAME) as session:
        await lose(world)
        async with asyncio.timeout(5):
            error = await session.wait_closed()
    assert error is not None and error.code == ErrorCode.SESSION_ENDED


@pytest.mark.timeout(150)
async def test_status_shows_what_runs_and_killed_commands_hold_nothing(world: World) -> None:
    async with connect(world.profile, EDGE_NAME) as session:
        await manage_all(world, session)
    started = [await forward(world, serial) for serial in world.serials[:2]]
    try:
        ready = [await first_event(process) for process in started]
        shown = await sessions_shown(world)
        assert {session["ports"][0]["port"] for session in shown} == {event["port"] for event in ready}
        tunnel = shown[0]["tunnel"]
        assert tunnel["path"] in ("lan", "direct")
        assert tunnel["reason"]
        assert {"rtt_ms", "bytes_sent", "bytes_received", "since", "last_error"} <= tunnel.keys()
        assert shown[0]["edge"] == EDGE_NAME
        started[0].kill()
        await started[0].wait()
        started.append(await forward(world, world.serials[2]))
        await first_event(started[2])
        assert {session["pid"] for session in await sessions_shown(world)} == {p.pid for p in started[1:]}
    finally:
        for process in started:
            if process.returncode is None:
                process.terminate()
            await process.communicate()
    assert await sessions_shown(world) == []


async def forward(world: World, serial: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "farsite_client", "--home", str(world.profile.home), "--json"),
        *("forward", f"{EDGE_NAME}/{serial}"),
        stdout=asyncio.subprocess.PIPE,
    )


async def first_event(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    async with asyncio.timeout(40):
        event: dict[str, Any] = json.loads(await process.stdout.readline())
    assert event.get("event") == "ready", event
    return event


async def sessions_shown(world: World) -> list[dict[str, Any]]:
    status = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "farsite_client",
        "--home",
        str(world.profile.home),
        "--json",
        "status",
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await status.communicate()
    shown: list[dict[str, Any]] = json.loads(out)
    return shown
