"""What a command loads: code that it has no use for costs whoever scripts it a second each time."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from farsite_client.testing import EMAIL, PASSWORD, FakeCloud, edge_host

Cli = Callable[..., Awaitable[Any]]
PROBE = """
import json, os, sys
from farsite_client.cli import main
try:
    main(sys.argv[1:])
except SystemExit as ended:
    code = ended.code
os.write(2, json.dumps({"code": code, "modules": sorted(sys.modules)}).encode())
"""
OTHER_PARTS = ("farsite_cloud", "farsite_edge", "farsite_signaling.hub", "farsite_signaling.tunnel")
TUNNELS = (
    *OTHER_PARTS,
    "farsite_signaling.peer.tunnel",
    "aiortc",
    "aioice",
    "av",
    "websockets",
    "python_socks",
)
KEYS = ("cryptography", "OpenSSL", "jwt", "farsite_signaling.identity")
UNUSED = (*TUNNELS, *KEYS, "rich", "segno", "PIL", "uvloop")


async def loaded(tmp_path: Path, *arguments: str) -> set[str]:
    """Modules after a command that went well, in a process that loaded nothing before."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FARSITE")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROBE,
        *arguments,
        env=environment | {"FARSITE_CLIENT_HOME": str(tmp_path / "home")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    _, err = await process.communicate()
    told = json.loads(err)
    assert told["code"] in (0, None), err
    return set(told["modules"])


def among(modules: set[str], unwanted: tuple[str, ...]) -> set[str]:
    return {one for one in modules for name in unwanted if one == name or one.startswith(f"{name}.")}


@pytest.mark.parametrize("arguments", [("--help",), ("--version",)])
async def test_the_help_loads_no_commands_code(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    modules = await loaded(tmp_path, *arguments)
    unwanted = (
        *UNUSED,
        "aiohttp",
        "farsite_client.cloud",
        "farsite_signaling.wire",
        "farsite_client.cli.orgs",
    )
    assert among(modules, unwanted) == set()


@pytest.mark.parametrize("command", ["orgs", "edges", "whoami", "audit"])
async def test_what_is_about_the_cloud_alone_loads_neither_tunnels_nor_keys(
    cli: Cli, fake_cloud: FakeCloud, tmp_path: Path, command: str
) -> None:
    fake_cloud.edge_hosts = [edge_host(2)]
    ran = await cli("login", fake_cloud.url, "--email", EMAIL, FARSITE_CLIENT_PASSWORD=PASSWORD)
    assert ran.code == 0, ran.err
    assert among(await loaded(tmp_path, command), UNUSED) == set()
