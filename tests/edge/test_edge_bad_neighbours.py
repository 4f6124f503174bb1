"""One bad device never slows the others: a tenth of fifty hangs, answers for ever, asks for log-ins in a loop, sends
elsewhere, talks rubbish or drips. The others are looked at, brought in line and upgraded while those are waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from farsite_edge.devices.credentials import Account
from farsite_edge.discovery import FoundDevice
from farsite_edge.simulator import SimulatedDevice, Simulator, describe
from farsite_edge.simulator.faults import Fault
from farsite_edge.simulator.image import make_image
from farsite_edge.testing import RunningEdge, run_edge
from farsite_signaling.wire.edge_api import DeviceState
from farsite_signaling.wire.edge_tasks import Rollout, UpgradeRequest, WorkState
from farsite_signaling.wire.policy_api import PolicyCreate

MODEL, NEW = "P3265-V", "12.10.1"
COUNT, SLOTS = 50, 4
FAULTS = (Fault.HANG, Fault.HANG, Fault.HANG, Fault.HANG, Fault.DRIP)
"""More than there are slots, and first in line; the other faults are answered at once."""
QUICK = (Fault.ENDLESS, Fault.LOGIN_LOOP, Fault.REDIRECT, Fault.GARBAGE)

pytestmark = pytest.mark.timeout(200)


@asynccontextmanager
async def fifty(
    folder: Path, *, device_timeout: float
) -> AsyncIterator[tuple[RunningEdge, list[SimulatedDevice]]]:
    described = [replace(one, boot_seconds=0.2, install_seconds=0.05) for one in describe(COUNT, (MODEL,))]
    images = folder / "images"
    images.mkdir()
    make_image(images / "new.bin", (MODEL,), NEW)
    settings = {
        "poll_interval": 3600,
        "discovery_interval": 3600,
        "log_in_interval": 0,
        "device_timeout": 15,
        "task_parallel": SLOTS,
        "os_images": images,
        "os_poll_interval": 0.05,
        "os_restart_timeout": 120,
        "policy_poll": 600,
        "policy_recover_timeout": 120,
    }
    async with (
        Simulator(described, https=False) as simulator,
        run_edge(folder / "edge", **settings) as edge,
    ):
        devices = sorted(simulator.devices, key=lambda one: one.serial)
        await edge.host.registry.found(
            [FoundDevice(one.serial, one.address, one.http_port) for one in devices]
        )
        ids = [one.serial for one in devices]
        await edge.host.manager.add(ids)
        results = await edge.host.manager.log_in(ids, Account("root", "farsite-demo"))
        assert all(one.ok for one in results)
        edge.host.manager.contact.timeout = device_timeout
        for device, fault in zip(devices, FAULTS, strict=False):
            device.fault = fault
        yield edge, devices


async def test_looks_at_the_others(tmp_path: Path) -> None:
    """All of them, before the first bad one is given up; and in the next round none waits for one known to be bad."""
    async with fifty(tmp_path, device_timeout=30) as (edge, devices):
        good = devices[len(FAULTS) :]
        before = {one.serial: one.requests for one in devices}
        async with asyncio.TaskGroup() as group:
            round_ = group.create_task(edge.host.monitor.round())
            async with asyncio.timeout(25):
                while not all(one.requests > before[one.serial] for one in good):
                    await asyncio.sleep(0.05)
            assert not round_.done()
            round_.cancel()
        for one in devices[: len(FAULTS)]:
            await edge.host.registry.update(
                one.serial, last_error="No answer.", state=DeviceState.UNREACHABLE
            )
        assert edge.host.monitor._troubled() == [one.serial for one in devices[: len(FAULTS)]]
        assert len(edge.host.monitor._well()) == len(good)


async def ended(edge: RunningEdge, task: str, good: set[str]) -> None:
    """The good ones are all finished while every bad one is still waited for."""
    runner = edge.host.tasks
    async with asyncio.timeout(110):
        while True:
            rows = {row.device: row.state for row in await runner.rows(task)}
            if all(rows[device].finished for device in good):
                break
            await runner.changed(5)
    assert {rows[device] for device in good} == {WorkState.SUCCEEDED}
    assert {state for device, state in rows.items() if device not in good} == {WorkState.RUNNING}
    await runner.cancel(task)


async def test_policies_of_the_others(tmp_path: Path) -> None:
    async with fifty(tmp_path, device_timeout=1) as (edge, devices):
        edge.host.policies.job._limits = replace(edge.host.policies.job._limits, answer=120.0)
        service = edge.host.policies.service
        body = PolicyCreate(kind="security", name="p", settings={"access_log": True})
        policy = await service.create(body, actor="test")
        await service.assign(policy.id, [one.serial for one in devices])
        task = await service.check(policy.id, actor="test")
        assert task is not None
        await ended(edge, task.id, {one.serial for one in devices[len(FAULTS) :]})


async def test_upgrades_of_the_others(tmp_path: Path) -> None:
    async with fifty(tmp_path, device_timeout=1) as (edge, devices):
        ids = [one.serial for one in devices]
        request = UpgradeRequest(ids=ids, version=NEW, rollout=Rollout(parallel=SLOTS, max_failures=50))
        task = await edge.host.os.upgrade(
            request, lambda _: True, actor="test", session=None, idempotency=None
        )
        await ended(edge, task.id, set(ids[len(FAULTS) :]))
        # Silent devices make no room for more that are without their power at once than was asked for.
        assert all(device.version == NEW for device in devices[len(FAULTS) :])


@pytest.mark.parametrize("fault", QUICK)
async def test_other_faults_cost_the_others_nothing(fault: Fault, tmp_path: Path) -> None:
    async with fifty(tmp_path, device_timeout=1) as (edge, devices):
        for device in devices[: len(FAULTS)]:
            device.fault = fault
        before = {one.serial: one.requests for one in devices}
        await edge.host.monitor.round()
        good = devices[len(FAULTS) :]
        assert all(one.requests > before[one.serial] for one in good)
        states = {edge.host.registry.get(one.serial).state for one in good}
        assert states == {DeviceState.REACHABLE}
        assert all(edge.host.registry.get(one.serial).last_error for one in devices[: len(FAULTS)])
