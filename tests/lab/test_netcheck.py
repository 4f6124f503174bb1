"""`farsite netcheck` in every kind of site: it names the NAT, blocked UDP and the proxy right."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from farsite_client.lab import TURN_ADDRESS, Lab, Nat, Site
from tests.lab.grid import OWNER, PASSWORD, PROXY_PASSWORD, URL, Grid

# The first test also waits for the cloud to start.
pytestmark = [pytest.mark.lab, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]


class Deployment:
    """A cloud with its relay on the lab's internet, and one signed-in home that every site uses."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._grid = Grid(lab)
        self._home = lab.directory / "netcheck home"

    async def start(self, stack: AsyncExitStack) -> None:
        await stack.enter_async_context(self._grid._stack)
        self.ca_file = self._grid.ca_file = self._grid._certificate()
        await self._grid._start_cloud()
        site = await self.lab.site(Nat.NONE)
        ran = await self.farsite(site, "login", URL, "--email", OWNER, "--password-stdin", stdin=PASSWORD)
        assert ran[0] == 0, ran

    async def farsite(self, site: Site, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        pipe = asyncio.subprocess.PIPE
        command = [sys.executable, "-m", "farsite_client", *arguments]
        process = await asyncio.create_subprocess_exec(
            *site.host.command(*command, "--home", str(self._home), "--ca-file", str(self.ca_file)),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env={name: value for name, value in os.environ.items() if not name.startswith("FARSITE")},
        )
        out, err = await asyncio.wait_for(process.communicate(stdin.encode()), 90)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def netcheck(self, site: Site, proxy: str | None = None) -> tuple[int, dict[str, dict[str, Any]]]:
        """Exit code, and rows by name."""
        extra = ["--proxy", proxy] if proxy else []
        code, out, err = await self.farsite(site, "netcheck", "--json", *extra)
        assert out, err
        return code, {row["name"]: row for row in json.loads(out)["rows"]}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def deployment(lab: Lab) -> AsyncIterator[Deployment]:
    async with AsyncExitStack() as stack:
        built = Deployment(lab)
        await built.start(stack)
        yield built


def relays(rows: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Result by transport and port."""
    found = {}
    for name, row in rows.items():
        if name.startswith("TURN "):
            _, transport, place, *_ = name.split()
            found[f"{transport} {place.rpartition(':')[2]}"] = row["result"]
    return found


@pytest.mark.parametrize(
    ("nat", "result", "words"),
    [(Nat.NONE, "PASS", "none:"), (Nat.EASY, "PASS", "easy:"), (Nat.HARD, "WARN", "hard (symmetric)")],
)
async def test_the_kind_of_nat(deployment: Deployment, nat: Nat, result: str, words: str) -> None:
    site = await deployment.lab.site(nat)
    code, rows = await deployment.netcheck(site)
    assert code == 0, rows
    assert rows["NAT"]["result"] == result, rows["NAT"]
    assert rows["NAT"]["detail"].startswith(words)
    assert site.public_address in rows["NAT"]["detail"]
    assert rows["UDP"]["result"] == "PASS"
    assert rows["UDP"]["latency_ms"] > 0
    assert relays(rows) == {"UDP 3478": "PASS", "TCP 3478": "PASS", "TLS 5349": "PASS", "TLS 443": "PASS"}


async def test_udp_blocked(deployment: Deployment) -> None:
    site = await deployment.lab.site(Nat.UDP_BLOCKED)
    code, rows = await deployment.netcheck(site)
    assert code == 0, rows
    assert rows["UDP"]["result"] == "WARN"
    assert "blocked" in rows["UDP"]["detail"]
    assert "unknown" in rows["NAT"]["detail"]
    assert relays(rows) == {"UDP 3478": "WARN", "TCP 3478": "PASS", "TLS 5349": "PASS", "TLS 443": "PASS"}


async def test_proxy_only(deployment: Deployment) -> None:
    site = await deployment.lab.site(Nat.PROXY_ONLY, password=PROXY_PASSWORD)
    assert site.proxy is not None
    code, rows = await deployment.netcheck(site, site.proxy.url())
    assert code == 0, rows
    for name in ("proxy", "hub TCP", "hub TLS", "hub WebSocket", "clock"):
        assert rows[name]["result"] == "PASS", rows[name]
    assert relays(rows) == {"UDP 3478": "WARN", "TCP 3478": "WARN", "TLS 5349": "WARN", "TLS 443": "PASS"}
    refused = rows[f"TURN TCP {TURN_ADDRESS}:3478 by proxy"]
    assert "CONNECT" in refused["fix"]


async def test_proxy_only_with_a_wrong_password(deployment: Deployment) -> None:
    site = await deployment.lab.site(Nat.PROXY_ONLY, password=PROXY_PASSWORD)
    assert site.proxy is not None
    code, rows = await deployment.netcheck(site, site.proxy.url("guess"))
    assert code == 1
    assert rows["proxy"]["result"] == "PASS"
    assert rows["proxy login"]["result"] == "FAIL"
    assert "guess" not in json.dumps(rows)


async def test_a_site_that_needs_its_proxy_and_has_none_set(deployment: Deployment) -> None:
    site = await deployment.lab.site(Nat.PROXY_ONLY, password=PROXY_PASSWORD)
    started = asyncio.get_running_loop().time()
    code, rows = await deployment.netcheck(site)
    # Connecting alone would take over two minutes.
    assert asyncio.get_running_loop().time() - started < 60
    assert code == 1
    assert rows["hub TCP"]["result"] == "FAIL"
    assert "proxy" in rows["hub TCP"]["fix"]
