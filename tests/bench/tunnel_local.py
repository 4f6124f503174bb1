"""One stream over loopback, two processes: our tunnel against a bare data channel of stock aiortc, in the same run.

Paths: direct, direct without segmentation offload, and through coturn over UDP, TCP and TLS. The stock peer is direct
always, which flatters it. CPU is both ends' together, coturn's is not in it. libdatachannel is measured beside.

`FARSITE_BENCH_PATHS=direct,portable,relay-udp,relay-tcp,relay-tls` chooses.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from farsite_cloud.turn.supervisor import TurnServer
from farsite_signaling.peer.tunnel import Tunnel
from farsite_signaling.wire.ice import IceServer
from farsite_signaling.wire.stream import ApiTarget, Priority
from tests.bench.edge_process import give, take
from tests.bench.harness import Figure, Result
from tests.bench.libdatachannel import Library
from tests.bench.relay import turn_settings
from tests.bench.rig import Child, Rig, child_cpu, cpu_seconds, with_offload
from tests.bench.stock_process import Counter

SIZE = 32 * 1024 * 1024
ROUNDS = 3
GIB = 1024**3
PATHS = ("direct", "portable", "relay-udp", "relay-tcp", "relay-tls")
URLS = {"relay-udp": "transport=udp", "relay-tcp": "transport=tcp", "relay-tls": "turns:"}
# Throughput at least, and CPU at most, of stock's.
BARS = {"direct": (8.0, 0.15)} | dict.fromkeys(PATHS[1:], (2.5, 0.45))

Transfer = Callable[[], Awaitable[None]]
Rows = list[dict[str, Any]]


async def measure() -> Result:
    rows: Rows = []
    chosen = os.environ.get("FARSITE_BENCH_PATHS", ",".join(PATHS)).split(",")
    with tempfile.TemporaryDirectory(prefix="farsite-bench-") as folder:
        async with StockPeer() as stock, TurnServer(turn_settings(Path(folder))) as turn:
            if turn.problem is not None:
                raise turn.problem
            await stock.put(SIZE // 8)
            servers = turn.ice_servers("bench", time.time())
            for path in chosen:
                await _path(rows, path, servers, stock)
    await _library(rows)
    figures = [figure for path in chosen for figure in _figures(rows, path)]
    return Result(figures + _library_figures(rows), rows, "stock: aiortc unmodified, direct, 16 KiB messages")


async def _path(rows: Rows, path: str, servers: list[IceServer], stock: StockPeer) -> None:
    """By turns: what else the machine does hits both alike."""
    async with _connected(path, servers) as tunnel:
        ours = lambda: child_cpu(tunnel)  # noqa: E731
        await _put(tunnel, SIZE // 8)
        for _ in range(ROUNDS):
            rows.append(await _row(path, "tunnel", "up", lambda: _put(tunnel, SIZE), ours))
            rows.append(await _row(path, "stock", "up", lambda: stock.put(SIZE), stock.cpu))
            rows.append(await _row(path, "tunnel", "down", lambda: _get(tunnel, SIZE), ours))
            rows.append(await _row(path, "stock", "down", lambda: stock.get(SIZE), stock.cpu))


@asynccontextmanager
async def _connected(path: str, servers: list[IceServer]) -> AsyncIterator[Tunnel]:
    wanted = URLS.get(path)
    async with Rig(portable=path == "portable") as rig:
        try:
            chosen = _only(servers, wanted) if wanted else None
            tunnel = await rig.dial(chosen, relay_only=wanted is not None)
        finally:
            with_offload()
        async with tunnel:
            yield tunnel


def _only(servers: list[IceServer], wanted: str) -> list[IceServer]:
    kept = [s.model_copy(update={"urls": [url for url in s.urls if wanted in url]}) for s in servers]
    if wanted == "transport=tcp":
        kept = [
            s.model_copy(update={"urls": [u for u in s.urls if not u.startswith("turns:")]}) for s in kept
        ]
    return [server for server in kept if server.urls]


async def _row(
    path: str, who: str, way: str, transfer: Transfer, other_cpu: Callable[[], Awaitable[float]]
) -> dict[str, Any]:
    before = cpu_seconds() + await other_cpu()
    begin = time.perf_counter()
    await transfer()
    seconds = time.perf_counter() - begin
    used = cpu_seconds() + await other_cpu() - before
    return {"path": path, "who": who, "way": way} | _speed(seconds, used)


def _speed(seconds: float, cpu: float) -> dict[str, float]:
    return {"mbit_s": round(SIZE * 8 / seconds / 1e6, 1), "cpu_s_gib": round(cpu * GIB / SIZE, 1)}


async def _library(rows: Rows) -> None:
    async with Library() as library:
        await library.transfer(SIZE // 8)
        for _ in range(ROUNDS):
            before, begin = await library.cpu(), time.perf_counter()
            await library.transfer(SIZE)
            seconds = time.perf_counter() - begin
            used = await library.cpu() - before
            row = {"path": "direct", "who": "libdatachannel", "way": "up"}
            rows.append(row | _speed(seconds, used))


def _figures(rows: Rows, path: str) -> list[Figure]:
    figures = []
    faster, cheaper = BARS[path]
    for way in ("up", "down"):
        ours, stock = (_median(rows, path, who, way, "mbit_s") for who in ("tunnel", "stock"))
        spent, stock_spent = (_median(rows, path, who, way, "cpu_s_gib") for who in ("tunnel", "stock"))
        figures += [
            Figure(f"{path} {way}", ours, "Mbit/s"),
            Figure(f"{path} {way}, stock meanwhile", stock, "Mbit/s"),
            Figure(f"{path} {way}, against stock", ours / stock, "x", faster),
            Figure(f"{path} {way}, CPU", spent, "s/GiB"),
            Figure(f"{path} {way}, CPU of stock's", spent / stock_spent, "x", cheaper, "lower"),
        ]
    return figures


def _library_figures(rows: Rows) -> list[Figure]:
    """libdatachannel's end has no Python in it: the bar is to be ahead all the same."""
    theirs = _median(rows, "direct", "libdatachannel", "up", "mbit_s")
    figures = [
        Figure("libdatachannel", theirs, "Mbit/s"),
        Figure("libdatachannel, CPU", _median(rows, "direct", "libdatachannel", "up", "cpu_s_gib"), "s/GiB"),
    ]
    if any(row["who"] == "tunnel" and row["path"] == "direct" for row in rows):
        ours = _median(rows, "direct", "tunnel", "up", "mbit_s")
        figures.append(Figure("direct up, against libdatachannel", ours / theirs, "x", 1.0))
    return figures


