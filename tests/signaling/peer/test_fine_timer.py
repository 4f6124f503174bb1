"""A timer finer than the event loop's, where the system has one."""

from __future__ import annotations

import asyncio
import os
import sys
import time

import pytest

from farsite_signaling.peer import fine_timer as module
from farsite_signaling.peer.fine_timer import FineTimer, fine_timer

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")


class Fired:
    def __init__(self) -> None:
        self.at: list[float] = []
        self.heard = asyncio.Event()

    def __call__(self) -> None:
        self.at.append(time.monotonic())
        self.heard.set()

    async def wait(self) -> float:
        async with asyncio.timeout(20):
            await self.heard.wait()
        self.heard.clear()
        return self.at[-1]


@linux
async def test_it_fires_once_for_each_time_set_and_never_early() -> None:
    fired = Fired()
    timer = FineTimer(asyncio.get_running_loop(), fired)
    for wait in (0.0002, 0.003, 0.0):
        due = time.monotonic() + wait
        timer.at(due)
        assert await fired.wait() >= due
    await asyncio.sleep(0.005)
    timer.close()
    assert len(fired.at) == 3


@linux
async def test_the_sooner_one_stays() -> None:
    fired = Fired()
    timer = FineTimer(asyncio.get_running_loop(), fired)
    begin = time.monotonic()
    timer.at(begin + 600)
    timer.at(begin + 0.001)
    timer.at(begin + 300)
    assert await fired.wait() < begin + 20
    timer.close()


@linux
async def test_closed_it_holds_no_descriptor_and_fires_no_more() -> None:
    fired = Fired()
    timer = FineTimer(asyncio.get_running_loop(), fired)
    before = len(os.listdir("/proc/self/fd"))
    timer.at(time.monotonic())
    timer.close()
    timer.close()
    timer.at(time.monotonic())
    await asyncio.sleep(0.005)
    assert len(os.listdir("/proc/self/fd")) == before - 1
    assert not fired.at


async def test_where_there_is_none_the_loop_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.sys, "platform", "darwin")
    assert fine_timer(asyncio.get_running_loop(), lambda: None) is None
