"""A real edge host with simulated devices that can be stopped, killed and looked at around every checkpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from farsite_edge.devices.credentials import Account
from farsite_edge.discovery import FoundDevice
from farsite_edge.simulator import SimulatedDevice, Simulator
from farsite_edge.tasks.record import WorkRow
from farsite_edge.testing import RunningEdge, run_edge
from farsite_signaling.wire.edge_tasks import Task, TaskDevice

Hook = Callable[[WorkRow, str], Awaitable[None]]


@dataclass
class CrashingSite:
    """`before` and `after` are called around every checkpoint with the row and the step."""

    folder: Path
    simulator: Simulator
    settings: dict[str, Any] = field(default_factory=dict)
    before: Hook | None = None
    after: Hook | None = None
    edge: RunningEdge = field(init=False)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    quiet: ClassVar[dict[str, Any]] = {"poll_interval": 3600, "discovery_interval": 3600}

    @property
    def devices(self) -> list[SimulatedDevice]:
        return self.simulator.devices

    @property
    def device(self) -> SimulatedDevice:
        return self.devices[0]

    @property
    def ids(self) -> list[str]:
        return [one.serial for one in self.devices]

    async def start(self) -> None:
        values = self.quiet | self.settings
        self.edge = await self._stack.enter_async_context(run_edge(self.folder / "edge", **values))
        store = self.edge.host.tasks.store
        written = store.checkpoint

        async def checkpoint(row: WorkRow, memory: dict[str, Any], step: str, detail: str) -> None:
            if self.before is not None:
                await self.before(row, step)
            await written(row, memory, step, detail)
            if self.after is not None:
                await self.after(row, step)

        store.checkpoint = checkpoint  # type: ignore[method-assign]

    async def crash(self) -> None:
        """As kill -9: not a byte reaches the store after this."""
        self.before = self.after = None
        await self.edge.host.core.database.close()
        await self._stack.aclose()

    async def stop(self) -> None:
        await self._stack.aclose()

    async def manage(self) -> None:
        registry, manager = self.edge.host.registry, self.edge.host.manager
        await registry.found(
            [FoundDevice(one.serial, one.address, one.http_port, one.https_port) for one in self.devices]
        )
        await manager.add(self.ids)
        for one in self.devices:
            if not one.needs_setup:
                results = await manager.log_in([one.serial], Account(one.username, one.password))
                assert results[0].ok, results[0].detail

    async def finished(self, task: str, timeout: float = 50) -> Task:
        runner = self.edge.host.tasks
        async with asyncio.timeout(timeout):
            while not (shown := await runner.shown(task)).state.finished:
                await runner.changed(5)
        return shown

    async def row(self, task: str, number: int = 0) -> TaskDevice:
        return (await self.edge.host.tasks.devices(task))[number]
