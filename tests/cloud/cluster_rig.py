"""Two clouds on one PostgreSQL and one Redis, as behind one address."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp

from farsite_cloud import cloud as cloud_module
from farsite_cloud.cluster.neighbours import Pace, RedisNeighbours
from farsite_cloud.testing import run_cloud
from farsite_cloud.vault import KEY_FILE
from tests.cloud.conftest import MovableClock, Person, World

QUICK = Pace(renew=0.1, life=1.0, pause=0.05)


@dataclass
class Two:
    """`a` and `b`; whatever is made by one is there for the other."""

    a: World
    b: World

    def at_b(self, person: Person) -> Person:
        return replace(person, url=self.b.running.url)

    async def online_at_b(self, urn: str, online: bool = True) -> None:
        await until(lambda: self.b.services.peers.online(urn) is online)


async def until(reached: Callable[[], bool], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not reached():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def two_clouds(
    folder: Path, clock: MovableClock, monkeypatch: Any, **settings: Any
) -> AsyncIterator[Two]:
    def quick(redis: Any) -> RedisNeighbours:
        return RedisNeighbours(redis, QUICK)

    monkeypatch.setattr(cloud_module, "RedisNeighbours", quick)
    (folder / "a").mkdir()
    (folder / "b").mkdir()
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(connector=connector) as http,
        run_cloud(folder / "a", clock=clock, **settings) as first,
    ):
        key = base64.b64encode((folder / "a" / KEY_FILE).read_bytes()).decode()
        async with run_cloud(folder / "b", clock=clock, master_key=key, **settings) as second:
            a, b = World(first, clock, http), World(second, clock, http)
            await a.prepare()
            b.owner = replace(a.owner, url=second.url)
            yield Two(a, b)
