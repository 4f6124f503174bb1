"""What a user expects of any command: flags in any place, pipes that close, tables that cut nothing."""

from __future__ import annotations

import asyncio
import json
import shlex
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from farsite_client.cli.edges import readable
from farsite_client.cli.forwarding import check_device
from farsite_client.testing import EMAIL, PASSWORD, FakeCloud, Site, edge_host, memory_session, served
from farsite_signaling.wire.edge_api import Device, DeviceState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

Cli = Callable[..., Awaitable[Any]]


async def log_in(cli: Cli, cloud: FakeCloud, *arguments: str) -> Any:
    return await cli("login", cloud.url, "--email", EMAIL, *arguments, FARSITE_CLIENT_PASSWORD=PASSWORD)


async def test_json_before_another_parts_command_reaches_it(cli: Cli, tmp_path: Path) -> None:
    ran = await cli("--json", "edge", "status", "--data-dir", str(tmp_path / "none"))
    assert (ran.code, json.loads(ran.out)["code"], ran.err) == (1, "unavailable", "")


async def test_a_flag_another_part_has_no_use_for_is_refused(cli: Cli) -> None:
    ran = await cli("--proxy", "http://proxy:3128", "edge", "status")
    assert ran.code == 2 and "--proxy" in ran.err and "farsite edge" in ran.err


async def test_json_may_stand_before_a_groups_command(cli: Cli) -> None:
    for arguments in (("device", "--json", "show", "Shop", "X"), ("--json", "device", "show", "Shop", "X")):
        ran = await cli(*arguments)
        assert (ran.code, json.loads(ran.out)["code"]) == (3, "unauthenticated")


async def test_signing_in_again_needs_the_password_only(cli: Cli, fake_cloud: FakeCloud) -> None:
    await log_in(cli, fake_cloud)
    fake_cloud.tokens.clear()
    ran = await cli("edges")
    assert (ran.code, ran.err.splitlines()[-1]) == (3, "Sign in with: farsite login")
    ran = await cli("login", "--password-stdin", stdin=PASSWORD)
    assert ran.code == 0, ran.err
    assert (await cli("edges")).code == 0


async def test_what_is_no_cloud_is_said(cli: Cli) -> None:
    async def not_found(request: web.Request) -> web.Response:
        body = FarsiteError(ErrorCode.NOT_FOUND, "Not Found").problem().model_dump_json()
        return web.Response(text=body, status=404, content_type="application/problem+json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", not_found)
    async with TestServer(app) as server:
        url = str(server.make_url(""))
        ran = await cli("login", url, "--email", EMAIL, "--password-stdin", stdin="x")
    assert ran.code == 1 and "is no Farsite cloud" in ran.err


async def test_a_proxy_whose_name_does_not_exist_is_told_from_the_cloud(
    cli: Cli, fake_cloud: FakeCloud
) -> None:
    ran = await log_in(cli, fake_cloud, "--proxy", "http://no-such-proxy.invalid:3128")
    assert ran.code == 1 and "[proxy_unreachable]" in ran.err


async def test_a_reader_that_leaves_early_is_no_error(
    cli: Cli, fake_cloud: FakeCloud, tmp_path: Path
) -> None:
    await log_in(cli, fake_cloud)
    fake_cloud.edge_hosts = [edge_host(number, "x" * 1000) for number in range(400)]
    command = shlex.join([sys.executable, "-m", "farsite_client", "--home", str(tmp_path / "home"), "edges"])
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", f"{command} | head -n 1", stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await process.communicate()
    assert (len(out.splitlines()), err) == (1, b"")


async def test_nothing_is_cut_and_nothing_padded_in_a_pipe(cli: Cli, fake_cloud: FakeCloud) -> None:
    await log_in(cli, fake_cloud)
    name = 'Läden "Süd" 🏬 שלום ' + "x" * 80
    fake_cloud.edge_hosts = [edge_host(2, name), edge_host(3)]
    lines = (await cli("edges", COLUMNS="20")).out.splitlines()
    assert name in lines[1] and lines[1].endswith("edge2")
    assert all(line == line.rstrip() for line in lines)


def test_names_in_place_of_long_ones() -> None:
    names = {"e1": "Shop", "ada": EMAIL}
    assert readable("urn:farsite:o1:edge:e1", names) == "Shop"
    assert readable("urn:farsite:o1:user:ada:device:d1", names) == EMAIL
    assert readable("urn:farsite:o1:user:bob:device:d1", names) == "user bob"
    assert readable("edge e1", names) == "Shop"
    assert readable("127.0.0.1", names) == "127.0.0.1"


@pytest.mark.parametrize(
    ("managed", "service", "code"),
    [(False, "http", "device_unknown"), (True, "https", "device_unreachable"), (True, "http", None)],
)
async def test_a_device_is_looked_at_before_a_port_is_opened(
    managed: bool, service: Any, code: str | None
) -> None:
    async def device(request: web.Request) -> web.Response:
        found = Device(id="ACCC8E000001", managed=managed, state=DeviceState.DISCOVERED, address="10.0.0.2")
        return web.Response(text=found.model_dump_json(), content_type="application/json")

    app = web.Application()
    app.router.add_get("/api/v1/devices/ACCC8E000001", device)
    site = Site()
    async with served(app) as site.api, memory_session(site) as (session, _):
        if code is None:
            await check_device(session, "ACCC8E000001", service)
            return
        with pytest.raises(FarsiteError) as refused:
            await check_device(session, "ACCC8E000001", service)
    assert refused.value.code == code
