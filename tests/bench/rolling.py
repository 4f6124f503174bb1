"""A cloud of two processes restarted one after the other, under a thousand edge hosts and a session in use.

Real processes, PostgreSQL, Redis, certificates and WebSockets; a balancer gives each new connection to the process with
the fewest. Last, a process is killed. `FARSITE_BENCH_PEERS` sets how many edge hosts.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientResponseError

from farsite_client.cloud import CloudClient
from farsite_client.profile import Profile
from farsite_client.session import RemoteSession, connect
from farsite_edge.testing import run_edge
from farsite_signaling.identity import generate_key, make_request, private_pem
from tests.bench.harness import Figure, Result, percentile
from tests.bench.hub import LINE
from tests.bench.nodes import Cluster, Node, cluster
from tests.bench.rig import Child

PEERS = int(os.environ.get("FARSITE_BENCH_PEERS", "1000"))
CLAIMS_AT_ONCE = 8
BACK_SECONDS = 60.0
PART = 256 * 1024
PART_DIGEST = hashlib.sha256(bytes(PART)).hexdigest()
BARS = {"back": 10.0, "attempts": 1250.0, "stall": 1.0, "resumed": 8.0}


@dataclass
class Step:
    """What one restart did to the edge hosts. `away`: seconds from losing the hub to being back, of each that did."""

    what: str
    away: list[float] = field(default_factory=list)
    attempts: int = 0
    most_attempts: int = 0
    """In any one second."""
    most_returns: int = 0
    ended_s: float = 0.0

    def row(self) -> dict[str, Any]:
        times = self.away or [0.0]
        return {
            "step": self.what,
            "lost_the_hub": len(self.away),
            "away_p50_s": round(percentile(times, 0.5), 2),
            "away_p95_s": round(percentile(times, 0.95), 2),
            "away_max_s": round(max(times), 2),
            "attempts": self.attempts,
            "most_attempts_in_a_second": self.most_attempts,
            "most_returns_in_a_second": self.most_returns,
            "ended_s": round(self.ended_s, 2),
        }


def step(what: str, log: dict[str, list[tuple[float, str]]], ended: float = 0.0) -> Step:
    """`log`: see `hub_peers`."""
    down = {name: at for at, name in reversed(log["down"])}
    back = {name: at for at, name in log["up"]}
    away = [back[name] - at for name, at in down.items() if name in back]
    attempts, returns = ([at for at, _ in log[key]] for key in ("dials", "up"))
    return Step(what, away, len(attempts), busiest(attempts), busiest(returns), ended)


def busiest(times: Iterable[float]) -> int:
    """Most of them within one second."""
    ordered, most, begin = sorted(times), 0, 0
    for end, at in enumerate(ordered):
        while at - ordered[begin] > 1.0:
            begin += 1
        most = max(most, end - begin + 1)
    return most


class Fleet:
    """Edge hosts of one organization in a process of their own; real certificates, claimed one by one."""

    def __init__(self, child: Child, count: int) -> None:
        self._child = child
        self.count = count
        self.arrived = 0.0
        """Seconds until all were online at the beginning, when nothing was wrong."""

    async def back(self) -> None:
        """All of them are online."""
        async with asyncio.timeout(BACK_SECONDS):
            await self._ask("back")

    async def log(self) -> dict[str, list[tuple[float, str]]]:
        log: dict[str, list[tuple[float, str]]] = await self._ask("log")
        return log

    async def _ask(self, question: str) -> Any:
        await self._child.send(question)
        return json.loads(await self._child.receive())


@asynccontextmanager
async def fleet(cloud: Cluster, folder: Path, count: int) -> AsyncIterator[Fleet]:
    (folder / "identities.json").write_text(json.dumps(await claimed(cloud, count)))
    async with Child("tests.bench.hub_peers", str(count), str(folder), limit=LINE) as child:
        await child.receive()
        begun = time.monotonic()
        await child.send(str(cloud.balancer.port))
        peers = Fleet(child, count)
        await peers.back()
        peers.arrived = time.monotonic() - begun
        await peers.log()
        yield peers


async def claimed(cloud: Cluster, count: int) -> list[tuple[str, str]]:
    """Keys and certificates."""
    token, gate = await cloud.cloud.sign_in(), asyncio.Semaphore(CLAIMS_AT_ONCE)
    organization = await cloud.cloud.organization_id(token)

    async def claim(number: int) -> tuple[str, str]:
        key = generate_key()
        async with gate:
            path = f"/organizations/{organization}/setup-codes"
            made = await persistent(cloud, path, {"name": f"Site {number}"}, token)
            body = {"code": made["code"], "csr": make_request(key, "bench")}
            answer = await persistent(cloud, "/claims", body)
        return private_pem(key).decode(), str(answer["certificate"])

    return await asyncio.gather(*(claim(number) for number in range(count)))


async def persistent(cloud: Cluster, path: str, body: Any, token: str | None = None) -> dict[str, Any]:
    """Asks again while the cloud is too busy, as people and edge hosts do."""
    async with asyncio.timeout(BACK_SECONDS):
        while True:
            try:
                return await cloud.cloud.request("POST", path, body, token=token)
            except ClientResponseError as error:
                if error.status != 503:
                    raise
            await asyncio.sleep(1)


class Traffic:
    """Uploads through a session, part after part; whether all came whole, and how long the slowest part took."""

    def __init__(self, session: RemoteSession) -> None:
        self.session = session
        self.whole = True
        self.slowest = 0.0
        self.parts = 0
        self._arrived = asyncio.Event()

    async def run(self) -> None:
        while True:
            begun = time.monotonic()
            arrived = await self.session.edge.upload(PART)
            self.whole = self.whole and (arrived.bytes, arrived.sha256) == (PART, PART_DIGEST)
            self.slowest, self.parts = max(self.slowest, time.monotonic() - begun), self.parts + 1
            self._arrived.set()
            self._arrived = asyncio.Event()
            await asyncio.sleep(0.02)

    @property
    def moves(self) -> int:
        return self.session.status().moves

    async def cut(self) -> float:
        """As if our address were gone; seconds until a part has arrived over another link."""
        begun, tunnel = time.monotonic(), self.session.tunnel
        assert tunnel.link is not None and tunnel.link.local_address is not None
        tunnel.doubt(frozenset({tunnel.link.local_address}))
        while tunnel.link is None:
            await tunnel.changed()
        arrived = self._arrived
        await arrived.wait()
        return time.monotonic() - begun


@asynccontextmanager
async def traffic(cloud: Cluster, folder: Path) -> AsyncIterator[Traffic]:
    """Of a session with an edge host of its own."""
    async with run_edge() as edge:
        await edge.claim(cloud.cloud.url, await cloud.cloud.setup_code("Used"))
        await edge.wait_for("cloud_online")
        profile = Profile(folder / "client")
        async with CloudClient(cloud.cloud.url) as client:
            signed_in = await client.sign_in(cloud.cloud.owner_email, cloud.cloud.owner_password)
            client.token = signed_in.token
            await profile.enrol(client, signed_in, (await client.organizations())[0], "bench")
        async with connect(profile, "Used") as session, asyncio.TaskGroup() as group:
            used = Traffic(session)
            task = group.create_task(used.run(), name="traffic")
            yield used
            task.cancel()


async def restart(cloud: Cluster, node: Node, peers: Fleet, how: signal.Signals) -> AsyncIterator[Step]:
    """Two steps: the process ends and the edge hosts go to the other one; it is there again."""
    ended = await node.end(how)
    await cloud.balancer.left(node.port)
    await peers.back()
    yield step(f"one ends ({how.name})", await peers.log(), ended)
    await node.start()
    await peers.back()
    yield step("it is back", await peers.log())


async def measure() -> Result:
    with tempfile.TemporaryDirectory(prefix="farsite-bench-") as name:
        folder = Path(name)
        async with (
            cluster(folder) as cloud,
            fleet(cloud, folder, PEERS) as peers,
            traffic(cloud, folder) as used,
        ):
            return await _roll(cloud, peers, used)


async def _roll(cloud: Cluster, peers: Fleet, used: Traffic) -> Result:
    shares = [dict(cloud.balancer.held)]
    steps: list[Step] = []
    for node, how in zip(
        (*cloud.nodes, cloud.nodes[0]), (signal.SIGTERM,) * 2 + (signal.SIGKILL,), strict=True
    ):
        async for one in restart(cloud, node, peers, how):
            steps.append(one)
            shares.append(dict(cloud.balancer.held))
    stall, moves = used.slowest, used.moves
    # A session that needs another link while a process is away finds it through the other.
    await cloud.nodes[1].end(signal.SIGKILL)
    resumed = await used.cut()
    rows = [one.row() for one in steps]
    rows.append({"shares": shares, "moves": moves, "whole": used.whole, "parts": used.parts})
    return Result(_figures(steps, stall, moves, resumed, used.whole), rows)


def _figures(steps: list[Step], stall: float, moves: int, resumed: float, whole: bool) -> list[Figure]:
    orderly = [away for one in steps if "TERM" in one.what for away in one.away]
    killed = [away for one in steps if "KILL" in one.what for away in one.away]
    attempts = max(one.most_attempts for one in steps)
    return [
        Figure("edge hosts", PEERS, ""),
        Figure("rolling restart: back after, p50", percentile(orderly, 0.5), "s"),
        Figure("rolling restart: back after, at most", max(orderly), "s", BARS["back"], "lower"),
        Figure("a process killed: back after, p50", percentile(killed, 0.5), "s"),
        Figure("a process killed: back after, at most", max(killed), "s", BARS["back"], "lower"),
        Figure("attempts in a second, at most", attempts, "", BARS["attempts"], "lower"),
        Figure("a session in use: slowest 256 KiB", stall, "s", BARS["stall"], "lower"),
        Figure("a session in use: moved to another link", moves, "times", 0, "lower"),
        Figure("a link lost while one process is away: back after", resumed, "s", BARS["resumed"], "lower"),
        Figure("all bytes arrived", float(whole), "", 1),
    ]
