"""Thousands of edge hosts connected to one hub process: memory, idle CPU, forwarding, and coming back after a kill.

Real WebSockets, real identities. Beside it a bare aiohttp server whose WebSockets only echo: the floor of such a server.
`FARSITE_BENCH_PEERS` sets how many.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from farsite_signaling.wire.hub import HUB_PATH
from tests.bench.harness import Figure, Result, percentile
from tests.bench.rig import Child

PEERS = int(os.environ.get("FARSITE_BENCH_PEERS", "5000"))
WARM = 100
SETTLE, IDLE = 62.0, 20.0
"""Heartbeats grow with the number of peers; each hears of it with its next one."""
RATE, SECONDS = 1000, 10
BARS = {"memory": 20.0, "idle": 2.0, "forward": 5.0, "back": 15.0}
LINE = 64 * 1024 * 1024


async def measure() -> Result:
    _more_files()
    with tempfile.TemporaryDirectory(prefix="farsite-bench-") as name:
        folder = Path(name)
        async with Child("tests.bench.hub_peers", str(PEERS), name, limit=LINE) as peers:
            await peers.receive()
            floor = await _floor(folder)
            row = await _hub(folder, peers)
    row["floor_kib_each"] = floor
    return Result(_figures(row), [row], "floor: aiohttp's WebSocket server that echoes, without a hub")


def _more_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@asynccontextmanager
async def _server(kind: str, folder: Path, port: int = 0) -> AsyncIterator[tuple[Child, int]]:
    async with Child("tests.bench.hub_server", kind, str(folder), str(port)) as server:
        yield server, json.loads(await server.receive())["port"]


async def _ask(child: Child, question: str) -> Any:
    await child.send(question)
    return json.loads(await child.receive())


async def _floor(folder: Path) -> float:
    """KiB for each connection of a server that does nothing."""
    async with (
        _server("echo", folder) as (server, port),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
    ):
        url = f"http://127.0.0.1:{port}{HUB_PATH}"
        sockets = [await http.ws_connect(url, compress=0) for _ in range(WARM)]
        before = await _ask(server, "memory")
        sockets += [await http.ws_connect(url, compress=0) for _ in range(PEERS // 5)]
        after = await _ask(server, "memory")
        return float(round((after - before) / 1024 / (PEERS // 5), 1))


async def _hub(folder: Path, peers: Child) -> dict[str, Any]:
    async with _server("hub", folder) as (server, port):
        before = await _ask(server, "memory")
        begin = time.perf_counter()
        await peers.send(str(port))
        await _ask(peers, "back")
        row: dict[str, Any] = {"peers": PEERS, "connect_s": round(time.perf_counter() - begin, 1)}
        await asyncio.sleep(SETTLE)
        row["kib_each"] = round((await _ask(server, "memory") - before) / 1024 / PEERS, 1)
        row["idle_core_percent"] = await _idle(server)
        waits = await _ask(peers, f"send {RATE} {SECONDS}")
        row["forwarded"] = len(waits)
        row["forward_p50_ms"] = round(percentile(waits, 0.5) * 1000, 2)
        row["forward_p95_ms"] = round(percentile(waits, 0.95) * 1000, 2)
        server.signal(signal.SIGKILL)
    async with _server("hub", folder, port) as (server, _):
        begin = time.perf_counter()
        await _ask(peers, "back")
        row["back_s"] = round(time.perf_counter() - begin, 1)
        row["turned_away"], row["most_at_door"] = await _ask(server, "door")
    return row


async def _idle(server: Child) -> float:
    before, begin = await _ask(server, "cpu"), time.perf_counter()
    await asyncio.sleep(IDLE)
    used = await _ask(server, "cpu") - before
    return float(round(used / (time.perf_counter() - begin) * 100, 2))


def _figures(row: dict[str, Any]) -> list[Figure]:
    return [
        Figure(f"{PEERS} edge hosts, memory of each", row["kib_each"], "KiB", BARS["memory"], "lower"),
        Figure("the same of a bare WebSocket server", row["floor_kib_each"], "KiB"),
        Figure("idle", row["idle_core_percent"], "% core", BARS["idle"], "lower"),
        Figure(f"forwarding {RATE} envelopes/s, p50", row["forward_p50_ms"], "ms"),
        Figure(f"forwarding {RATE} envelopes/s, p95", row["forward_p95_ms"], "ms", BARS["forward"], "lower"),
        Figure("hub killed, all back after", row["back_s"], "s", BARS["back"], "lower"),
        Figure("handshakes at once, at most", row["most_at_door"], ""),
        Figure("connecting all at first", row["connect_s"], "s"),
    ]
