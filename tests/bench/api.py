"""The cloud's API under load, on SQLite and on PostgreSQL: one server process, requests from another.

A mix of requests at 200/s on an organization of 10,000 devices in 200 edge hosts that go on telling changes; then
single kinds of requests on organizations of 1,000 to 100,000 devices in the same database: what they take must not grow
with the organization. `cost` is the server's CPU time for one request.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from farsite_cloud.testing_servers import fresh_database, postgres_server
from tests.bench.api_load import Ask, Client, Organization
from tests.bench.api_server import BUSY, SIZES
from tests.bench.harness import Figure, Result, percentile
from tests.bench.rig import Child, cpu_seconds

RATE = 200.0
SECONDS = 20.0
PASSES, ROUNDS = 5, 6
"""Sizes take turns, and of the passes the median counts: what else the machine does meets one as often as the other."""
SMALL, LARGE = "1,000", "100,000"


async def measure() -> Result:
    result = Result(
        [], note="mix: filtered lists, single devices, edge hosts, counts, AXIS OS, tags, views, tasks"
    )
    async with _served(None) as bench:
        await bench.run("sqlite", result)
    with postgres_server() as server:
        async with fresh_database(server) as url, _served(url) as bench:
            await bench.run("postgresql", result)
    return result


class Bench:
    def __init__(self, child: Child, client: Client, organizations: dict[str, Organization]) -> None:
        self._child, self._client, self._organizations = child, client, organizations

    async def run(self, database: str, result: Result) -> None:
        await self._client.steady(self._organizations[BUSY], RATE / 4, 2.0)  # warm
        await self._mix(database, result)
        await self._sizes(database, result)

    async def _mix(self, database: str, result: Result) -> None:
        before, begin, own = await self._cpu(), time.perf_counter(), cpu_seconds()
        taken = await self._client.steady(self._organizations[BUSY], RATE, SECONDS)
        # Overloaded it takes longer than planned.
        own = cpu_seconds() - own
        spent, elapsed = await self._cpu() - before, time.perf_counter() - begin
        every = [one for kind in taken.values() for one in kind]
        what = f"{database}: {RATE:.0f} requests/s"
        result.figures += [
            Figure(f"{what}, p95", percentile(every, 0.95), "ms", 50, "lower"),
            Figure(f"{what}, median", percentile(every, 0.5), "ms"),
            Figure(f"{what}, refused", self._client.refused, "requests", 0, "lower"),
            Figure(f"{what}, server", spent / elapsed * 100, "% of a core"),
            Figure(f"{database}: one request of the mix, server", spent / len(every) * 1000, "ms CPU"),
            Figure(f"{database}: sending the mix, this process", own / elapsed * 100, "% of a core"),
        ]
        for kind, times in taken.items():
            row = {"database": database, "kind": kind, "requests": len(times)}
            result.rows.append(row | {"p50": percentile(times, 0.5), "p95": percentile(times, 0.95)})

    async def _sizes(self, database: str, result: Result) -> None:
        taken = await self._passes({size: single(one) for size, one in self._organizations.items()})
        for (size, kind), (took, cost) in taken.items():
            row = {"database": database, "devices": size, "kind": kind}
            result.rows.append(row | {"median_ms": took, "cpu_ms": cost})
            if size == LARGE:
                bar = 150.0 if kind == "AXIS OS by model" else 50.0 if kind.startswith("page") else None
                result.figures.append(Figure(f"{database}, {size}: {kind}", took, "ms", bar, better="lower"))
        await self._growth(database, result)

    async def _growth(self, database: str, result: Result) -> None:
        """Requests of both sizes for as many rows as the small one has: what a row costs is no question of size."""
        small, large = self._organizations[SMALL], self._organizations[LARGE]
        rows = {kind: await self._client.rows(ask) for kind, ask in single(small).items()}
        taken = await self._passes({SMALL: single(small, rows), LARGE: single(large, rows)})
        for kind, count in rows.items():
            row = {"database": database, "kind": kind, "rows": count}
            result.rows.append(row | {f"cpu_ms of {size}": taken[size, kind][1] for size in (SMALL, LARGE)})
        costs = [sum(taken[size, kind][1] for kind in rows) for size in (LARGE, SMALL)]
        what = f"{database}: cost at {LARGE} to {SMALL}, for as many rows"
        result.figures.append(Figure(what, costs[0] / costs[1], "times", 1.5, "lower"))

    async def _passes(self, asks: dict[str, dict[str, Ask]]) -> dict[tuple[str, str], tuple[float, float]]:
        """Milliseconds, and the server's of CPU, of each size and kind."""
        taken: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
        for _ in range(PASSES):
            for kind in asks[LARGE]:
                for size in asks:
                    before = await self._cpu()
                    took = await self._client.median(asks[size][kind], ROUNDS)
                    taken[size, kind].append((took, (await self._cpu() - before) / ROUNDS * 1000))
        return {key: _medians(found) for key, found in taken.items()}

    async def _cpu(self) -> float:
        await self._child.send("cpu")
        return float(await self._child.receive())


def _medians(found: list[tuple[float, float]]) -> tuple[float, float]:
    return statistics.median(one for one, _ in found), statistics.median(one for _, one in found)


def single(organization: Organization, rows: dict[str, int] | None = None) -> dict[str, Ask]:
    """Filters that leave much, little and nothing; each in every order the API has, by and by. `rows`: of each kind, at
    most; else 100."""
    devices = "/devices?limit=LIMIT"
    edge, folder = organization.edges[7], organization.folders[3]
    paths = {
        "page, all": devices,
        "page, model": f"{devices}&model=P3204-LV",
        "page, state": f"{devices}&state=unreachable",
        "page, states": f"{devices}&state=unreachable,credentials_required&sort=-name",
        "page, version and state": f"{devices}&version=9.80.88&state=credentials_required",
        "page, edge host": f"{devices}&edge_host={edge}",
        "page, folder": f"{devices}&folder={folder}",
        "page, text that many have": f"{devices}&q=camera",
        "page, text that one has": f"{devices}&q=ACCC00070009",
        "page, text that none has": f"{devices}&q=nothing%20like%20this",
        "page, text, by address": f"{devices}&q=ACCC00070009&sort=address",
        "page, rare tag": f"{devices}&tag=spare",
        "page, tag": f"{devices}&tag=floor%207&sort=-version",
        "page, support ended": f"{devices}&support_ended=true&sort=state",
        "page, update available": f"{devices}&update_available=true&sort=serial",
        "one device": f"/devices/{organization.ids[5]}",
        "AXIS OS by model": "/inventory/os",
        "counts": "/devices/counts",
        "counts, model": "/devices/counts?model=P3204-LV",
    }
    wanted = rows or dict.fromkeys(paths, 100)
    return {kind: organization.get(path.replace("LIMIT", str(wanted[kind]))) for kind, path in paths.items()}


@asynccontextmanager
async def _served(database: str | None) -> AsyncIterator[Bench]:
    arguments = [] if database is None else [database]
    with tempfile.TemporaryDirectory(prefix="farsite-bench-") as folder:
        async with Child("tests.bench.api_server", str(Path(folder)), *arguments) as child:
            told: dict[str, Any] = json.loads(await child.receive())
            client = Client(told["url"], told["token"])
            organizations = {}
            for size, (edges, devices) in SIZES.items():
                organizations[size] = Organization(told["organizations"][size], edges * devices)
                await client.learn(organizations[size])
            yield Bench(child, client, organizations)
            client.close()
