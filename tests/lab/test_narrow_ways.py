"""Packets are as large as the way carries, and none is cut on it (RFC 8899)."""

from __future__ import annotations

import pytest

from farsite_client.lab import TURN_ADDRESS, Nat, Site
from tests.lab.fault_rig import Rig, finished, start

pytestmark = [pytest.mark.lab, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]


async def narrow(site: Site, mtu: int) -> None:
    """The router's way out carries less than the site's own network, as with PPPoE and tunnels; it says so (RFC 1191)."""
    assert site.router is not None
    await site.router.run("ip", "link", "set", "wan", "mtu", str(mtu))


async def cut(site: Site) -> int:
    """How many pieces packets were cut into, on the host and on the way out."""
    assert site.router is not None
    counts = [await one.run("cat", "/proc/self/net/snmp") for one in (site.host, site.router)]
    return sum(_counter(text, "FragCreates") for text in counts)


def _counter(text: str, name: str) -> int:
    names, values = (line.split() for line in text.splitlines() if line.startswith("Ip:"))
    return int(values[names.index(name)])


async def test_packets_are_as_large_as_the_way_carries(rig: Rig) -> None:
    """RFC 8899: nothing is cut in pieces on a path narrower than its first hop, nor when it becomes so on the way."""
    await rig.hub()
    await rig.turn(TURN_ADDRESS)
    sites = [rig.sites[end, Nat.EASY] for end in ("client", "edge")]
    try:
        for site in sites:
            await narrow(site, 1400)
        before = [await cut(site) for site in sites]
        _, client, _ = await rig.ends(Nat.EASY)
        start(client, "up")
        await finished(client, 8.0, rig.allowance)
        for mtu in (1340, 1290):
            start(client, "down")
            await client.event("quarter")
            for site in sites:
                await narrow(site, mtu)
            await finished(client, 12.0, rig.allowance)
        assert [await cut(site) for site in sites] == before
    finally:
        for site in sites:
            await narrow(site, 1500)


async def test_a_way_narrower_than_ipv6_allows_carries_all_the_same(rig: Rig) -> None:
    """Below what IPv6 demands of every link: the system may cut packets there, and they arrive."""
    await rig.hub()
    await rig.turn(TURN_ADDRESS)
    sites = [rig.sites[end, Nat.EASY] for end in ("client", "edge")]
    try:
        for site in sites:
            await narrow(site, 1200)
        _, client, _ = await rig.ends(Nat.EASY)
        start(client, "up")
        await finished(client, 15.0, rig.allowance)
    finally:
        for site in sites:
            await narrow(site, 1500)
