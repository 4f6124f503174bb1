"""Transfers that go through faults of the network: every byte once, and no longer stall than promised."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest

from farsite_client.lab import TURN_ADDRESS, Nat, Site
from tests.lab.fault_rig import SECOND_TURN, SIZE, Rig, finished, note, start
from tests.lab.parts import Process

pytestmark = [pytest.mark.lab, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]


async def move(site: Site, last: int) -> None:
    """The host of the site gets another address."""
    lan = f"10.{site.number}.0"
    await site.host.run("ip", "addr", "flush", "dev", "eth0", "scope", "global")
    await site.host.run("ip", "addr", "add", f"{lan}.{last}/24", "dev", "eth0")
    await site.host.run("ip", "route", "replace", "default", "via", f"{lan}.1")


async def rebind(site: Site) -> None:
    """The router forgets all its mappings, as when it restarts: masquerading does with its interface."""
    assert site.router is not None
    await site.router.run("ip", "link", "set", "wan", "down")
    await site.router.run("ip", "link", "set", "wan", "up")


async def test_client_changes_its_address(rig: Rig) -> None:
    """N5"""
    await rig.hub()
    await rig.turn(TURN_ADDRESS)
    _, client, _ = await rig.ends(Nat.EASY)
    start(client, "down")
    await client.event("quarter")
    await move(rig.sites["client", Nat.EASY], 77)
    assert (await finished(client, 8.0, rig.allowance))["moves"] >= 1


async def test_edge_host_changes_its_address(rig: Rig) -> None:
    """N5"""
    await rig.hub()
    await rig.turn(TURN_ADDRESS)
    edge, client, _ = await rig.ends(Nat.EASY)
    start(client, "up")
    await edge.event("quarter")
    await move(rig.sites["edge", Nat.EASY], 78)
    assert (await finished(client, 8.0, rig.allowance))["moves"] >= 1


async def test_client_sleeps(rig: Rig) -> None:
    """N6: back within five seconds of waking; the sleep itself is no fault."""
    await rig.hub()
    await rig.turn(TURN_ADDRESS)
    _, client, _ = await rig.ends(Nat.EASY)
    start(client, "down")
    await client.event("quarter")
    await asleep(client, 10)
    assert (await finished(client, 15.0, rig.allowance))["moves"] >= 1


async def asleep(client: Process, seconds: float) -> None:
    """Longer than six seconds: the edge host has noticed."""
    client.signal(signal.SIGSTOP)
    await asyncio.sleep(seconds)
    client.signal(signal.SIGCONT)


async def test_client_sleeps_for_longer_than_it_is_waited_for(rig: Rig) -> None:
    """N6, the ten minutes: the tunnel is gone, which is said at once, and the next one opens. Both within 5 s."""
    rig.settings(resume=1)
    await rig.hub()
    await rig.turn(TURN_ADDRESS)
    _, client, _ = await rig.ends(Nat.EASY)
    start(client, "down")
    await client.event("quarter")
    await asleep(client, 10)
    woken = time.monotonic()
    lost = await client.event("lost")
    assert lost["code"] == "session_ended", lost
    await client.event("ready")
    took = time.monotonic() - woken
    note({"bound": 5.0, "allowance": rig.allowance, "reopened": round(took, 2), **lost})
    assert took <= 5.0 + rig.allowance
    start(client, "down")
    await finished(client, 5.0, rig.allowance)


async def test_hub_dies_and_comes_back(rig: Rig) -> None:
    """N8: the tunnel does not notice; one that is lost meanwhile waits for the hub."""
    hub = await rig.hub()
    await rig.turn(TURN_ADDRESS)
    _, client, _ = await rig.ends(Nat.EASY)
    start(client, "down")
    await client.event("quarter")
    await hub.kill()
    assert (await finished(client, 1.0, rig.allowance))["moves"] == 0
    start(client, "down")
    await client.event("quarter")
    await move(rig.sites["client", Nat.EASY], 79)
    await asyncio.sleep(2)
    await rig.hub()
    assert (await finished(client, 15.0, rig.allowance))["moves"] >= 1


async def test_turn_server_dies(rig: Rig) -> None:
    """N9: over to the other one within ten seconds."""
    await rig.hub()
    first = await rig.turn(TURN_ADDRESS)
    _, client, opened = await rig.ends(Nat.HARD)
    assert opened["path"] == "relay-udp"
    await rig.turn(SECOND_TURN)
    start(client, "down")
    await client.event("quarter")
    await first.kill()
    result = await finished(client, 10.0, rig.allowance)
    assert (result["path"], result["moves"]) == ("relay-udp", 1), result


async def test_relay_credentials_expire(rig: Rig) -> None:
    """N10: renewed while they are good, so that a new allocation succeeds after they are not."""
    rig.settings(ttl=30)
    await rig.hub()
    await rig.turn(TURN_ADDRESS)
    _, client, opened = await rig.ends(Nat.HARD)
    expired = time.monotonic() + 31
    assert opened["path"] == "relay-udp"
    start(client, "down", pace=SIZE / 31)
    await client.event("quarter")
    await asyncio.sleep(expired - time.monotonic())
    await rebind(rig.sites["client", Nat.HARD])
    result = await finished(client, 10.0, rig.allowance)
    assert result["renewals"] >= 1
    assert (result["path"], result["moves"]) == ("relay-udp", 1), result


async def test_nat_forgets_its_mappings(rig: Rig) -> None:
    await rig.hub()
    await rig.turn(TURN_ADDRESS)
    edge, client, opened = await rig.ends(Nat.HARD)
    assert opened["path"] == "relay-udp"
    start(client, "up")
    await edge.event("quarter")
    await rebind(rig.sites["client", Nat.HARD])
    await rebind(rig.sites["edge", Nat.HARD])
    assert (await finished(client, 10.0, rig.allowance))["moves"] >= 1
