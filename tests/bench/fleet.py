"""A fleet of a thousand simulated devices, managed by one edge host: memory, status, a policy, upgrades.

Devices and edge host are processes of their own on this machine; every device has an address of its own in
127.0.0.0/8 (Linux). The edge host finds them by a scan of the range, as it would on a site.
"""

from __future__ import annotations

import asyncio
import json
import math
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from farsite_edge.simulator.image import make_image
from farsite_edge.simulator.models import MODELS
from tests.bench.harness import Figure, Result

HERE = Path(__file__).resolve().parents[2]
COUNT, UPGRADED, PARALLEL = 1000, 200, 32
HTTP, HTTPS = 18080, 18443
TARGETS = "127.77.0.1-127.77.3.232"
VERSION = "12.12.1"
Rows = dict[str, list[dict[str, Any]]]


async def measure() -> Result:
    async with site() as simulator:
        rows = await edge()
        rows["site"] = [simulator]
    return Result(list(figures(rows)), [{"what": name} | row for name in rows for row in rows[name]], NOTE)


NOTE = (
    "Memory is the whole resident set of the edge host's process. The upgrade's limit is what one device alone takes, "
    f"times the turns {PARALLEL} at a time need."
)


def figures(rows: Rows) -> list[Figure]:
    status, policy, many = rows["status"][0], rows["policy"][0], rows["upgrade"][0]
    ideal = math.ceil(UPGRADED / PARALLEL) * rows["upgrade_one"][0]["seconds"]
    small, middle, large = rows["round"]
    return [
        Figure("devices managed", large["devices"], f"of {COUNT}", COUNT),
        Figure("memory, at most", rows["peak"][0]["memory_mb"], "MB", 150, "lower"),
        Figure("memory of an edge host without devices", rows["idle"][0]["memory_mb"], "MB"),
        Figure("status of all every 60 s: share of one core", status["cpu_percent"], "%", 10, "lower"),
        Figure("devices not reachable after it", status["away"], "", 0, "lower"),
        Figure("security policy applied to all", policy["seconds"], "s", 120, "lower"),
        Figure("of them done", policy["done"], f"of {COUNT}", COUNT),
        Figure("CPU of it, for each device", policy["cpu_seconds"] * 1000 / policy["devices"], "ms"),
        Figure(f"upgrade of {UPGRADED}: share of the limit", ideal / many["seconds"] * 100, "%", 80),
        Figure("of them done", many["done"], f"of {UPGRADED}", UPGRADED),
        Figure("CPU of it, for each device", many["cpu_seconds"] * 1000 / many["devices"], "ms"),
        Figure("a look at a device, of 10: CPU", small["cpu_ms_per_device"], "ms"),
        Figure("a look at a device, of 100: CPU", middle["cpu_ms_per_device"], "ms"),
        Figure("a look at a device, of 1,000: CPU", large["cpu_ms_per_device"], "ms"),
        Figure("CPU of a device of 1,000 to one of 10", ratio(large, small), "times", 1.25, "lower"),
        Figure("memory for each device, 10 to 100", growth(small, middle), "KB"),
        Figure("memory for each device, 100 to 1,000", growth(middle, large), "KB"),
        Figure("simulator: start of all devices", rows["site"][0]["seconds"], "s"),
        Figure("simulator: memory of all devices", rows["site"][0]["memory_mb"], "MB"),
    ]


def ratio(one: dict[str, Any], other: dict[str, Any]) -> float:
    return float(one["cpu_ms_per_device"] / other["cpu_ms_per_device"])


def growth(small: dict[str, Any], large: dict[str, Any]) -> float:
    return float((large["memory_mb"] - small["memory_mb"]) * 1024 / (large["devices"] - small["devices"]))


@asynccontextmanager
async def site() -> AsyncIterator[dict[str, Any]]:
    command = [sys.executable, "-m", "tests.bench.fleet_site", str(COUNT), "--port", str(HTTP)]
    process = await asyncio.create_subprocess_exec(*command, cwd=HERE, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(300):
            ready = json.loads(await process.stdout.readline())
        yield ready
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def edge() -> Rows:
    with tempfile.TemporaryDirectory(prefix="farsite-bench-") as folder:
        models = [model.number for model in MODELS.values() if model.generation == "12"]
        make_image(Path(folder) / "fleet.bin", models, VERSION, size=1024 * 1024)
        command = [sys.executable, "-m", "tests.bench.fleet_edge", TARGETS, "--images", folder]
        command += ["--ports", str(HTTP), str(HTTPS)]
        process = await asyncio.create_subprocess_exec(*command, cwd=HERE, stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the edge host ended with {process.returncode}")
    rows: Rows = {}
    for line in out.decode().splitlines():
        row = json.loads(line)
        rows.setdefault(row.pop("what"), []).append(row)
    return rows
