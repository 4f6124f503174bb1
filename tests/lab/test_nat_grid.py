"""Every kind of site against every other: all connect, by the expected kind of path."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from farsite_client.lab import Lab, Nat
from tests.lab.grid import SAME_LAN, WRONG_PASSWORD, Grid, expected_path, write_results

# The first test also waits for the whole lab to start.
pytestmark = [pytest.mark.lab, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]
RESULTS = Path(__file__).parents[2] / "build" / "lab"
KINDS = [str(nat) for nat in Nat]
NOTICED = 6.0
"""Seconds after which a dead peer is noticed."""
OPENINGS = 3.0
"""What a busy machine may add to a promise, in undisturbed openings of a session."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def grid(lab: Lab) -> AsyncIterator[Grid]:
    grid = Grid(lab, two_relays=True)
    try:
        async with grid.running():
            yield grid
    finally:
        write_results(grid.rows, RESULTS)


@pytest.mark.parametrize("client", KINDS)
@pytest.mark.parametrize("edge", KINDS)
async def test_cell(grid: Grid, edge: str, client: str) -> None:
    row = await grid.open(edge, client, expected_path(edge, client))
    assert row["connected"], row["reason"]
    assert row["path"] == row["expected"], row["reason"]


async def test_same_lan(grid: Grid) -> None:
    row = await grid.open(Nat.EASY, SAME_LAN, expected_path(Nat.EASY, SAME_LAN))
    assert row["connected"], row["reason"]
    assert row["path"] == "lan", row["reason"]


async def test_direct_takes_over_from_the_relay_that_opened_first(grid: Grid) -> None:
    """The sites cannot reach one another at first; streams go on while they move."""
    client = grid.clients[Nat.EASY]
    router = grid.client_sites[Nat.EASY].router
    assert router is not None
    other = f"{grid.sites[Nat.EASY].public_address}/32"
    await router.run("ip", "route", "add", "blackhole", other)
    try:
        begun = await client.ask("begin", edge=Nat.EASY)
    finally:
        await router.run("ip", "route", "del", "blackhole", other)
    try:
        assert (begun["path"], begun["moves"]) == ("relay-udp", 0), begun
        carried = await client.ask("carry", seconds=60.0)
    finally:
        await client.ask("end")
    assert (carried["path"], carried["moves"], carried["whole"]) == ("direct", 1, True), carried
    assert carried["last_move"].startswith("a direct path was proven"), carried
    assert carried["reason"].startswith("direct"), carried
    assert carried["slowest"] < NOTICED - 1.0, "the relay went before the direct path was there"


async def test_tunnels_move_when_one_of_the_clouds_relays_dies(grid: Grid) -> None:
    """N9: killed, and kept from coming back, which the cloud would see to."""
    relayed, direct = grid.clients[Nat.HARD], grid.clients[Nat.EASY]
    begun = await relayed.ask("begin", edge=Nat.HARD)
    assert begun["path"] == "relay-udp", begun
    assert (await direct.ask("begin", edge=Nat.EASY))["path"] == "direct"
    async with grid.second_relay():
        os.kill(grid.first_relay(), signal.SIGSTOP)
        try:
            carried = await relayed.ask("carry", seconds=60.0)
            unaffected = await direct.ask("carry", seconds=0.5)
        finally:
            os.kill(grid.first_relay(), signal.SIGKILL)
            await relayed.ask("end")
            await direct.ask("end")
    assert (carried["path"], carried["moves"], carried["whole"]) == ("relay-udp", 1, True), carried
    assert carried["slowest"] <= 10.0 + OPENINGS * begun["took"], carried
    assert (unaffected["path"], unaffected["moves"], unaffected["whole"]) == ("direct", 0, True), unaffected


async def test_wrong_proxy_password_is_said_to_the_client(grid: Grid) -> None:
    answer = await grid.clients[WRONG_PASSWORD].sign_in()
    row = {"edge": Nat.NONE, "client": WRONG_PASSWORD, "connected": answer["ok"], "path": answer.get("code")}
    grid.rows.append(
        {**row, "expected": "proxy_authentication", "open_ms": None, "reason": answer.get("detail")}
    )
    assert answer["code"] == "proxy_authentication", answer
    assert "guess" not in answer["detail"]


async def test_wrong_proxy_password_is_said_at_the_edge_host(grid: Grid) -> None:
    proxy = grid.sites[Nat.PROXY_ONLY].proxy
    assert proxy is not None
    status, output = await grid.claim(Nat.PROXY_ONLY, "edge unclaimed", proxy.url("guess"))
    assert status == 1
    assert "proxy_authentication" in output
    assert "guess" not in output
