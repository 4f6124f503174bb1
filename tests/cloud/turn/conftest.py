"""A running coturn with the configuration under test."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from farsite_cloud.turn.config import TurnSettings
from farsite_cloud.turn.credentials import turn_credentials
from farsite_cloud.turn.supervisor import TurnServer
from tests.cloud.turn.turn_client import TurnClient

SECRET = "first-secret-of-the-tests"
OLD_SECRET = "older-secret-still-accepted"


@pytest.fixture
def coturn() -> str:
    """The real server; missing is a failure where the suite is meant to be whole."""
    path = shutil.which("turnserver")
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail("coturn is not installed")
        pytest.skip("coturn is not installed")
    return path


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder only its owner may enter, as the cloud's is."""
    with tempfile.TemporaryDirectory(prefix="farsite-turn-") as directory:
        yield Path(directory)


def free_ports(count: int) -> list[int]:
    """Ports free on UDP and TCP, held together so that they differ."""
    with contextlib.ExitStack() as stack:
        found: list[int] = []
        while len(found) < count:
            tcp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            tcp.bind(("127.0.0.1", 0))
            port = tcp.getsockname()[1]
            udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            with contextlib.suppress(OSError):
                udp.bind(("127.0.0.1", port))
                found.append(port)
        return found


def local_settings(data_dir: Path, **more: object) -> TurnSettings:
    port, tls_port, alt_tls_port = free_ports(3)
    values: dict[str, object] = {
        "host": "127.0.0.1",
        "secrets": (SECRET, OLD_SECRET),
        "listening_ips": ("127.0.0.1", "::1"),
        "port": port,
        "tls_port": tls_port,
        "alt_tls_port": alt_tls_port,
        "data_dir": data_dir,
    }
    return TurnSettings.model_validate({**values, **more})


def client(server: TurnServer, via: str = "udp", *, secret: str = SECRET, ttl: float = 600) -> TurnClient:
    settings = server.settings
    username, credential = turn_credentials(secret, "session-1", ttl, time.time())
    port = settings.tls_port if via == "tls" else settings.port
    assert port is not None
    context = ssl.create_default_context(cadata=settings.ca) if settings.ca else None
    return TurnClient("127.0.0.1", port, via, username, credential, context)


@pytest.fixture
async def relay(coturn: str, data_dir: Path) -> AsyncIterator[TurnServer]:
    async with TurnServer(local_settings(data_dir)) as server:
        assert server.running, server.problem
        yield server
