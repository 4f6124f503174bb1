"""One stream over loopback, two processes: our tunnel against a bare data channel of stock aiortc, in the same run.

The tunnel rides on aiortc's own SCTP association, adds framing, credits and TLS-free stream transports, and must
not be slower than the bare channel. CPU is both processes' together.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from farsite_signaling.peer.tunnel import Tunnel
from farsite_signaling.wire.stream import ApiTarget, Priority
from tests.bench.edge_process import give, take
from tests.bench.harness import Figure, Result
from tests.bench.rig import Child, Rig, child_cpu, cpu_seconds
from tests.bench.stock_process import Counter

SIZE = 32 * 1024 * 1024
ROUNDS = 3
GIB = 1024**3

Transfer = Callable[[], Awaitable[None]]


async def measure() -> Result:
    rows: list[dict[str, Any]] = []
    async with Rig() as rig, await rig.dial() as tunnel, StockPeer() as stock:
        await _put(tunnel, SIZE // 8)  # both warm before they are measured
        await stock.put(SIZE // 8)
        for _ in range(ROUNDS):  # by turns: what else the machine does hits both alike
            rows.append(await _row("tunnel", "up", lambda: _put(tunnel, SIZE), lambda: child_cpu(tunnel)))
            rows.append(await _row("stock", "up", lambda: stock.put(SIZE), stock.cpu))
            rows.append(await _row("tunnel", "down", lambda: _get(tunnel, SIZE), lambda: child_cpu(tunnel)))
            rows.append(await _row("stock", "down", lambda: stock.get(SIZE), stock.cpu))
    return Result(_figures(rows), rows, "stock: one data channel of unmodified aiortc, 16 KiB messages")


async def _row(
    who: str, way: str, transfer: Transfer, other_cpu: Callable[[], Awaitable[float]]
) -> dict[str, Any]:
    before = cpu_seconds() + await other_cpu()
    begin = time.perf_counter()
    await transfer()
    seconds = time.perf_counter() - begin
    used = cpu_seconds() + await other_cpu() - before
    return {
        "who": who,
        "way": way,
        "mbit_s": round(SIZE * 8 / seconds / 1e6, 1),
        "cpu_s_gib": round(used * GIB / SIZE, 1),
    }


def _figures(rows: list[dict[str, Any]]) -> list[Figure]:
    figures = []
    for way in ("up", "down"):
        ours, stock = (_median(rows, who, way, "mbit_s") for who in ("tunnel", "stock"))
        figures.append(Figure(f"tunnel {way}", ours, "Mbit/s", bar=stock))
        figures.append(Figure(f"stock aiortc {way}", stock, "Mbit/s"))
        for who in ("tunnel", "stock"):
            figures.append(Figure(f"{who} {way}, CPU", _median(rows, who, way, "cpu_s_gib"), "s/GiB"))
    return figures


def _median(rows: list[dict[str, Any]], who: str, way: str, what: str) -> float:
    return statistics.median(row[what] for row in rows if row["who"] == who and row["way"] == way)


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
