"""Duties in the background: how they end."""

from __future__ import annotations

import asyncio

from farsite_cloud import sweeper as module
from farsite_cloud.sweeper import Sweeper


async def test_what_is_being_done_ends_before_the_cloud_does():
    begun, done = asyncio.Event(), []

    async def duty() -> bool:
        begun.set()
        await asyncio.sleep(0.05)
        done.append("committed")
        return True

    async with Sweeper().running({"work": duty}):
        await begun.wait()
    assert done == ["committed"], "the piece that was begun, and no other one"


async def test_what_does_not_end_is_cut_off(monkeypatch):
    monkeypatch.setattr(module, "STOP_WITHIN", 0.05)
    begun, cut = asyncio.Event(), []

    async def endless() -> bool:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cut.append(True)
            raise
        return False

    async with asyncio.timeout(5), Sweeper().running({"work": endless}):
        await begun.wait()
    assert cut == [True]


async def test_duties_that_rest_end_at_once():
    looked = asyncio.Event()

    async def nothing_due() -> bool:
        looked.set()
        return False

    async with asyncio.timeout(0.9), Sweeper().running({"work": nothing_due}):
        await looked.wait()
