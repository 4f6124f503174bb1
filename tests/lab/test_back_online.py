"""Edge hosts come back to the hub when the network does."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pytest

from farsite_client.lab import Nat
from tests.lab.fault_rig import Rig, note
from tests.lab.parts import Process

pytestmark = [pytest.mark.lab, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]
MAIN = Path(__file__).with_name("online_main.py")
CUT = "add table inet cut; add chain inet cut way { type filter hook forward priority -10; policy drop; }"


async def test_edge_hosts_are_back_soon_after_the_network(rig: Rig) -> None:
    """p95 within three seconds of its return, where packets vanished and TCP repeats them ever more rarely."""
    await rig.hub()
    site = rig.sites["edge", Nat.EASY]
    assert site.router is not None
    many = Process(site.host, sys.executable, str(MAIN), str(rig.folder), "40")
    async with many:
        await many.event("online")
        await site.router.run("nft", CUT)
        await many.event("lost", 60)
        await asyncio.sleep(15)  # how long the network is away
        await site.router.run("nft", "delete table inet cut")
        many.order(restored=time.monotonic())
        after = sorted((await many.event("back", 90))["after"])
    note({"p50": round(after[20], 2), "p95": round(after[37], 2), "most": round(after[-1], 2)})
    assert after[37] < 3.0 + rig.allowance, after
