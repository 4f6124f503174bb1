"""A cloud of several `farsite up` processes on one PostgreSQL and one Redis, behind one address."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import secrets
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Self

from farsite_cloud.testing import OWNER_EMAIL, OWNER_PASSWORD, RunningCloud
from farsite_cloud.testing_servers import fresh_database, postgres_server, redis_server

RUN = "from typer.main import get_command; from farsite_cloud import cli; get_command(cli.up)()"
READY_SECONDS = 90.0
BLOCK = 64 * 1024
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Balancer:
    """What stands before the processes: a new connection goes to the one with the fewest of those that take it."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = ports
        self._open: set[asyncio.StreamWriter] = set()
        self.held: Counter[int] = Counter()
        """Connections, by the port that serves them."""
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        while self._open:
            for writer in self._open:
                writer.transport.abort()
            await asyncio.sleep(0.01)

    async def left(self, port: int) -> None:
        """Until nobody is served there any more."""
        while self.held[port] > 0:
            await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            for port in sorted(self._ports, key=self.held.__getitem__):
                if await self._carry((reader, writer), port):
                    return
        finally:
            self._open.discard(writer)
            writer.close()

    async def _carry(self, outside: Ends, port: int) -> bool:
        """Until it ends; False when nobody listens there."""
        self.held[port] += 1
        try:
            inside = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(_copy(outside[0], inside[1]), _copy(inside[0], outside[1]))
        except OSError:
            return False
        finally:
            self.held[port] -= 1
        return True


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Who closes one way closes both: a WebSocket knows no half."""
    try:
        with contextlib.suppress(OSError):
            while data := await reader.read(BLOCK):
                writer.write(data)
                await writer.drain()
    finally:
        writer.close()


def _is_setting(name: str) -> bool:
    """Of the process that asks, not of the one that is started."""
    return name.startswith("FARSITE")


class Node:
    """One process, started and ended as often as wished, always on the same port."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.port = free_port()
        self._folder = folder
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Returns when it serves."""
        self._folder.mkdir(exist_ok=True)
        arguments = ["--data-dir", str(self._folder), "--port", str(self.port), "--turn", "off", "--json"]
        with (self._folder / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                RUN,
                *arguments,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=self._environment
                | {name: value for name, value in os.environ.items() if not _is_setting(name)},
            )
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), READY_SECONDS)
        if not line or json.loads(line).get("event") != "ready":
            raise RuntimeError(line.decode() + (self._folder / "log").read_text()[-2000:])

    async def end(self, number: signal.Signals) -> float:
        """Seconds until it had ended. Idempotent."""
        process, self._process = self._process, None
        if process is None:
            return 0.0
        begun = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        await process.communicate()
        return time.monotonic() - begun


class Cluster:
    """`cloud`: as its users see it, behind the balancer."""

    def __init__(self, nodes: list[Node], balancer: Balancer) -> None:
        self.nodes = nodes
        self.balancer = balancer
        url = f"http://127.0.0.1:{balancer.port}"
        hub = f"ws://127.0.0.1:{balancer.port}/hub"
        self.cloud = RunningCloud(None, url, hub, OWNER_EMAIL, OWNER_PASSWORD)  # type: ignore[arg-type]


@asynccontextmanager
async def cluster(folder: Path, count: int = 2, *, database: str | None = None) -> AsyncIterator[Cluster]:
    """All of them serve. `database`: an address, else it is on a server of its own."""
    async with AsyncExitStack() as stack:
        if database is None:
            server = stack.enter_context(postgres_server())
            database = await stack.enter_async_context(fresh_database(server))
        redis = stack.enter_context(redis_server())
        shared = {
            "FARSITE_DATABASE": database,
            "FARSITE_REDIS": redis.url,
            # All share one machine: a database that is busy is not away.
            "FARSITE_DATABASE_TIMEOUT": "10",
            "FARSITE_MASTER_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
            "FARSITE_TRUSTED_PROXIES": "127.0.0.1",
            "FARSITE_OWNER_EMAIL": OWNER_EMAIL,
            "FARSITE_OWNER_PASSWORD": OWNER_PASSWORD,
        }
        nodes = [Node(folder / f"node {number}", shared) for number in range(count)]
        balancer = await stack.enter_async_context(Balancer([node.port for node in nodes]))
        shared["FARSITE_PUBLIC_URL"] = f"http://127.0.0.1:{balancer.port}"
        for node in nodes:
            stack.push_async_callback(node.end, signal.SIGKILL)
            await node.start()
        yield Cluster(nodes, balancer)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
