"""One stream over emulated WAN links: Farsite's tunnel, `ssh -L` over the kernel's cubic, and stock aiortc.

One after another on the same link, a fresh connection for each transfer, each end a process of its own. `up` runs from
the side that accepts (the site) to the one that dials. What is too slow to move all bytes is cut after a while.

Environment, for quick looks: `FARSITE_BENCH_LINKS=W1,W2`, `FARSITE_BENCH_MIB=8`, `FARSITE_BENCH_SECONDS=10` (the most
that one transfer takes), `FARSITE_BENCH_WHO=farsite,ssh`, `FARSITE_BENCH_PARTS=links,outage,fairness,chromium`,
`FARSITE_BENCH_WAYS=up`. `WHO` knows `link`, too: Farsite's link without the tunnel on it.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from tests.bench.harness import Figure, Result, percentile
from tests.bench.wan_pair import Pair, Transfer, Way, connected
from tests.lab.wan.conditions import LINKS, Conditions
from tests.lab.wan.link import WanLink, use_congestion_control
from tests.lab.wan.pings import Pings, ping, pinging

MIB = 1024 * 1024
SIZES = {"W1": 64, "W2": 64, "W3": 64, "W4": 24, "W5": 24}
FARSITE_SECONDS = 40.0
OTHERS_SECONDS = 20.0
EMPTY_PINGS = 100
PAYLOAD = 1160 / 1253
"""Of a full packet: what IP, UDP, DTLS and SCTP leave."""
START_UP = 0.8 * PAYLOAD
"""Of the link's rate, at which start-up is over."""

GOODPUT_BARS = {"W1": 88.0, "W2": 85.0, "W3": 42.0, "W4": 15.0, "W5": 6.5}
QUEUE_BARS = {"W1": 15.0, "W5": 80.0}
SSH_FACTOR, AIORTC_FACTOR = 15.0, 20.0  # on W2
FAST_LINKS = ("W1", "W2")
STOCK_TURNS = 3
START_UP_BAR, RECOVERY_BAR = 3.0, 1.0
CORE_BAR = 25.0
CHROMIUM_LINK, CHROMIUM_BAR = "W1", 40.0
SHARE_BARS = (30.0, 70.0)

OUTAGE_AT, OUTAGE, OUTAGE_RUN = 5.0, 2.0, 14.0
FAIR_BEGIN, FAIR_RUN = 5.0, 25.0


def _chosen(name: str, default: str) -> list[str]:
    return os.environ.get(f"FARSITE_BENCH_{name}", default).split(",")


@dataclass
class Bench:
    links: list[str] = field(default_factory=lambda: _chosen("LINKS", ",".join(LINKS)))
    who: list[str] = field(default_factory=lambda: _chosen("WHO", "aiortc,mixed,ssh,farsite"))
    parts: list[str] = field(default_factory=lambda: _chosen("PARTS", "links,outage,fairness,chromium"))
    seconds: float = field(default_factory=lambda: float(_chosen("SECONDS", str(FARSITE_SECONDS))[0]))
    ways: list[Way] = field(
        default_factory=lambda: [w for w in ("up", "down") if w in _chosen("WAYS", "up,down")]
    )
    rows: list[dict[str, Any]] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


async def measure() -> Result:
    bench = Bench()
    for name in bench.links:
        async with WanLink(LINKS[name]) as link:
            await _prepare(link)
            await _on_link(bench, name, link)
            bench.notes.append(_note(name, await link.stats()))
    bench.notes.append(
        f"{FARSITE_SECONDS:g} s of start-up, {OUTAGE_RUN:g} s after an outage: never got there."
    )
    return Result(bench.figures, bench.rows, "\n".join(bench.notes))


async def _prepare(link: WanLink) -> None:
    for side in (link.left, link.right):
        await use_congestion_control(side, "cubic")
        # One connection must not inherit another's window.
        await side.run("sysctl", "-qw", "net.ipv4.tcp_no_metrics_save=1")


async def _on_link(bench: Bench, name: str, link: WanLink) -> None:
    if "links" in bench.parts:
        empty = await ping(link.left, link.right_address, EMPTY_PINGS)
        for way in bench.ways:
            row = await _row(bench, name, way, link, percentile(empty.trips, 0.95))
            bench.rows.append(row)
            bench.figures += _figures(name, way, row)
    if name == CHROMIUM_LINK and "chromium" in bench.parts:
        for way in bench.ways:
            bench.figures.append(await _chromium(name, way, link))
    if name in FAST_LINKS and "farsite" in bench.who:
        if "outage" in bench.parts:
            for way in bench.ways:
                bench.figures.append(await _outage(name, way, link))
        if "fairness" in bench.parts:
            for way in bench.ways:
                bench.figures += await _fairness(name, way, link)


