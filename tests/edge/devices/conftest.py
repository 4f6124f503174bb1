"""A real edge host, simulated devices, and the administration socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from farsite_edge.admin.caller import AdminCaller
from farsite_edge.devices.credentials import Account
from farsite_edge.discovery import FoundDevice, Method
from farsite_edge.simulator import SimulatedDevice, Simulator, describe
from farsite_edge.testing import RunningEdge, run_edge
from farsite_signaling.wire.edge_tasks import Task, TaskDetail

RIGHT = Account("root", "farsite-demo")
FAST = {
    "poll_interval": 3600,
    "discovery_interval": 3600,
    "log_in_interval": 0.05,
    "restart_poll_interval": 0.05,
    "restart_timeout": 8,
    "address_change_timeout": 1.5,
    "address_settle_time": 0.1,
    "discovery_timeout": 0.1,
    "discovery_interfaces": ["127.0.0.1"],
}


def found(device: SimulatedDevice, *, secure: bool = True) -> FoundDevice:
    https = device.https_port if secure else None
    return FoundDevice(
        device.serial, device.address, device.http_port, https, by=(Method.HTTP,), version=device.version
    )


@dataclass
class Site:
    edge: RunningEdge
    simulator: Simulator

    @property
    def devices(self) -> list[SimulatedDevice]:
        return self.simulator.devices

    @property
    def ids(self) -> list[str]:
        return [device.serial for device in self.devices]

    @property
    def caller(self) -> AdminCaller:
        return AdminCaller(self.edge.host.settings.data_dir)

    async def manage(self, *, secure: bool = True, log_in: bool = True) -> None:
        await self.edge.host.registry.found([found(one, secure=secure) for one in self.devices])
        await self.edge.host.manager.add(self.ids)
        for one in self.devices:
            if log_in and not one.needs_setup:
                account = Account(one.username, one.password)
                [result] = await self.edge.host.manager.log_in([one.serial], account)
                assert result.ok, result.detail

    async def task(self, path: str, body: dict[str, Any], method: str = "POST") -> TaskDetail:
        """Until it is finished."""
        made = await self.caller.call(method, path, Task, body)
        return await self.finished(made.id)

    async def finished(self, task: str) -> TaskDetail:
        async with asyncio.timeout(20):
            while not (await self.edge.host.tasks.shown(task)).state.finished:
                await self.edge.host.tasks.changed(5)
        return await self.caller.call("GET", f"/tasks/{task}", TaskDetail)


@asynccontextmanager
async def site_of(folder: Path, *models: str, count: int = 1, **options: Any) -> AsyncIterator[Site]:
    """Options of `describe` and `Simulator` are told apart from settings of the edge host."""
    described = describe(count, models or ("P3265-V",), factory_default=options.pop("factory_default", 0))
    described = [replace(one, boot_seconds=0.3) for one in described]
    simulated = {name: options.pop(name) for name in ("bind", "first_port", "https") if name in options}
    async with Simulator(described, **simulated) as simulator, run_edge(folder, **(FAST | options)) as edge:
        edge.host.manager.accounts._pause = 0.05
        yield Site(edge, simulator)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with site_of(tmp_path) as made:
        await made.manage()
        yield made
