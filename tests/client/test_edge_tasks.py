"""The SDK against a real edge host: tasks and AXIS OS over its API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from farsite_client.cli.following import follow
from farsite_client.cli.output import Output
from farsite_client.edge import EdgeClient
from farsite_edge.admin.site import FILE, AdminAddress
from farsite_edge.devices.credentials import Account
from farsite_edge.discovery import FoundDevice
from farsite_edge.simulator import SimulatedDevice, Simulator, describe
from farsite_edge.simulator.image import make_image
from farsite_edge.testing import run_edge
from farsite_signaling.wire.edge_tasks import OsState, TaskState, WorkState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

NEW = "12.10.1"


@pytest.fixture
async def device() -> AsyncIterator[SimulatedDevice]:
    described = [replace(one, boot_seconds=0.3, install_seconds=0.1) for one in describe(1, ["P3265-V"])]
    async with Simulator(described, https=False) as simulator:
        yield simulator.devices[0]


@pytest.fixture
async def client(tmp_path: Path, device: SimulatedDevice) -> AsyncIterator[EdgeClient]:
    options = {
        "os_poll_interval": 0.05,
        "os_restart_timeout": 9,
        "poll_interval": 3600,
        "discovery_interval": 3600,
    }
    async with run_edge(tmp_path, **options) as edge:
        await edge.host.registry.found([FoundDevice(device.serial, device.address, device.http_port)])
        await edge.host.manager.add([device.serial])
        await edge.host.manager.log_in([device.serial], Account(device.username, device.password))
        address = AdminAddress.model_validate_json((tmp_path / FILE).read_bytes())
        assert address.unix
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(address.unix)) as session:
            yield EdgeClient(session, base="http://localhost")


async def test_from_inventory_to_rollback(
    client: EdgeClient, device: SimulatedDevice, tmp_path: Path
) -> None:
    assert (await client.os.inventory()).rows[0].state is OsState.UNKNOWN_MODEL
    make_image(Path((await client.os.images()).folder) / "a.bin", ["P3265-V"], NEW)
    row = (await client.os.inventory()).rows[0]
    assert (row.recommended, row.state) == (NEW, OsState.UPDATE_AVAILABLE)
    task = await client.os.upgrade([device.serial, "ACCC8E000099"])
    seen = [events async for events in client.tasks.follow(task.id)]
    assert seen[-1].task.state is TaskState.SUCCEEDED
    steps = [step.seq for events in seen for step in events.steps]
    assert steps == sorted(set(steps)) and steps
    detail = await client.tasks.get(task.id)
    assert [one.state for one in detail.devices] == [WorkState.SUCCEEDED, WorkState.SKIPPED]
    assert detail.devices[1].code == ErrorCode.DEVICE_UNKNOWN
    assert (await client.os.inventory()).rows[0].state is OsState.UP_TO_DATE
    back = await client.tasks.wait((await client.os.rollback([device.serial])).id)
    assert back.state is TaskState.SUCCEEDED and device.version == "12.9.57"
    assert [one.id for one in (await client.tasks.page()).tasks] == [back.id, task.id]
    actions = [row.action for row in (await client.audit()).rows]
    assert {"os.upgrade", "os.upgrade.device", "os.rollback"} <= set(actions)


async def test_who_stops_waiting_is_told_that_the_task_goes_on(
    client: EdgeClient, device: SimulatedDevice, capsys: pytest.CaptureFixture[str]
) -> None:
    make_image(Path((await client.os.images()).folder) / "a.bin", ["P3265-V"], NEW)
    task = await client.os.upgrade([device.serial])
    with pytest.raises(TimeoutError):  # which cancels, as an interrupt does
        async with asyncio.timeout(0):
            await follow(client.tasks, task.id, Output(as_json=False))
    assert f"farsite tasks EDGE show {task.id[:12]} --wait" in capsys.readouterr().err
    assert (await client.tasks.wait(task.id)).state is TaskState.SUCCEEDED


async def test_what_cannot_be_done_is_said(client: EdgeClient, device: SimulatedDevice) -> None:
    with pytest.raises(FarsiteError) as caught:
        await client.tasks.get("none")
    assert caught.value.code is ErrorCode.NOT_FOUND
    task = await client.tasks.wait((await client.os.upgrade([device.serial])).id)
    assert task.state is TaskState.FAILED and "no image" in task.devices[0].detail
    with pytest.raises(FarsiteError) as caught:
        await client.tasks.cancel(task.id)
    assert caught.value.code is ErrorCode.CONFLICT
    again = await client.tasks.wait((await client.tasks.retry(task.id)).id)
    assert again.retry_of == task.id
