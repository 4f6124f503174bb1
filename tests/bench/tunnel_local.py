"""One stream over loopback, two processes: our tunnel against a bare data channel of stock aiortc, in the same run.

Paths: direct, direct without segmentation offload, and through coturn over UDP, TCP and TLS. The stock peer goes the
same way: through the same coturn by the same transport, this end relayed as ours is; both ends' selected pairs are
asserted. What stock does *without* the relay is shown beside, without a bar. CPU is both ends' together, coturn's is
not in it. libdatachannel is measured beside.

`FARSITE_BENCH_PATHS=direct,portable,relay-udp,relay-tcp,relay-tls` chooses.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from farsite_cloud.turn.supervisor import TurnServer
from farsite_signaling.peer.tunnel import Tunnel
from farsite_signaling.wire.ice import IceServer
from farsite_signaling.wire.path import Path as Way
from farsite_signaling.wire.stream import ApiTarget, Priority
from tests.bench.edge_process import give, take
from tests.bench.harness import Figure, Result
from tests.bench.libdatachannel import Library
from tests.bench.relay import turn_settings
from tests.bench.rig import Rig, child_cpu, cpu_seconds, with_offload
from tests.bench.stock_peer import StockFailed, StockPeer

SIZE = 32 * 1024 * 1024
ROUNDS = 3
GIB = 1024**3
PATHS = ("direct", "portable", "relay-udp", "relay-tcp", "relay-tls")
URLS = {"relay-udp": "transport=udp", "relay-tcp": "transport=tcp", "relay-tls": "turns:"}
# Throughput at least, and CPU at most, of stock's.
BARS = {"direct": (8.0, 0.15)} | dict.fromkeys(PATHS[1:], (2.5, 0.45))

WAYS = ("up", "down")
Transfer = Callable[[int], Awaitable[None]]
Ends = tuple[Transfer, Transfer, Callable[[], Awaitable[float]]]
"""How to send a number of bytes up and down, and the other end's CPU seconds."""
Rows = list[dict[str, Any]]


async def measure() -> Result:
    rows: Rows = []
    chosen = os.environ.get("FARSITE_BENCH_PATHS", ",".join(PATHS)).split(",")
    with tempfile.TemporaryDirectory(prefix="farsite-bench-") as folder:
        async with StockPeer() as direct, TurnServer(turn_settings(Path(folder))) as turn:
            if turn.problem is not None:
                raise turn.problem
            await direct.put(SIZE // 8)
            servers = turn.ice_servers("bench", time.time())
            for path in chosen:
                await _path(rows, path, servers, direct)
    await _library(rows)
    figures = [figure for path in chosen for figure in _figures(rows, path)]
    return Result(figures + _library_figures(rows), rows, _note(rows))


async def _path(rows: Rows, path: str, servers: list[IceServer], direct: StockPeer) -> None:
    """By turns: what else the machine does hits all alike."""
    wanted = URLS.get(path)
    chosen = _only(servers, wanted) if wanted else None
    async with _connected(path, chosen) as tunnel, AsyncExitStack() as stack:
        ends: dict[str, Ends] = {"tunnel": _tunnel_ends(tunnel), "stock": _stock_ends(direct)}
        if chosen is not None:
            await _relay_stock(rows, path, chosen, ends, stack)
        for put, _, _ in ends.values():
            await put(SIZE // 8)
        for _ in range(ROUNDS):
            for way in (0, 1):
                for who, parts in ends.items():
                    rows.append(await _row(path, who, way, parts))


async def _relay_stock(
    rows: Rows, path: str, servers: list[IceServer], ends: dict[str, Ends], stack: AsyncExitStack
) -> None:
    """Stock is relayed too. Where it cannot, that is told, and stock without a relay stays what is compared with."""
    try:
        relayed = await stack.enter_async_context(StockPeer(servers))
    except StockFailed as failed:
        rows.append({"path": path, "who": "stock", "problem": str(failed)})
        return
    ends["stock-direct"], ends["stock"] = ends["stock"], _stock_ends(relayed)


def _tunnel_ends(tunnel: Tunnel) -> Ends:
    return lambda size: _put(tunnel, size), lambda size: _get(tunnel, size), lambda: child_cpu(tunnel)


def _stock_ends(stock: StockPeer) -> Ends:
    return stock.put, stock.get, stock.cpu


@asynccontextmanager
async def _connected(path: str, servers: list[IceServer] | None) -> AsyncIterator[Tunnel]:
    async with Rig(portable=path == "portable") as rig:
        try:
            tunnel = await rig.dial(servers, relay_only=servers is not None)
        finally:
            with_offload()
        async with tunnel:
            assert tunnel.path is (Way(path) if servers is not None else Way.LAN), tunnel.path
            yield tunnel


def _only(servers: list[IceServer], wanted: str) -> list[IceServer]:
    kept = [s.model_copy(update={"urls": [url for url in s.urls if wanted in url]}) for s in servers]
    if wanted == "transport=tcp":
        kept = [
            s.model_copy(update={"urls": [u for u in s.urls if not u.startswith("turns:")]}) for s in kept
        ]
    return [server for server in kept if server.urls]


async def _row(path: str, who: str, way: int, ends: Ends) -> dict[str, Any]:
    other_cpu = ends[2]
    before = cpu_seconds() + await other_cpu()
    begin = time.perf_counter()
    await ends[way](SIZE)
    seconds = time.perf_counter() - begin
    used = cpu_seconds() + await other_cpu() - before
    return {"path": path, "who": who, "way": WAYS[way]} | _speed(seconds, used)


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
    for way in WAYS:
        ours, stock = (_median(rows, path, who, way, "mbit_s") for who in ("tunnel", "stock"))
        spent, stock_spent = (_median(rows, path, who, way, "cpu_s_gib") for who in ("tunnel", "stock"))
        figures += [
            Figure(f"{path} {way}", ours, "Mbit/s"),
            Figure(f"{path} {way}, stock meanwhile", stock, "Mbit/s"),
            Figure(f"{path} {way}, against stock", ours / stock, "x", faster),
            Figure(f"{path} {way}, CPU", spent, "s/GiB"),
            Figure(f"{path} {way}, CPU of stock's", spent / stock_spent, "x", cheaper, "lower"),
        ]
        if _has(rows, path, "stock-direct"):
            direct = _median(rows, path, "stock-direct", way, "mbit_s")
            figures.append(Figure(f"{path} {way}, against stock without a relay", ours / direct, "x"))
    return figures


def _has(rows: Rows, path: str, who: str) -> bool:
    return any(row["path"] == path and row["who"] == who for row in rows)


def _note(rows: Rows) -> str:
    note = "stock: aiortc unmodified, 16 KiB messages, by the same way"
    unable = [f"{row['path']}: without a relay ({row['problem']})" for row in rows if "problem" in row]
    return "; ".join([note, *unable])


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
    measured = (row for row in rows if what in row)
    return float(statistics.median(row[what] for row in measured if wanted.items() <= row.items()))


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
