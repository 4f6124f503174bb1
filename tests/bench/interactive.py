"""Requests of 1 KiB on one stream while another stream of the same tunnel fills an emulated WAN link.

On W1: 100 Mbit/s, 40 ms. Measured on the idle tunnel first, then in each direction of the bulk transfer: from the
start, and once it is steady. `FARSITE_BENCH_SECONDS=5` for a quick look.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from tests.bench.harness import Figure, Result, percentile
from tests.bench.tunnel_wan import START_UP, rate
from tests.bench.wan_pair import Pair, Transfer, Way, connected
from tests.lab.wan.conditions import LINKS
from tests.lab.wan.link import WanLink

LINK = "W1"
REQUEST = 1024
IDLE_SECONDS, BUSY_SECONDS = 5.0, 20.0
ADDED_BAR = 50.0
SATURATED = 0.8
"""Share of the link's rate that the bulk transfer has to get for the measurement to count."""
# Seen from whoever is at the client: they send to the site, or fetch from it.
WAYS: dict[str, Way] = {"upload to the site": "down", "download from the site": "up"}
Trips = list[tuple[float, float]]


async def measure() -> Result:
    seconds = float(os.environ.get("FARSITE_BENCH_SECONDS", BUSY_SECONDS))
    figures: list[Figure] = []
    rows: list[dict[str, Any]] = []
    async with WanLink(LINKS[LINK]) as link, connected(link, "farsite") as pair:
        idle = [ms for _, ms in await pair.trips(REQUEST, IDLE_SECONDS)]
        rows.append({"beside": "nothing"} | _spread(idle))
        figures.append(Figure("idle, p95", percentile(idle, 0.95), "ms"))
        for label, way in WAYS.items():
            transfer, trips = await _beside(pair, way, seconds)
            row = _row(label, way, transfer, trips)
            rows.append(row)
            figures += _figures(label, way, row, percentile(idle, 0.95))
        late = sum(direction["late"] for direction in (await link.stats())["directions"])
    return Result(figures, rows, f"{LINK}; {late} packets were over 2 ms late in the emulator itself.")


async def _beside(pair: Pair, way: Way, seconds: float) -> tuple[Transfer, Trips]:
    async with asyncio.TaskGroup() as group:
        transfer = group.create_task(pair.transfer(way, 1 << 40, seconds), name="bulk")
        trips = group.create_task(pair.trips(REQUEST, seconds), name="requests")
    return transfer.result(), trips.result()


def _row(label: str, way: Way, transfer: Transfer, trips: Trips) -> dict[str, Any]:
    line = transfer.timeline
    steady = line.steady_from(START_UP * rate(LINK, way))
    return {
        "beside": label,
        "bulk_mbit": round(line.mbit(steady, line.end), 1),
        "steady": _spread([ms for at, ms in trips if at >= steady]),
    } | _spread([ms for _, ms in trips])


def _spread(values: list[float]) -> dict[str, Any]:
    shares = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
    return {"requests": len(values)} | {
        name: round(percentile(values, share), 1) for name, share in shares.items() if values
    }


def _figures(label: str, way: Way, row: dict[str, Any], idle: float) -> list[Figure]:
    enough = SATURATED * rate(LINK, way)
    return [
        Figure(f"{label}, p95 above idle", row["p95_ms"] - idle, "ms", ADDED_BAR, "lower"),
        Figure(f"{label}, steady, p95 above idle", row["steady"].get("p95_ms", 9999.0) - idle, "ms"),
        Figure(f"{label}, p99", row["p99_ms"], "ms"),
        Figure(f"{label}, the bulk beside it", row["bulk_mbit"], "Mbit/s", enough),
    ]
