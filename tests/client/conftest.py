"""A small cloud, and the command in a process of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from farsite_client.testing import FakeCloud


@pytest.fixture
async def fake_cloud() -> AsyncIterator[FakeCloud]:
    cloud = FakeCloud()
    server = TestServer(cloud.app())
    await server.start_server()
    cloud.url = str(server.make_url("")).rstrip("/")
    yield cloud
    await server.close()


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


Cli = Callable[..., Awaitable[Ran]]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """The real command in a process of its own, its home in a temporary folder."""

    async def run(*arguments: str, stdin: str = "", **variables: str) -> Ran:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FARSITE")}
        environment |= {"FARSITE_CLIENT_HOME": str(tmp_path / "home"), **variables}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "farsite_client",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
        )
        out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        assert b"Traceback" not in err, err.decode()
        return Ran(process.returncode, out.decode(), err.decode())

    return run