async def _chromium(name: str, way: Way, link: WanLink) -> Figure:
    """A browser at the other end of our link."""
    async with connected(link, "chromium") as pair:
        transfer = await pair.transfer(way, _size(name), OTHERS_SECONDS)
    mbit = transfer.timeline.steady(START_UP * CHROMIUM_BAR)
    print(f"{name} {way} Chromium: {mbit:.1f} Mbit/s", flush=True)
    return Figure(f"{name} {way}, Chromium as the peer", mbit, "Mbit/s", CHROMIUM_BAR)


def rate(name: str, way: Way) -> float:
    conditions: Conditions = LINKS[name]
    direction = conditions.up if way == "up" else conditions.down
    assert direction.rate_mbit is not None
    return direction.rate_mbit


# one transfer each


async def _row(bench: Bench, name: str, way: Way, link: WanLink, empty: float) -> dict[str, Any]:
    row: dict[str, Any] = {"link": name, "direction": way}
    row |= {f"{who}_mbit": None for who in ("farsite", "ssh", "aiortc")}
    row |= {"queue_ms_p95": None, "cpu_s_per_gib": None}
    runs: dict[str, list[float]] = {}
    for who in _turns(bench.who, name):
        seconds = min(FARSITE_SECONDS if who == "farsite" else OTHERS_SECONDS, bench.seconds)
        async with connected(link, who) as pair, pinging(link.left, link.right_address) as pings:
            transfer = await pair.transfer(way, _size(name), seconds)
        runs.setdefault(who, []).append(transfer.timeline.steady(START_UP * rate(name, way)))
        row[f"{who}_mbit"] = round(median(runs[who]), 2)
        if who == "farsite":
            row |= _farsite(name, way, transfer, pings, empty)
        print(f"{name} {way} {who}: {runs[who][-1]:.2f} Mbit/s", flush=True)
    return row


def _turns(chosen: list[str], name: str) -> list[str]:
    """Whose transfer is next. Losses fall better for one than for another by chance: those they govern take turns."""
    stock = [who for who in chosen if who in ("aiortc", "mixed") and name in FAST_LINKS]
    turns = STOCK_TURNS if LINKS[name].up.loss else 1
    return [who for who in chosen if who not in (*stock, "mixed")] + stock * turns


def _size(name: str) -> int:
    return int(os.environ.get("FARSITE_BENCH_MIB", SIZES[name])) * MIB


def _farsite(name: str, way: Way, transfer: Transfer, pings: Pings, empty: float) -> dict[str, Any]:
    line = transfer.timeline
    target = START_UP * rate(name, way)
    steady = line.steady_from(target)
    offset = transfer.wall_offset
    trips = pings.between(steady + offset, line.end + offset)
    early = pings.between(line.begin + offset, steady + offset)
    started = line.reaches(target)
    return {
        "queue_ms_p95": round(percentile(trips, 0.95) - empty, 1) if trips else None,
        "queue_ms_start_up": round(max(early) - empty, 1) if early else None,
        "cpu_s_per_gib": round(transfer.cpu_per_gib, 1),
        "core_percent": round(transfer.core_share * 100, 1),
        "start_up_s": None if started is None else round(started, 2),
        "from_first_byte_mbit": round(line.mbit(line.begin, line.end), 2),
    }


def _figures(name: str, way: Way, row: dict[str, Any]) -> list[Figure]:
    figures = []
    ours = row["farsite_mbit"]
    if ours is not None:
        figures += _held(name, way, row, ours)
    if row.get("mixed_mbit") is not None:
        with_stock = Figure(
            f"{name} {way}, our link with a stock peer", row["mixed_mbit"], "Mbit/s", row["aiortc_mbit"]
        )
        figures.append(with_stock)
    for who in ("ssh", "aiortc"):
        theirs = row[f"{who}_mbit"]
        if theirs is not None:
            label = "ssh -L, cubic" if who == "ssh" else "stock aiortc"
            figures.append(Figure(f"{name} {way}, {label}", theirs, "Mbit/s"))
        if name == "W2" and theirs is not None and ours is not None:
            factor = SSH_FACTOR if who == "ssh" else AIORTC_FACTOR
            figures.append(
                Figure(f"{name} {way}, farsite to {who}", ours / max(theirs, 0.01), "×", bar=factor)
            )
    return figures


