"""A site with a folder of AXIS OS images; crashes and power cuts at a moment of choice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from farsite_edge.simulator import Simulator, describe
from farsite_edge.simulator.image import make_image
from farsite_signaling.wire.edge_tasks import RollbackRequest, Rollout, Task, TaskDevice, UpgradeRequest
from tests.edge.crashing_site import CrashingSite

MODEL, OLD, NEW = "P3265-V", "12.9.57", "12.10.1"


def everyone(_device: str) -> bool:
    return True


class Rig(CrashingSite):
    quiet: ClassVar = CrashingSite.quiet | {"os_poll_interval": 0.05, "os_restart_timeout": 9}

    def image(self, version: str = NEW, *models: str, **options: Any) -> Path:
        images = self.folder / "images"
        images.mkdir(exist_ok=True)
        chosen = models or (MODEL,)
        return make_image(images / f"{chosen[0]}_{version}.bin", chosen, version, **options)

    async def start(self) -> None:
        self.settings = {"os_images": self.folder / "images"} | self.settings
        await super().start()

    async def upgrade(self, version: str | None = NEW, rollout: Rollout | None = None, **options: Any) -> str:
        request = UpgradeRequest(ids=self.ids, version=version, rollout=rollout or Rollout(), **options)
        record = await self.edge.host.os.upgrade(
            request, everyone, actor="test", session=None, idempotency=None
        )
        return record.id

    async def rollback(self) -> str:
        request = RollbackRequest(ids=self.ids)
        record = await self.edge.host.os.rollback(
            request, everyone, actor="test", session=None, idempotency=None
        )
        return record.id

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
