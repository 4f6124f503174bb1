"""Looks at every managed device again and again."""

from __future__ import annotations

import asyncio
import logging
import time

from farsite_edge.devices.manager import DeviceManager

PARALLEL = 16
logger = logging.getLogger(__name__)


class Monitor:
    """Without credentials for being there, with them once in a while for the rest. One bad device delays nobody."""

    def __init__(self, manager: DeviceManager, *, interval: float, refresh: float) -> None:
        self._manager = manager
        self._interval = interval
        self._refresh = refresh
        self._read_at: dict[str, float] = {}
        self._wake = asyncio.Event()

    def soon(self) -> None:
        """Do not wait for the interval: something was added."""
        self._wake.set()

    async def run(self) -> None:
        while True:
            self._wake.clear()
            await self.round()
            try:
                async with asyncio.timeout(self._interval):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def round(self) -> None:
        """One look at each managed device."""
        limit = asyncio.Semaphore(PARALLEL)
        async with asyncio.TaskGroup() as group:
            for record in self._manager.registry.all(managed=True):
                group.create_task(self._one(record.id, limit), name=f"monitor-{record.id}")

    async def _one(self, device: str, limit: asyncio.Semaphore) -> None:
        async with limit:
            refresh = time.monotonic() - self._read_at.get(device, -self._refresh) >= self._refresh
            try:
                await self._manager.check(device, refresh=refresh)
            except Exception:
                # Removed meanwhile, the disk is full, or a fault of ours: the round goes on.
                logger.warning("device %s could not be checked", device, exc_info=True)
            else:
                if refresh:
                    self._read_at[device] = time.monotonic()
