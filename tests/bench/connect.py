"""How long it takes from asking for a tunnel until a stream on it is open: two processes on loopback.

The hub is a pair of pipes here, so the figure is ours alone: certificates, ICE, DTLS, SCTP, tunnel, stream.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from farsite_cloud.turn.supervisor import TurnServer
from farsite_signaling.peer.tunnel import Tunnel
from farsite_signaling.wire.stream import ApiTarget
from tests.bench.harness import Figure, Result, percentile
from tests.bench.relay import turn_settings
from tests.bench.rig import Rig

DIRECT_OPENS = 100
RELAY_OPENS = 50
DIRECT_BAR = 300.0
RELAY_BAR = 250.0


async def measure() -> Result:
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="farsite-bench-") as folder:
        async with Rig() as rig, TurnServer(turn_settings(Path(folder))) as turn:
            if turn.problem is not None:
                raise turn.problem
            await _open(rig.dial)  # the library's import is no part of it
            rows += [{"path": "direct", "ms": await _open(rig.dial)} for _ in range(DIRECT_OPENS)]
            servers = turn.ice_servers("bench", time.time())
            udp = [
                s.model_copy(update={"urls": [u for u in s.urls if "transport=udp" in u]}) for s in servers
            ]
            dial = lambda: rig.dial(udp, relay_only=True)  # noqa: E731
            rows += [{"path": "relay", "ms": await _open(dial)} for _ in range(RELAY_OPENS)]
    return Result(_figures(rows, "direct", DIRECT_BAR) + _figures(rows, "relay", RELAY_BAR), rows)


async def _open(dial: Callable[[], Awaitable[Tunnel]]) -> float:
    begin = time.perf_counter()
    async with await dial() as tunnel:
        _, writer = await tunnel.open_stream(ApiTarget())
        took = time.perf_counter() - begin
        writer.write(b"CPU 0\n")
        writer.close()
    return round(took * 1000, 1)


def _figures(rows: list[dict[str, Any]], path: str, bar: float) -> list[Figure]:
    times = [row["ms"] for row in rows if row["path"] == path]
    return [
        Figure(f"{path}, p50 of {len(times)}", percentile(times, 0.5), "ms", bar=bar, better="lower"),
        Figure(f"{path}, p95", percentile(times, 0.95), "ms"),
    ]
