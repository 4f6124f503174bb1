"""A small cloud, and the command in a process of its own."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from farsite_client.testing import FakeCloud
from tests.forked import Commands, Ran


@pytest.fixture
async def fake_cloud() -> AsyncIterator[FakeCloud]:
    cloud = FakeCloud()
    server = TestServer(cloud.app())
    await server.start_server()
    cloud.url = str(server.make_url("")).rstrip("/")
    yield cloud
    await server.close()


Cli = Callable[..., Awaitable[Ran]]


@pytest.fixture
def cli(tmp_path: Path, commands: Commands) -> Cli:
    """The real command in a process of its own, its home in a temporary folder."""

    async def run(*arguments: str, stdin: str = "", **variables: str) -> Ran:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FARSITE")}
        environment |= {"FARSITE_CLIENT_HOME": str(tmp_path / "home"), **variables}
        ran = await commands.run(*arguments, env=environment, stdin=stdin)
        assert "Traceback" not in ran.err, ran.err
        return ran

    return run
