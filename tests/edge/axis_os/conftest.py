"""A real edge host with simulated devices and a folder of images; crashes and power cuts at a moment of choice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from farsite_edge.devices.credentials import Account
from farsite_edge.discovery import FoundDevice
from farsite_edge.simulator import SimulatedDevice, Simulator, describe
from farsite_edge.simulator.image import make_image
from farsite_edge.tasks.record import WorkRow
from farsite_edge.testing import RunningEdge, run_edge
from farsite_signaling.wire.edge_tasks import RollbackRequest, Rollout, Task, TaskDevice, UpgradeRequest

MODEL, OLD, NEW = "P3265-V", "12.9.57", "12.10.1"
Hook = Callable[[WorkRow, str], Awaitable[None]]


def everyone(_device: str) -> bool:
    return True


@dataclass
class Rig:
    """`before` and `after` are called around every checkpoint with the row and the step."""

    folder: Path
    simulator: Simulator
    settings: dict[str, Any] = field(default_factory=dict)
    before: Hook | None = None
    after: Hook | None = None
    edge: RunningEdge = field(init=False)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def device(self) -> SimulatedDevice:
        return self.simulator.devices[0]

    def image(self, version: str = NEW, *models: str, **options: Any) -> Path:
        images = self.folder / "images"
        images.mkdir(exist_ok=True)
        chosen = models or (MODEL,)
        return make_image(images / f"{chosen[0]}_{version}.bin", chosen, version, **options)

    async def start(self) -> None:
        values: dict[str, Any] = {
            "os_poll_interval": 0.05,
            "os_restart_timeout": 9,
            "poll_interval": 3600,
            "discovery_interval": 3600,
            "os_images": self.folder / "images",
        }
        self.edge = await self._stack.enter_async_context(
            run_edge(self.folder / "edge", **(values | self.settings))
        )
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
        await registry.found([FoundDevice(one.serial, one.address, one.http_port) for one in self.devices()])
        ids = [one.serial for one in self.devices()]
        await manager.add(ids)
        for one in self.devices():
            if not one.needs_setup:
                results = await manager.log_in([one.serial], Account(one.username, one.password))
                assert results[0].ok, results[0].detail

    def devices(self) -> list[SimulatedDevice]:
        return self.simulator.devices

    async def upgrade(self, version: str | None = NEW, rollout: Rollout | None = None, **options: Any) -> str:
        request = UpgradeRequest(
            ids=[one.serial for one in self.devices()],
            version=version,
            rollout=rollout or Rollout(),
            **options,
        )
        record = await self.edge.host.os.upgrade(
            request, everyone, actor="test", session=None, idempotency=None
        )
        return record.id

    async def rollback(self) -> str:
        request = RollbackRequest(ids=[one.serial for one in self.devices()])
        record = await self.edge.host.os.rollback(
            request, everyone, actor="test", session=None, idempotency=None
        )
        return record.id

    async def finished(self, task: str, timeout: float = 30) -> Task:
        runner = self.edge.host.tasks
        async with asyncio.timeout(timeout):
            while not (shown := await runner.shown(task)).state.finished:
                await runner.changed(5)
        return shown

    async def row(self, task: str, number: int = 0) -> TaskDevice:
        return (await self.edge.host.tasks.devices(task))[number]

    async def run(self, version: str | None = NEW, **options: Any) -> tuple[Task, TaskDevice]:
        task = await self.upgrade(version, **options)
        return await self.finished(task), await self.row(task)


@asynccontextmanager
async def rig_of(folder: Path, *models: str, count: int = 1, **settings: Any) -> AsyncIterator[Rig]:
    described = [
        replace(one, boot_seconds=0.3, install_seconds=0.1) for one in describe(count, models or (MODEL,))
    ]
    async with Simulator(described, https=False) as simulator:
        rig = Rig(folder, simulator, settings)
        await rig.start()
        try:
            await rig.manage()
            yield rig
        finally:
            await rig.stop()


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig_of(tmp_path) as made:
        made.image()
        yield made