def _median(rows: Rows, path: str, who: str, way: str, what: str) -> float:
    wanted = {"path": path, "who": who, "way": way}
    return float(statistics.median(row[what] for row in rows if wanted.items() <= row.items()))


async def _put(tunnel: Tunnel, size: int) -> None:
    reader, writer = await tunnel.open_stream(ApiTarget(), priority=Priority.BULK)
    writer.write(f"PUT {size}\n".encode())
    await give(writer, size)
    assert await reader.readline() == b"done\n"
    writer.close()


async def _get(tunnel: Tunnel, size: int) -> None:
    reader, writer = await tunnel.open_stream(ApiTarget(), priority=Priority.BULK)
    writer.write(f"GET {size}\n".encode())
    await take(reader, size)
    writer.close()


class StockPeer:
    """A stock aiortc connection to a child of its own."""

    async def __aenter__(self) -> StockPeer:
        from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

        self._child = await Child("tests.bench.stock_process").__aenter__()
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        channel = self._pc.createDataChannel("bench")
        opened = asyncio.Event()
        channel.on("open", opened.set)
        await self._pc.setLocalDescription(await self._pc.createOffer())
        await self._child.send(json.dumps({"sdp": self._pc.localDescription.sdp}))
        answer = json.loads(await self._child.receive())
        await self._pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
        await opened.wait()
        self._channel = channel
        self._counter = Counter(channel)
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._pc.close()
        await self._child.__aexit__(*error)

    async def put(self, size: int) -> None:
        self._channel.send(f"PUT {size}")
        await self._counter.give(size)
        assert await self._counter.texts.get() == "done"

    async def get(self, size: int) -> None:
        self._counter.expect(size)
        self._channel.send(f"GET {size}")
        await self._counter.received()

    async def cpu(self) -> float:
        self._channel.send("CPU")
        return float(await self._counter.texts.get())
