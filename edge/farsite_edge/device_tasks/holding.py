"""Jobs that keep everybody else away from a device, and those that do not need to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from farsite_edge.devices import DeviceManager
from farsite_edge.tasks import Outcome, Work
from farsite_signaling.wire.edge_tasks import WorkState

Act = Callable[[Work], Awaitable[Outcome]]


class HoldingJob:
    """`act` may leave the device silent or in between: its silence is no alarm, nobody else writes to it."""

    def __init__(self, manager: DeviceManager, act: Act) -> None:
        self._manager = manager
        self._act = act

    def hold(self, device: str) -> None:
        self._manager.hold(device)

    async def release(self, device: str) -> None:
        await self._manager.release(device)

    async def __call__(self, work: Work) -> Outcome:
        return await self._act(work)


class SharingJob:
    """`act` does one thing through the manager, which lets one writer at a time to a device."""

    def __init__(self, act: Act) -> None:
        self._act = act

    def hold(self, device: str) -> None:
        """Nobody is kept away."""

    async def release(self, device: str) -> None:
        """Nobody was."""

    async def __call__(self, work: Work) -> Outcome:
        return await self._act(work)


def done(detail: str) -> Outcome:
    return Outcome(WorkState.SUCCEEDED, detail[:500])


def cancelled(detail: str = "Cancelled.") -> Outcome:
    return Outcome(WorkState.CANCELLED, detail)


async def pause(work: Work, seconds: float) -> bool:
    """Whether the task was cancelled meanwhile."""
    try:
        async with asyncio.timeout(seconds):
            await work.cancelling.wait()
    except TimeoutError:
        return False
    return True
