"""Hub, relays, an edge host and a client in the NAT lab, for transfers that go through faults of the network.

Promises are for machines that are not busy. How busy this one is shows in how long it takes to open a tunnel without
any fault, in the same test; a few times that is allowed on top.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from farsite_client.lab import CLOUD_ADDRESS, TURN_ADDRESS, Lab, Namespace, Nat, Site
from farsite_client.lab.namespaces import which
from farsite_cloud.turn.config import TurnSettings, render
from farsite_signaling.identity import CertificateAuthority, generate_key, make_request, private_pem
from farsite_signaling.wire.ids import AccountId, ClientId, ClientName, EdgeId, EdgeName, OrgId
from tests.lab.parts import Process

SECOND_TURN = "5.9.0.21"
SECRET = "the-secret-of-the-lab"
SIZE = 16 << 20
OPENINGS = 3.0
"""What a promise may be exceeded by, in undisturbed openings (0.2 s each on a quick machine)."""
RESULTS = Path(__file__).parents[2] / "build" / "lab" / "resume.jsonl"
MAIN = Path(__file__).with_name("resume_main.py")


class Rig:
    """Hub, relays, and for each test an edge host and a client."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.folder = lab.directory / "resume"
        self._stack = AsyncExitStack()
        self.sites: dict[tuple[str, Nat], Site] = {}
        self._opening = 0.0

    @property
    def allowance(self) -> float:
        """Seconds that a busy machine may add to what is promised."""
        return OPENINGS * self._opening

    async def prepare(self) -> None:
        self._write_keys()
        self.settings()
        await self.lab.internet.run("ip", "addr", "add", f"{SECOND_TURN}/16", "dev", "wan")
        for nat in (Nat.EASY, Nat.HARD):
            for end in ("client", "edge"):
                self.sites[end, nat] = await self.lab.site(nat)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Rig]:
        """For one test: what it starts ends with it."""
        async with AsyncExitStack() as self._stack:
            self.settings()
            yield self

    def _write_keys(self) -> None:
        self.folder.mkdir()
        authority = CertificateAuthority.create("acme")
        (self.folder / "ca.pem").write_text(authority.pem)
        (self.folder / "ca.key").write_bytes(authority.private_pem())
        names = {
            "edge": EdgeName(OrgId("acme"), EdgeId("edge1")),
            "client": ClientName(OrgId("acme"), AccountId("ann"), ClientId("laptop")),
        }
        for name, urn in names.items():
            key = generate_key()
            (self.folder / f"{name}.key").write_bytes(private_pem(key))
            (self.folder / f"{name}.pem").write_text(authority.issue(make_request(key, "lab"), urn))
        (self.folder / "grant.key").write_bytes(private_pem(generate_key()))

    def settings(self, *, ttl: float = 3600, resume: float = 120) -> None:
        """`ttl`: of the relays' credentials. `resume`: how long the edge host keeps a tunnel whose client is away."""
        values = {
            "address": [CLOUD_ADDRESS, 8080],
            "hub": f"ws://{CLOUD_ADDRESS}:8080/hub",
            "turn": [TURN_ADDRESS, SECOND_TURN],
            "secret": SECRET,
            "ttl": ttl,
            "resume": resume,
        }
        (self.folder / "settings.json").write_text(json.dumps(values))

    async def hub(self) -> Process:
        hub = self._part(self.lab.internet, "hub")
        await self._stack.enter_async_context(hub)
        await hub.event("ready")
        return hub

    def _part(self, namespace: Namespace, role: str) -> Process:
        return Process(namespace, sys.executable, str(MAIN), role, str(self.folder))

    async def turn(self, address: str) -> Process:
        folder = self.folder / f"turn {time.monotonic_ns()}"
        folder.mkdir()
        settings = TurnSettings(
            host=address,
            secrets=(SECRET,),
            listening_ips=(address,),
            tls_port=None,
            alt_tls_port=None,
            data_dir=Path("/run"),
        )
        file = folder / "turnserver.conf"
        file.write_text(render(settings))
        server = Process(self.lab.internet, which("turnserver") or "turnserver", "-c", str(file))
        await self._stack.enter_async_context(server)
        await self._answers(address)
        return server

    async def _answers(self, address: str) -> None:
        """A TURN server listens on TCP too, last."""
        with self.lab.internet.entered():
            for _ in range(500):
                with suppress(OSError):
                    _, writer = await asyncio.open_connection(address, 3478)
                    writer.close()
                    return
                await asyncio.sleep(0.02)
        pytest.fail(f"no TURN server on {address}")

    async def ends(self, nat: Nat) -> tuple[Process, Process, dict[str, Any]]:
        """Edge host and client, with a tunnel; and what the client said of it."""
        edge = self._part(self.sites["edge", nat].host, "edge")
        await self._stack.enter_async_context(edge)
        await edge.event("ready")
        client = self._part(self.sites["client", nat].host, "client")
        await self._stack.enter_async_context(client)
        opened = await client.event("ready")
        self._opening = opened["took"]
        return edge, client, opened


def start(client: Process, way: str, pace: float = 4 << 20) -> None:
    client.order(way=way, size=SIZE, seed=1, pace=pace)


async def finished(client: Process, stall: float, allowance: float) -> dict[str, Any]:
    """What the client says at the end of a transfer that is whole and never stalled for longer."""
    result = await client.event("done", 120)
    note({"bound": stall, "allowance": allowance, **result})
    assert result["whole"], result
    assert result["stall"] <= stall + allowance, result
    return result


def note(row: dict[str, Any]) -> None:
    """For people: what each fault cost."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    test = os.environ.get("PYTEST_CURRENT_TEST", "").split("::")[-1].split(" ")[0]
    with RESULTS.open("a") as file:
        file.write(json.dumps({"test": test, **row}) + "\n")
