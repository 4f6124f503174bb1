"""A session's process that is killed: what the other session, the site's own API, the audit log and the client see."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from functools import partial

import aiohttp
import pytest

from farsite_client.keeper import SessionKeeper
from farsite_client.session import RemoteSession, connect
from farsite_edge.admin.caller import AdminCaller
from farsite_edge.workers.listener import WorkerListener
from farsite_edge.workers.pool import supported
from farsite_signaling.wire.edge_api import EdgeStatus
from farsite_signaling.wire.errors import FarsiteError

from .conftest import EDGE_NAME, World

pytestmark = pytest.mark.skipif(not supported(), reason="sessions have no processes of their own here")


def listener(world: World) -> WorkerListener:
    found = world.edge.host.remote._listener
    assert isinstance(found, WorkerListener), "an edge host runs each session in its own process by default"
    return found


async def process_of(world: World, session: str) -> int:
    """The other end may stand a moment later than ours."""
    async with asyncio.timeout(10):
        while True:
            for one in listener(world).tunnels:
                if one.session == session and one.process.pid is not None:
                    return one.process.pid
            await asyncio.sleep(0.01)


async def closed_row(world: World, session: str) -> dict[str, object]:
    async with asyncio.timeout(10):
        while True:
            entries, _ = await world.edge.host.audit.page(None, 50)
            for entry in entries:
                if (entry.action, entry.session) == ("tunnel.close", session):
                    return entry.details
            await asyncio.sleep(0.05)


async def upload_until_cut(session: RemoteSession) -> None:
    with suppress(FarsiteError, OSError, aiohttp.ClientError):
        await session.edge.upload(1 << 30)


@pytest.mark.timeout(120)
async def test_a_killed_session_is_nobody_elses_and_its_client_comes_back(world: World) -> None:
    caller = AdminCaller(world.edge.host.settings.data_dir)
    async with (
        connect(world.profile, EDGE_NAME) as other,
        SessionKeeper(partial(connect, world.profile, EDGE_NAME)) as keeper,
        asyncio.TaskGroup() as group,
    ):
        victim = await keeper.live()
        lost = victim.status().session
        pid = await process_of(world, lost)
        assert pid != await process_of(world, other.status().session)
        going_on = group.create_task(other.edge.upload(32 << 20))
        cut = group.create_task(upload_until_cut(victim))
        await asyncio.sleep(0)
        os.kill(pid, signal.SIGKILL)
        details = await closed_row(world, lost)
        assert details["code"] == "unavailable"
        assert "signal 9" in str(details["reason"])
        began = time.monotonic()
        status = await caller.call("GET", "/status", EdgeStatus)
        assert status.remote_access_active and time.monotonic() - began < 15
        assert (await going_on).bytes == 32 << 20
        await cut
        async with asyncio.timeout(60):
            while keeper.session is None or keeper.session is victim:
                await asyncio.sleep(0.05)
        assert (await (await keeper.live()).edge.status()).sessions == 2
        assert keeper.reconnects >= 1
