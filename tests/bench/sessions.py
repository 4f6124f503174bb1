"""Many sessions on one edge host, and what is left of them: a real cloud, a real edge host with all its processes.

First idle ones, all from one client: memory and CPU of each. Then clients that come and go by the thousand: most open a
stream and close, some give up halfway, some are killed halfway. Once the last is gone, tasks, descriptors and memory
must be what they were before. `BENCH_SESSIONS=10`, `BENCH_CYCLES=100` for a quick look.
"""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from farsite_client.cloud import CloudClient
from farsite_client.demo.place import OWNER, PASSWORD, Place
from farsite_client.demo.processes import Part
from farsite_client.profile import Profile
from farsite_signaling.peer.rtc import preload
from farsite_signaling.wire.errors import FarsiteError
from tests.bench.harness import Figure, Result
from tests.bench.process_tree import Usage, full_usage, hooked, usage
from tests.bench.rig import Child
from tests.lab.reach import Reach, reaching

SESSIONS, WARM_UP, CYCLES = 50, 100, 1000
GIVEN_UP, KILLED = 0.15, 0.1
"""Shares of the cycles that end halfway."""
AT_ONCE, VICTIMS = 3, 4
"""Clients that live, and profiles of those that die. An edge host hears 2,000 messages of one in ten minutes."""
RESUME_SECONDS = 10
"""How long the edge host waits for a client that is gone: less than by default, to be done sooner."""
IDLE_SECONDS = 30.0
LAST_RELAY = 17.0
"""Seconds after which tunnels have given back the relays they do not use."""
GONE_SECONDS = 45.0
"""Until what clients left that died, some of them before they were known, is cleaned up."""
SLACK = 1.05
EDGE = "Demo site"


@dataclass
class Bench:
    folder: Path
    sessions: int = field(default_factory=lambda: int(os.environ.get("BENCH_SESSIONS", SESSIONS)))
    cycles: int = field(default_factory=lambda: int(os.environ.get("BENCH_CYCLES", CYCLES)))
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    ends: Counter[str] = field(default_factory=Counter)
    clients: list[Profile] = field(default_factory=list)
    victims: list[Profile] = field(default_factory=list)

    @property
    def tasks(self) -> Path:
        return self.folder / "tasks"


class Site(Place):
    def edge_environment(self) -> dict[str, str]:
        return super().edge_environment() | {"FARSITE_EDGE_RESUME_TIMEOUT": str(RESUME_SECONDS)}


async def measure() -> Result:
    preload()
    with tempfile.TemporaryDirectory(prefix="farsite-bench-") as folder:
        bench = Bench(Path(folder))
        async with _site(bench) as edge, _clients(bench) as reaches:
            rows = [{"what": "without sessions"} | _row(await full_usage(edge.pid, bench.tasks))]
            idle = await _idle(bench, edge, reaches[0])
            rows += idle
            await _cycles(bench, reaches, WARM_UP)
            before = await _rest(bench, edge, GONE_SECONDS)
            rows.append({"what": "before the cycles"} | _row(before))
            begin = time.monotonic()
            bench.ends.clear()
            await _cycles(bench, reaches, bench.cycles)
            seconds = time.monotonic() - begin
            after = await _rest(bench, edge, GONE_SECONDS)
            rows.append({"what": "after the cycles", "seconds": round(seconds, 1)} | _row(after))
    return Result(
        _idle_figures(bench, idle) + _figures(bench, before, after, seconds), rows, _note(before, after)
    )


# the site


@asynccontextmanager
async def _site(bench: Bench) -> AsyncIterator[Part]:
    place = Site(bench.folder, cameras=0)
    hooks = hooked(bench.tasks)
    async with AsyncExitStack() as stack:
        cloud = await stack.enter_async_context(place.cloud())
        url = str((await cloud.event("ready"))["url"])
        homes = [bench.folder / f"client{number}" for number in range(AT_ONCE + VICTIMS)]
        profiles = [await _sign_in(Profile(home), url) for home in homes]
        await _claim(place, profiles[0], url)
        command = Part("edge host", ["edge", "run"], environment=place.edge_environment() | hooks)
        edge = await stack.enter_async_context(command)
        await edge.event("cloud_online")
        bench.clients, bench.victims = profiles[:AT_ONCE], profiles[AT_ONCE:]
        yield edge


@asynccontextmanager
async def _clients(bench: Bench) -> AsyncIterator[list[Reach]]:
    async with AsyncExitStack() as stack:
        reaching_all = [reaching(profile, EDGE) for profile in bench.clients]
        yield [await stack.enter_async_context(reach) for reach in reaching_all]


async def _sign_in(profile: Profile, url: str) -> Profile:
    async with CloudClient(url) as cloud:
        signed_in = await cloud.sign_in(OWNER, PASSWORD)
        [organization] = await cloud.organizations()
        await profile.enrol(cloud, signed_in, organization, None)
    return profile


