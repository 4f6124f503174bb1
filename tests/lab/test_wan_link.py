"""The emulated link does what it says, as ping and a plain UDP blaster see it.

A busy machine makes single packets later, never earlier: least and middle values are held to the link's settings, the
slowest to nothing. How exact the link is by itself is shown on a virtual clock (`test_wan_way.py`).
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

import pytest

from farsite_client.lab.namespaces import run
from tests.lab.wan.blaster import PACKET, PATIENCE
from tests.lab.wan.conditions import LINKS, Burst, Conditions, Direction
from tests.lab.wan.link import WanLink, use_congestion_control, why_not
from tests.lab.wan.pings import ping

pytestmark = [pytest.mark.lab]
BLASTER = str(Path(__file__).parent / "wan" / "blaster.py")


@pytest.fixture(autouse=True)
def wan_possible() -> None:
    if reason := why_not():
        if os.environ.get("CI") == "true" and os.geteuid() == 0:
            pytest.fail(reason)
        pytest.skip(reason)


def blaster(*arguments: str) -> list[str]:
    return [sys.executable, "-I", "-S", BLASTER, *arguments]


async def blast(link: WanLink, mbit: float, seconds: float = 1.5, *, down: bool = False) -> dict[str, Any]:
    """What arrives of a steady stream of UDP; `sent` with it."""
    source, target, address = link.left, link.right, link.right_address
    if down:
        source, target, address = link.right, link.left, link.left_address
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *target.command(*blaster("count", address)), stdin=pipe, stdout=pipe
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    sent = json.loads(await source.run(*blaster("send", address, str(mbit), str(seconds))))
    output, _ = await asyncio.wait_for(process.communicate(b""), PATIENCE)
    received = json.loads(output)
    return sent | received | {"users_cpu": sent["cpu"] + received["cpu"]}


async def test_delay_is_that_of_both_ways() -> None:
    async with WanLink(Conditions(Direction(delay_ms=10), Direction(delay_ms=30))) as link:
        trips = (await ping(link.left, link.right_address, 50)).trips
    assert len(trips) == 50
    assert 40 <= min(trips) < 42
    assert statistics.median(trips) < 50


async def test_jitter_spreads_and_keeps_order_where_told() -> None:
    kept = Conditions(Direction(delay_ms=30, jitter_ms=20), Direction())
    async with WanLink(kept) as link:
        ordered = await ping(link.left, link.right_address, 150)
        await link.change(Conditions(Direction(delay_ms=30, jitter_ms=20, reordering=True), Direction()))
        mixed = await ping(link.left, link.right_address, 150)
    assert ordered.sequence == sorted(ordered.sequence)
    assert mixed.sequence != sorted(mixed.sequence)
    for pings in (ordered, mixed):
        assert len(pings.sequence) == 150
        assert min(pings.trips) >= 10
    quartiles = statistics.quantiles(mixed.trips, n=4)
    assert quartiles == pytest.approx([20, 30, 40], abs=6)  # uniform over 40 ms


async def test_rate_holds_in_each_direction() -> None:
    limited = Conditions(Direction(rate_mbit=20, queue_ms=50), Direction(rate_mbit=5, queue_ms=50))
    async with WanLink(limited) as link:
        up, down = await blast(link, 40), await blast(link, 40, down=True)
    assert up["mbit"] == pytest.approx(20, rel=0.03)
    assert down["mbit"] == pytest.approx(5, rel=0.03)


async def test_queue_is_as_deep_as_told_and_drops_its_tail() -> None:
    async with WanLink(Conditions.both(Direction(rate_mbit=10, delay_ms=5, queue_bytes=125_000))) as link:
        result = await blast(link, 20)
        up = (await link.stats())["directions"][0]
        await link.change(Conditions.both(Direction(rate_mbit=10, delay_ms=5, queue_ms=40)))
        shorter = await blast(link, 20)
    assert result["delay_ms_min"] < 5 + 15
    assert result["delay_ms_median"] == pytest.approx(5 + 100, abs=10)
    assert shorter["delay_ms_median"] == pytest.approx(5 + 40, abs=8)
    assert up["queue_drops"] == result["sent"] - result["received"]
    assert 125_000 - PACKET <= up["worst_queue"] <= 125_000


async def test_random_loss_takes_its_share() -> None:
    async with WanLink(Conditions(Direction(loss=0.05), Direction())) as link:
        up, down = await blast(link, 40), await blast(link, 10, down=True)
    assert 1 - up["received"] / up["sent"] == pytest.approx(0.05, abs=0.015)
    assert statistics.mean(up["gaps"]) < 1.3
    assert down["received"] == down["sent"]


async def test_burst_loss_comes_in_bursts() -> None:
    burst = Burst(begin=0.01, end=0.2)
    async with WanLink(Conditions(Direction(burst=burst), Direction())) as link:
        result = await blast(link, 40)
    assert 1 - result["received"] / result["sent"] == pytest.approx(burst.mean, rel=0.5)
    assert statistics.mean(result["gaps"]) == pytest.approx(5, rel=0.4)


async def test_late_packets_are_overtaken() -> None:
    async with WanLink(Conditions(Direction(delay_ms=5, late=0.1, late_ms=10), Direction())) as link:
        result = await blast(link, 20)
    assert result["received"] == result["sent"]
    assert result["overtaken"] / result["sent"] == pytest.approx(0.1, abs=0.03)
    assert result["delay_ms_max"] >= 15
    assert result["delay_ms_median"] < 15


async def test_duplicates_come_twice() -> None:
    async with WanLink(Conditions(Direction(duplicate=0.1), Direction())) as link:
        result = await blast(link, 20)
        pings = await ping(link.left, link.right_address, 100)
    assert result["again"] / result["sent"] == pytest.approx(0.1, abs=0.03)
    assert pings.duplicates > 0


async def test_the_same_seed_loses_the_same_packets() -> None:
    async def fate(seed: int) -> list[int]:
        async with WanLink(Conditions(Direction(loss=0.2), Direction()), seed=seed) as link:
            return sorted((await ping(link.left, link.right_address, 100, 0.005)).sequence)

    first, again, other = await fate(7), await fate(7), await fate(8)
    assert first == again != other


async def test_an_outage_loses_everything_until_it_ends() -> None:
    async with WanLink(Conditions.both(Direction(delay_ms=5))) as link:
        async with link.outage():
            assert not (await ping(link.left, link.right_address, 1)).trips
        assert len((await ping(link.left, link.right_address, 20)).trips) == 20


async def test_orders_that_make_no_sense_are_refused() -> None:
    async with WanLink(LINKS["W1"]) as link:
        for order in ("set 2 rate 1", "set 0 speed 1", "set 0 rate -1", "set 0 rate", "outage 2", "reboot"):
            assert await link._ask(order) == "not understood"


async def test_a_hundred_megabit_each_way_leaves_the_machine_to_its_users() -> None:
    async with WanLink(LINKS["W1"]) as link:
        async with asyncio.TaskGroup() as group:
            blasts = [
                group.create_task(blast(link, 95, 3, down=down), name="blast") for down in (False, True)
            ]
        stats = await link.stats()
    packets = sum(direction["packets"] for direction in stats["directions"])
    assert packets > 20_000
    # 100 Mbit/s each way are 20,000 packets a second, about 10 us each on a quick machine. On any, carrying a packet
    # is less work than sending and counting it, in C as it is.
    users = sum(blast.result()["users_cpu"] for blast in blasts)
    assert stats["cpu"] < users, (stats["cpu"], users)
    assert all(direction["overruns"] == 0 for direction in stats["directions"])


async def test_tcp_uses_the_congestion_control_asked_for() -> None:
    async with WanLink(LINKS["W1"]) as link:
        for side in (link.left, link.right):
            await use_congestion_control(side, "cubic")
        assert "congctl cubic" in await run("ip", "-n", link.left.name, "route")
