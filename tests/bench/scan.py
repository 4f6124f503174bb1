"""Probing 25,600 addresses on two ports in a network of their own, where 200 devices answer and the rest is silent.

Needs root and Linux network namespaces; nmap is measured in the same network where it is installed.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.bench.harness import Figure, Result

HERE = Path(__file__).resolve().parents[2]
EDGE, SITE = "fsbench-edge", "fsbench-site"
NETWORK, ADDRESSES, DEVICES = "10.77.0.0/16", 25_600, 200
TARGETS = "10.77.0.1-10.77.100.0"


async def measure() -> Result:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return Result([], note="Needs root and iproute2: nothing was measured.")
    async with network(), devices():
        rows = [await scan(), await scan("--cancel-after", "3")]
        await one_by_one()
        if shutil.which("nmap"):
            rows.append(await nmap())
    whole, cancelled = rows[0], rows[1]
    figures = [
        Figure("scan of 25,600 addresses, 2 ports", whole["seconds"], "s", 60, "lower"),
        Figure("devices found", whole["found"], f"of {DEVICES}", DEVICES),
        Figure("memory above idle, at most", whole["memory_mb"], "MB", 60, "lower"),
        Figure("SYN in the busiest second", whole["most_syn"], "SYN/s", 2000, "lower"),
        Figure("share of one core", whole["cpu_percent"], "%", 30, "lower"),
        Figure("cancel", cancelled["cancel_seconds"], "s", 1, "lower"),
    ]
    for row in rows[2:]:
        figures.append(Figure("nmap: the same", row["seconds"], "s"))
        figures.append(Figure("nmap: hosts with an open port", row["found"], f"of {DEVICES}"))
        figures.append(Figure("nmap: SYN in the busiest second", row["most_syn"], "SYN/s"))
    return Result(
        figures, rows, "The edge host also asks every device who it is; nmap only which ports open."
    )


@asynccontextmanager
async def network() -> AsyncIterator[None]:
    """Two namespaces; the site's answers for its devices and swallows everything else."""
    await _clean()
    for command in (
        f"ip netns add {EDGE}",
        f"ip netns add {SITE}",
        f"ip link add fsb0 netns {EDGE} type veth peer name fsb1 netns {SITE}",
        f"ip -n {EDGE} addr add 192.0.2.1/30 dev fsb0",
        f"ip -n {SITE} addr add 192.0.2.2/30 dev fsb1",
        f"ip -n {EDGE} link set fsb0 up",
        f"ip -n {SITE} link set fsb1 up",
        f"ip -n {EDGE} link set lo up",
        f"ip -n {SITE} link set lo up",
        f"ip -n {EDGE} route add {NETWORK} via 192.0.2.2",
        f"ip -n {SITE} route add blackhole {NETWORK}",
    ):
        await run(*command.split())
    try:
        yield
    finally:
        await _clean()


async def _clean() -> None:
    for name in (EDGE, SITE):
        await run("ip", "netns", "del", name, check=False)


def addresses() -> list[str]:
    """Spread over the whole range."""
    step = ADDRESSES // DEVICES
    return [f"10.77.{place // 256}.{place % 256}" for place in range(5, ADDRESSES, step)]


@asynccontextmanager
async def devices() -> AsyncIterator[None]:
    batch = "".join(f"addr add {address}/32 dev lo\n" for address in addresses())
    await run("ip", "-n", SITE, "-batch", "-", given=batch)
    command = ["ip", "netns", "exec", SITE, sys.executable, "-m", "tests.bench.scan_site", *addresses()]
    process = await asyncio.create_subprocess_exec(*command, cwd=HERE, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(120):
            assert await process.stdout.readline() == b"ready\n"
        yield
    finally:
        process.terminate()
        await process.wait()


async def scan(*options: str) -> dict[str, Any]:
    async with counted() as syn:
        command = [sys.executable, "-m", "tests.bench.scan_edge", TARGETS, *options]
        row: dict[str, Any] = json.loads(await run("ip", "netns", "exec", EDGE, *command))
    return row | {"most_syn": max(syn, default=0)}


async def nmap() -> dict[str, Any]:
    async with counted() as syn:
        begun = time.monotonic()
        options = ["-n", "-Pn", "-sT", "-p", "80,443", "--max-rate", "2000", "--min-rate", "2000", "-oG", "-"]
        out = await run(
            "ip", "netns", "exec", EDGE, "nmap", *options, "--max-retries", "0", "10.77.0-99.0-255"
        )
    found = len(re.findall(r"Host: (\S+) .*Ports: .*?/open/", out))
    return {
        "nmap": options,
        "seconds": time.monotonic() - begun,
        "found": found,
        "most_syn": max(syn, default=0),
    }


@asynccontextmanager
async def counted() -> AsyncIterator[list[int]]:
    """Connections begun in each second, as the network sees them."""
    command = ["ip", "netns", "exec", EDGE, sys.executable, "-m", "tests.bench.scan_counter", "fsb0"]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=HERE, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    counts: list[int] = []
    try:
        yield counts
    finally:
        out, _ = await process.communicate(b"\n")
        counts += json.loads(out)


async def one_by_one() -> None:
    """Let what the last measurement left behind end."""
    await asyncio.sleep(1)


async def run(*command: str, check: bool = True, given: str | None = None) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=HERE,
        stdin=asyncio.subprocess.PIPE if given else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, problem = await process.communicate(given.encode() if given else None)
    if check and process.returncode:
        raise RuntimeError(f"{' '.join(command[:8])}: {problem.decode()[-2000:]}")
    return out.decode()
