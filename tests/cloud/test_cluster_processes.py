"""Two `farsite up` as processes, started at the same time on an empty PostgreSQL; one of them crashes."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from farsite_cloud.testing import OWNER_EMAIL, OWNER_PASSWORD, RunningCloud
from farsite_signaling.wire.hub import SessionAnnounced, SessionEnded
from tests.cloud.conftest import World

pytestmark = pytest.mark.timeout(120)
RUN = "from typer.main import get_command; from farsite_cloud import cli; get_command(cli.up)()"


@asynccontextmanager
async def _process(folder: Path, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    arguments = ["--data-dir", str(folder), "--port", "0", "--turn", "off", "--json"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RUN, *arguments, stdout=asyncio.subprocess.PIPE, env=os.environ | environment
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _world(
    process: asyncio.subprocess.Process, http: aiohttp.ClientSession, clock
) -> tuple[World, bool]:
    ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
    running = RunningCloud(None, ready["url"], ready["hub_url"], OWNER_EMAIL, OWNER_PASSWORD)
    return World(running, clock, http), ready["first_run"]


async def _until_online(person, edge_id: str, online: bool) -> None:
    async with asyncio.timeout(30):
        while (await person.ok("GET", f"~/edge-hosts/{edge_id}"))["online"] is not online:
            await asyncio.sleep(0.05)


async def test_two_processes_behind_one_address(tmp_path, clock, empty_database, redis_url):
    environment = {
        "FARSITE_DATABASE": empty_database,
        "FARSITE_REDIS": redis_url,
        "FARSITE_MASTER_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "FARSITE_OWNER_EMAIL": OWNER_EMAIL,
        "FARSITE_OWNER_PASSWORD": OWNER_PASSWORD,
    }
    async with (
        aiohttp.ClientSession() as http,
        _process(tmp_path / "a", **environment) as first,
        _process(tmp_path / "b", **environment) as second,
    ):
        found = await asyncio.gather(_world(first, http, clock), _world(second, http, clock))
        assert sorted(first_run for _, first_run in found) == [False, True], (
            "one of them prepared the database"
        )
        (a, _), (b, _) = found
        token = await a.running.sign_in()
        organization = await b.running.organization_id(token)
        a.owner = replace(a.owner, token=token, org=organization)
        b.owner = replace(b.owner, token=token, org=organization)
        edge_id, edge_identity = await a.edge()
        edge, client = await a.connect(edge_identity), await b.client()
        await _until_online(b.owner, edge_id, True)
        path = f"~/edge-hosts/{edge_id}/sessions"
        ticket = await b.owner.ok("POST", path, {"client": client.urn})
        assert (await edge.expect(SessionAnnounced)).session == ticket["session"]
        other = await b.running.sign_in()
        assert (await b.owner("POST", "/auth/sign-out")).status == 204
        assert (await edge.expect(SessionEnded)).session == ticket["session"]
        assert (await a.owner("GET", "/me")).status == 401
        # No goodbye to anybody: what the crashed process said of its peers expires by itself.
        first.kill()
        await first.wait()
        await _until_online(replace(b.owner, token=other), edge_id, False)
        await b.connect(edge_identity)
        await _until_online(replace(b.owner, token=other), edge_id, True)
