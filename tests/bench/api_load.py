"""Requests for the bench `api`: a realistic mix at a steady rate, and single kinds one after the other.

Steady means that no request waits for another: each is sent when it is due, on a connection that is free, and what it
took is counted from when it was due, whether or not it could be sent then.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from tests.bench.api_server import MODELS, VERSIONS
from tests.bench.http_wire import Wires

Ask = Callable[[random.Random], tuple[str, str, Any]]


class Organization:
    """Makes requests about one organization."""

    def __init__(self, facts: dict[str, Any], devices: int) -> None:
        self.path = f"/organizations/{facts['org']}"
        self.edges, self.folders = facts["edges"], facts["folders"]
        self._each = devices // len(self.edges)
        self.ids: list[str] = []
        self.cursors: list[str] = []

    def filters(self, chance: random.Random) -> str:
        """What people choose: mostly one thing, sometimes two."""
        edge = chance.randrange(len(self.edges))
        return chance.choice(
            [
                "",
                f"&model={chance.choice(MODELS)}",
                "&state=unreachable",
                "&state=unreachable,credentials_required",
                f"&version={chance.choice(VERSIONS)}",
                f"&edge_host={self.edges[edge]}",
                f"&folder={chance.choice(self.folders)}",
                f"&q={quote(f'site {edge} camera')}",
                f"&q=ACCC{edge:04X}{chance.randrange(self._each):04X}",
                "&tag=spare",
                "&support_ended=true",
                f"&update_available=true&model={chance.choice(MODELS)}",
                "&sort=-version",
            ]
        )

    def list(self, chance: random.Random) -> tuple[str, str, Any]:
        return "GET", f"{self.path}/devices?limit=50{self.filters(chance)}", None

    def next_page(self, chance: random.Random) -> tuple[str, str, Any]:
        return "GET", f"{self.path}/devices?limit=50&cursor={chance.choice(self.cursors)}", None

    def device(self, chance: random.Random) -> tuple[str, str, Any]:
        return "GET", f"{self.path}/devices/{chance.choice(self.ids)}", None

    def tag(self, chance: random.Random) -> tuple[str, str, Any]:
        change = {chance.choice(["add", "remove"]): ["checked"]}
        return "PATCH", f"{self.path}/devices/{chance.choice(self.ids)}/tags", change

    def edge(self, chance: random.Random) -> tuple[str, str, Any]:
        return "GET", f"{self.path}/edge-hosts/{chance.choice(self.edges)}", None

    def get(self, path: str) -> Ask:
        return lambda _chance: ("GET", f"{self.path}{path}", None)

    def kinds(self) -> dict[str, tuple[int, Ask]]:
        """Each with its weight."""
        return {
            "devices, filtered": (35, self.list),
            "devices, next page": (8, self.next_page),
            "one device": (17, self.device),
            "tags of a device": (2, self.tag),
            "counts": (4, self.get("/devices/counts")),
            "AXIS OS by model": (3, self.get("/inventory/os")),
            "edge hosts": (9, self.get("/edge-hosts?limit=50")),
            "one edge host": (8, self.edge),
            "folders": (4, self.get("/folders")),
            "tags": (2, self.get("/tags")),
            "views": (2, self.get("/views")),
            "tasks": (3, self.get("/edge-tasks")),
            "me": (3, lambda _chance: ("GET", "/me", None)),
        }


class Refused(Exception):
    """The server has too much to do."""


class Client:
    def __init__(self, url: str, token: str) -> None:
        self._wires = Wires(f"{url}/api/v1", {"Authorization": f"Bearer {token}"})
        self.refused = 0

    async def ask(self, method: str, path: str, body: Any = None) -> bytes:
        status, data = await self._wires.ask(method, path, b"" if body is None else json.dumps(body).encode())
        if status == 503:
            raise Refused(data[:300])
        assert status < 300, (path, status, data[:300])
        return data

    def close(self) -> None:
        self._wires.close()

    async def learn(self, organization: Organization) -> None:
        """Ids and cursors to ask with."""
        cursor = ""
        for _ in range(10):
            page = json.loads(await self.ask("GET", f"{organization.path}/devices?limit=100{cursor}"))
            organization.ids += [one["id"] for one in page["devices"]]
            organization.cursors.append(page["next_cursor"])
            cursor = f"&cursor={page['next_cursor']}"
            if page["next_cursor"] is None:
                organization.cursors.pop()
                break

    async def steady(self, organization: Organization, rate: float, seconds: float) -> dict[str, list[float]]:
        """Milliseconds from when a request was due, by kind; a request that waits delays no other."""
        chance = random.Random(2)
        kinds = organization.kinds()
        names, weights = list(kinds), [weight for weight, _ in kinds.values()]
        taken: dict[str, list[float]] = defaultdict(list)
        began = time.perf_counter()

        async def one(name: str, due: float) -> None:
            try:
                await self.ask(*kinds[name][1](chance))
            except Refused:
                self.refused += 1
            taken[name].append((time.perf_counter() - due) * 1000)

        async with asyncio.TaskGroup() as group:
            for number in range(int(rate * seconds)):
                due = began + number / rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                name = chance.choices(names, weights)[0]
                group.create_task(one(name, due), name=name)
        return taken

    async def rows(self, ask: Ask) -> int:
        """Of the answer, and at least one."""
        answer = json.loads(await self.ask(*ask(random.Random(3))))
        devices = answer.get("devices")
        return max(1, len(devices)) if isinstance(devices, list) else 1

    async def median(self, ask: Ask, rounds: int) -> float:
        """Milliseconds, one after the other."""
        chance, taken = random.Random(3), []
        for _ in range(rounds):
            begin = time.perf_counter()
            await self.ask(*ask(chance))
            taken.append((time.perf_counter() - begin) * 1000)
        return statistics.median(taken)