async def _claim(place: Place, profile: Profile, url: str) -> None:
    stored = profile.load()
    async with profile.cloud(stored) as cloud:
        code = (await cloud.setup_code(stored.organization_id, EDGE)).code
    arguments = ["claim", code, "--cloud", url, "--remote-access"]
    async with place.edge_command(*arguments) as claiming:
        await claiming.success()


# idle


async def _idle(bench: Bench, edge: Part, reach: Reach) -> list[dict[str, Any]]:
    async with reach.opened():
        one = await _quiet(edge)
        async with AsyncExitStack() as stack:
            for _ in range(bench.sessions):
                await stack.enter_async_context(reach.opened())
            many = await _quiet(edge)
    return [{"what": "1 idle"} | one, {"what": f"{bench.sessions + 1} idle"} | many]


async def _quiet(edge: Part) -> dict[str, Any]:
    await asyncio.sleep(LAST_RELAY)
    before = usage(edge.pid)
    await asyncio.sleep(IDLE_SECONDS)
    after = usage(edge.pid)
    return _row(after) | {"core_percent": (after.cpu - before.cpu) / IDLE_SECONDS * 100}


def _idle_figures(bench: Bench, rows: list[dict[str, Any]]) -> list[Figure]:
    one, many = rows
    each = (many["memory_kib"] - one["memory_kib"]) / bench.sessions
    core = (many["core_percent"] - one["core_percent"]) / bench.sessions
    return [
        Figure(f"memory (PSS) of each of {bench.sessions} idle sessions", each, "KiB"),
        Figure("CPU of each", core, "% core"),
        Figure("memory (PSS) of the edge host with one", one["memory_kib"] / 1024, "MiB"),
    ]


# coming and going


async def _cycles(bench: Bench, reaches: list[Reach], cycles: int) -> None:
    killed = round(cycles * KILLED)
    homes = [str(profile.home) for profile in bench.victims]
    async with Child("tests.bench.sessions_victims", EDGE, *homes) as victims, asyncio.TaskGroup() as group:
        assert await victims.receive() == "ready"
        group.create_task(_kill(bench, victims, killed), name="victims")
        left = iter(range(cycles - killed))
        for number, reach in enumerate(reaches):
            group.create_task(_come_and_go(bench, reach, left), name=f"client {number}")


async def _kill(bench: Bench, victims: Child, times: int) -> None:
    for _ in range(times):
        await victims.send(str(bench.chance.uniform(0.0, 0.5)))
        await victims.receive()
        bench.ends["killed"] += 1


async def _come_and_go(bench: Bench, reach: Reach, left: Any) -> None:
    for _ in left:
        give_up = bench.chance.random() < GIVEN_UP / (1 - KILLED)
        try:
            async with asyncio.timeout(bench.chance.uniform(0.0, 0.15) if give_up else None):
                await reach.once()
            bench.ends["opened"] += 1
        except TimeoutError:
            bench.ends["given up"] += 1
        except FarsiteError as error:
            bench.ends[f"{error.code}: {error.detail[:80]}"] += 1


async def _rest(bench: Bench, edge: Part, seconds: float) -> Usage:
    """When sessions are gone and what they left is cleaned up: the least of what is seen for a while."""
    least = await full_usage(edge.pid, bench.tasks)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        await asyncio.sleep(2)
        now = await full_usage(edge.pid, bench.tasks)
        if (now.tasks.total(), now.descriptors, now.memory) < (
            least.tasks.total(),
            least.descriptors,
            least.memory,
        ):
            least = now
    return least


def _figures(bench: Bench, before: Usage, after: Usage, seconds: float) -> list[Figure]:
    expected = {"opened", "given up", "killed"}
    failed = sum(number for end, number in bench.ends.items() if end not in expected)
    ends = ", ".join(f"{number} {end}" for end, number in sorted(bench.ends.items()))
    return [
        Figure(f"{bench.cycles} sessions that came and went ({ends})", seconds, "s"),
        Figure("refused or failed", failed, "", 0, "lower"),
        _back("tasks", before.tasks.total(), after.tasks.total(), ""),
        _back("descriptors", before.descriptors, after.descriptors, ""),
        _back("memory (PSS)", before.memory / 1024, after.memory / 1024, "MiB"),
        Figure("processes", after.processes, "", before.processes, "lower"),
    ]


def _back(what: str, before: float, after: float, unit: str) -> Figure:
    return Figure(f"{what} afterwards, of {before:.4g}", after, unit, round(before * SLACK, 2), "lower")


def _note(before: Usage, after: Usage) -> str:
    more = after.tasks - before.tasks
    return f"More tasks than before: {dict(more)}" if more else "No task is left."


def _row(now: Usage) -> dict[str, Any]:
    return {
        "processes": now.processes,
        "memory_kib": now.memory,
        "cpu_s": round(now.cpu, 2),
        "descriptors": now.descriptors,
        "tasks": dict(now.tasks),
    }
