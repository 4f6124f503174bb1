"""How long it takes from asking for a tunnel until a stream on it is open.

In the NAT lab (root): a client whose connection to the hub stands asks the cloud for a session; cloud, relay, edge hosts
and clients are the real processes, behind routers of their own. Round trips there are below a millisecond.
On loopback: two processes, signaling is a pair of pipes, so the figure is ours alone: certificates, ICE, DTLS, SCTP,
tunnel, stream. `BENCH_PARTS=lab,loopback`, `BENCH_TIMES=5` for a quick look: the parts refuse unknown `FARSITE_` names.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from farsite_client.lab import Lab, Nat, missing
from farsite_cloud.turn.supervisor import TurnServer
from farsite_signaling.peer.tunnel import Tunnel
from farsite_signaling.wire.stream import ApiTarget
from tests.bench.harness import Figure, Result, percentile
from tests.bench.relay import turn_settings
from tests.bench.rig import Rig
from tests.lab.grid import Grid

LAB_OPENS = 30
DIRECT_OPENS = 100
RELAY_OPENS = 50
BARS = {"direct": 300.0, "relay": 250.0, "UDP blocked": 1500.0, "proxy only": 2000.0}
# What it is called: the client's site, the edge host's, and what of the path must be so.
PLACES = (
    ("direct", Nat.EASY, Nat.EASY, "direct"),
    ("relay", Nat.HARD, Nat.HARD, "relay-udp"),
    ("UDP blocked", Nat.UDP_BLOCKED, Nat.EASY, "relay-tcp"),
    ("UDP blocked", Nat.EASY, Nat.UDP_BLOCKED, "relay"),
    ("proxy only", Nat.PROXY_ONLY, Nat.EASY, "relay-tls"),
)
Rows = list[dict[str, Any]]


async def measure() -> Result:
    parts = os.environ.get("BENCH_PARTS", "lab,loopback").split(",")
    rows: Rows = []
    figures: list[Figure] = []
    notes: list[str] = []
    if "lab" in parts and (why := missing()):
        notes.append(f"Without the lab: {why}.")
    elif "lab" in parts:
        figures += await _in_lab(rows)
    if "loopback" in parts:
        figures += await _on_loopback(rows, workers=True)
        figures += await _on_loopback(rows, workers=False)
    return Result(figures, rows, " ".join(notes))


def _times(usual: int) -> int:
    return int(os.environ.get("BENCH_TIMES", usual))


async def _in_lab(rows: Rows) -> list[Figure]:
    edges = list(dict.fromkeys(edge for _, _, edge, _ in PLACES))
    clients = list(dict.fromkeys(client for _, client, _, _ in PLACES))
    figures: list[Figure] = []
    async with Lab() as lab, Grid(lab, edges=edges, clients=clients).running() as grid:
        for what, client, edge, path in PLACES:
            answer = await grid.clients[client].ask("reach", edge=edge, times=_times(LAB_OPENS))
            if not answer["ok"]:
                raise RuntimeError(f"{client} to {edge}: {answer['code']}: {answer['detail']}")
            opens = [{"at": "lab", "client": client, "edge": edge} | one for one in answer["opens"]]
            rows += opens
            figures += _lab_figures(f"lab, {what}, {client} to {edge}", opens, path, BARS[what])
    return figures


def _lab_figures(title: str, opens: Rows, path: str, bar: float) -> list[Figure]:
    return [
        *_spread(title, [row["open_ms"] for row in opens], bar),
        Figure(
            f"{title}, of it to the ticket, p50", percentile([row["ticket_ms"] for row in opens], 0.5), "ms"
        ),
        Figure(f"{title}, by {path}", sum(row["path"].startswith(path) for row in opens), f"of {len(opens)}"),
    ]


async def _on_loopback(rows: Rows, *, workers: bool) -> list[Figure]:
    """`workers`: as an edge host runs sessions, each in its own process; without, what that costs is to be seen."""
    with tempfile.TemporaryDirectory(prefix="farsite-bench-") as folder:
        async with Rig(workers=workers) as rig, TurnServer(turn_settings(Path(folder))) as turn:
            if turn.problem is not None:
                raise turn.problem
            await _open(rig.dial)  # the library's import is no part of it
            direct = [await _open(rig.dial) for _ in range(_times(DIRECT_OPENS))]
            servers = turn.ice_servers("bench", time.time())
            udp = [
                s.model_copy(update={"urls": [u for u in s.urls if "transport=udp" in u]}) for s in servers
            ]
            dial = lambda: rig.dial(udp, relay_only=True)  # noqa: E731
            relay = [await _open(dial) for _ in range(_times(RELAY_OPENS))]
    where = "loopback" if workers else "loopback, one process for all"
    rows += [{"at": where, "path": "direct", "open_ms": ms} for ms in direct]
    rows += [{"at": where, "path": "relay", "open_ms": ms} for ms in relay]
    return [
        *_spread(f"{where}, direct", direct, BARS["direct"]),
        *_spread(f"{where}, relay", relay, BARS["relay"]),
    ]


async def _open(dial: Callable[[], Awaitable[Tunnel]]) -> float:
    begin = time.perf_counter()
    async with await dial() as tunnel:
        _, writer = await tunnel.open_stream(ApiTarget())
        took = time.perf_counter() - begin
        writer.write(b"CPU 0\n")
        writer.close()
    return round(took * 1000, 1)


def _spread(title: str, times: list[float], bar: float) -> list[Figure]:
    return [
        Figure(f"{title}, p50 of {len(times)}", percentile(times, 0.5), "ms", bar, "lower"),
        Figure(f"{title}, p95", percentile(times, 0.95), "ms", bar, "lower"),
    ]
