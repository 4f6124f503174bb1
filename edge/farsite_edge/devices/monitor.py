"""Looks at every managed device again and again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from farsite_edge.devices.manager import DeviceManager

PARALLEL = 16
Chosen = Callable[[], list[str]]
logger = logging.getLogger(__name__)


class Monitor:
    """Without credentials for being there, with them once in a while for the rest. One bad device delays nobody."""

    def __init__(self, manager: DeviceManager, *, interval: float, refresh: float) -> None:
        self._manager = manager
        self._interval = interval
        self._refresh = refresh
        self._read_at: dict[str, float] = {}
        self._wake, self._wake_troubled = asyncio.Event(), asyncio.Event()

    def soon(self) -> None:
        """Do not wait for the interval: something was added."""
        self._wake.set()
        self._wake_troubled.set()

    async def run(self) -> None:
        """Devices that were silent have a round of their own: waiting for them delays none of the others."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._rounds(self._well, self._wake), name="monitor-well")
            group.create_task(self._rounds(self._troubled, self._wake_troubled), name="monitor-troubled")

    async def _rounds(self, chosen: Chosen, wake: asyncio.Event) -> None:
        while True:
            wake.clear()
            await self._round(chosen())
            try:
                async with asyncio.timeout(self._interval):
                    await wake.wait()
            except TimeoutError:
                pass

    async def round(self) -> None:
        """One look at each managed device."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._round(self._well()), name="monitor-well")
            group.create_task(self._round(self._troubled()), name="monitor-troubled")

    def _well(self) -> list[str]:
        return [one.id for one in self._manager.registry.all(managed=True) if not one.last_error]

    def _troubled(self) -> list[str]:
        return [one.id for one in self._manager.registry.all(managed=True) if one.last_error]

    async def _round(self, devices: list[str]) -> None:
        limit = asyncio.Semaphore(PARALLEL)
        async with asyncio.TaskGroup() as group:
            for device in devices:
                group.create_task(self._one(device, limit), name=f"monitor-{device}")

    async def _one(self, device: str, limit: asyncio.Semaphore) -> None:
        async with limit:
            refresh = time.monotonic() - self._read_at.get(device, -self._refresh) >= self._refresh
            try:
                await self._manager.looks.check(device, refresh=refresh)
            except Exception:
                # Removed meanwhile, the disk is full, or a fault of ours: the round goes on.
                logger.warning("device %s could not be checked", device, exc_info=True)
            else:
                if refresh:
                    self._read_at[device] = time.monotonic()