def _held(name: str, way: Way, row: dict[str, Any], ours: float) -> list[Figure]:
    # W5's bar is for its 8 Mbit/s; a faster direction is held to the same share.
    bar = GOODPUT_BARS[name] * rate(name, way) / rate(name, "up")
    figures = [Figure(f"{name} {way}, farsite", ours, "Mbit/s", bar=bar)]
    queue = row["queue_ms_p95"]
    # No answered ping at all is the worst queue there is.
    worst = 9999.0 if queue is None else queue
    figures.append(Figure(f"{name} {way}, queue added, p95", worst, "ms", QUEUE_BARS.get(name), "lower"))
    figures.append(Figure(f"{name} {way}, CPU of both ends", row["cpu_s_per_gib"], "s/GiB"))
    if name in FAST_LINKS:
        started = FARSITE_SECONDS if row["start_up_s"] is None else row["start_up_s"]
        figures.append(Figure(f"{name} {way}, start-up to 80 %", started, "s", START_UP_BAR, "lower"))
        figures.append(Figure(f"{name} {way}, busier end", row["core_percent"], "% core", CORE_BAR, "lower"))
    return figures


# faults and company


async def _outage(name: str, way: Way, link: WanLink) -> Figure:
    """How long after an outage until it runs as before (90 %), and at no less than start-up must reach."""
    ended = 0.0

    async def interrupt() -> None:
        nonlocal ended
        await asyncio.sleep(OUTAGE_AT)
        async with link.outage():
            await asyncio.sleep(OUTAGE)
        ended = time.monotonic()

    async with connected(link, "farsite") as pair, asyncio.TaskGroup() as group:
        group.create_task(interrupt(), name="outage")
        transfer = await pair.transfer(way, 1 << 40, OUTAGE_RUN)
    line = transfer.timeline
    before = line.mbit(line.begin + OUTAGE_AT / 2, line.begin + OUTAGE_AT)
    took = line.reaches(max(0.9 * before, START_UP * rate(name, way)), after=ended)
    print(f"{name} {way} outage: {before:.1f} Mbit/s before, back after {took} s", flush=True)
    value = OUTAGE_RUN if took is None else took
    return Figure(
        f"{name} {way}, back at full rate after {OUTAGE:g} s outage", value, "s", RECOVERY_BAR, "lower"
    )


async def _fairness(name: str, way: Way, link: WanLink) -> list[Figure]:
    """Share of the link, while one flow of the kernel's cubic has the same time."""
    async with AsyncExitStack() as stack:
        pairs = {who: await stack.enter_async_context(connected(link, who)) for who in ("farsite", "tcp")}
        async with asyncio.TaskGroup() as group:
            tasks = {who: group.create_task(_run(pair, way), name=who) for who, pair in pairs.items()}
    shares = {who: _share(task.result(), rate(name, way)) for who, task in tasks.items()}
    print(f"{name} {way} beside cubic, % of the rate: {shares}", flush=True)
    if name != "W1":  # cubic alone gets next to nothing of a lossy link: nothing to share
        return [Figure(f"{name} {way}, {_who(who)}", share, "% of rate") for who, share in shares.items()]
    low, high = SHARE_BARS
    return [
        Figure(f"{name} {way}, farsite beside cubic", shares["farsite"], "% of rate", low),
        Figure(f"{name} {way}, farsite beside cubic, at most", shares["farsite"], "% of rate", high, "lower"),
        Figure(f"{name} {way}, cubic beside farsite", shares["tcp"], "% of rate", low),
    ]


async def _run(pair: Pair, way: Way) -> Transfer:
    return await pair.transfer(way, 1 << 40, FAIR_RUN)


def _share(transfer: Transfer, mbit: float) -> float:
    line = transfer.timeline
    return round(100 * line.mbit(line.begin + FAIR_BEGIN, line.begin + FAIR_RUN) / mbit, 1)


def _who(who: str) -> str:
    return "farsite beside cubic" if who == "farsite" else "cubic beside farsite"


def _note(name: str, stats: dict[str, Any]) -> str:
    """Whether the emulator kept up."""
    ways = stats["directions"]
    packets = sum(way["packets"] for way in ways)
    late = sum(way["late"] for way in ways)
    overruns = sum(way["overruns"] for way in ways)
    share = late / max(packets, 1)
    return (
        f"{name}: the emulator carried {packets} packets, {share:.2%} over 2 ms late, {overruns} not at all."
    )
