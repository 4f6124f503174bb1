"""A server for peers, a process of its own: `python -m tests.bench.hub_server hub|echo FOLDER [PORT]`.

`hub`: the signaling hub behind aiohttp, letting in whom the authority in FOLDER certified. `echo`: a bare aiohttp
WebSocket that sends back what it gets, the floor of such a server. A line in is a question: `memory` (bytes resident,
after a collection), `cpu` (seconds so far), `door` (how many peers were turned away, most handshakes at once).
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from farsite_signaling.hub import Hub
from farsite_signaling.hub.testing import MemoryOrganization
from farsite_signaling.identity import OrganizationTrust
from farsite_signaling.wire.hub import HUB_PATH
from tests.bench.edge_process import lines, say
from tests.bench.harness import loop_factory
from tests.bench.rig import cpu_seconds

PAGE = 4096
BACKLOG = 1024


class Certified(MemoryOrganization):
    """Keeps nothing of what it is told: the hub is measured, not its owner."""

    def __init__(self, folder: Path) -> None:
        super().__init__("bench")
        self.trust = OrganizationTrust((folder / "ca.pem").read_text())

    async def presence_changed(self, name: str, online: bool) -> None:
        pass


class Entrance:
    """Counts those who have not got in yet."""

    def __init__(self, hub: Any) -> None:
        self._hub = hub
        self.most = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.most = max(self.most, len(self._hub._at_door) + 1)
        response: web.StreamResponse = await self._hub.handle(request)
        return response


class Echo:
    async def handle(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(message.data)
        return socket


def resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


async def main(kind: str, folder: Path, port: int) -> None:
    async with AsyncExitStack() as stack:
        hub: Any = Hub(Certified(folder)) if kind == "hub" else None
        entrance = Entrance(hub)
        app = web.Application()
        app.router.add_get(HUB_PATH, entrance.handle if hub is not None else Echo().handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        if hub is not None:
            await stack.enter_async_context(hub)
        site = web.TCPSite(runner, "127.0.0.1", port, backlog=BACKLOG, reuse_address=True)
        await site.start()
        # Nobody comes back to a server that ends.
        stack.push_async_callback(site.stop)
        say(json.dumps({"port": runner.addresses[0][1]}))
        await answer(hub, entrance)


async def answer(hub: Any, entrance: Entrance) -> None:
    """Until nobody asks any more."""
    reader = await lines()
    while line := await reader.readline():
        match line.decode().strip():
            case "memory":
                say(json.dumps(resident()))
            case "cpu":
                say(json.dumps(cpu_seconds()))
            case "door":
                say(json.dumps([hub.counts["turned_away"], entrance.most]))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory()) as running:
        running.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0))
