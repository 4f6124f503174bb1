"""Every state of the upgrade x what can happen in it: the edge host is killed, the device loses its power, or both.

It must end right without a hand: on the new version, committed, when nothing else is said; or on the old one, marked
failed, and then a retry succeeds.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from farsite_edge.tasks.record import WorkRow
from farsite_signaling.wire.edge_api import DeviceState
from farsite_signaling.wire.edge_tasks import TaskState, WorkState
from tests.edge.axis_os.conftest import NEW, OLD, Rig, rig_of

STATES = ("ready", "info", "status", "upload", "restart", "look", "commit")
MOMENTS = ("before", "after")  # it is written down
# The power fails after the installation and before the commit: the device goes back by itself.
REVERTED = {
    ("restart", "before"),
    ("restart", "after"),
    ("look", "before"),
    ("look", "after"),
    ("commit", "before"),
    ("commit", "after"),
}


class Moment:
    """Stops the work at one checkpoint, once."""

    def __init__(self, rig: Rig, state: str, moment: str) -> None:
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()
        self._state = state
        setattr(rig, moment, self._hook)

    async def _hook(self, _row: WorkRow, step: str) -> None:
        if step == self._state and not self.reached.is_set():
            self.reached.set()
            await self.go_on.wait()


async def settled(rig: Rig, task: str) -> None:
    """Whatever happened, the store, the device and what is shown agree."""
    shown, row = await rig.finished(task), await rig.row(task)
    assert row.state in (WorkState.SUCCEEDED, WorkState.FAILED), row.detail
    assert rig.device.firmware.committed and rig.device.firmware.installing is None
    done = row.state is WorkState.SUCCEEDED
    assert rig.device.version == (NEW if done else OLD), row.detail
    assert shown.state is (TaskState.SUCCEEDED if done else TaskState.FAILED)
    record = rig.edge.host.registry.get(rig.device.serial)
    assert record.state is DeviceState.REACHABLE
    assert sum(step.step == row.state for step in row.steps) == 1
    assert rig.device.failed_logins == 0


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("state", STATES)
async def test_the_edge_host_is_killed(rig: Rig, state: str, moment: str) -> None:
    at = Moment(rig, state, moment)
    task = await rig.upgrade()
    await at.reached.wait()
    await rig.crash()
    await rig.start()
    assert (await rig.finished(task)).state is TaskState.SUCCEEDED, (await rig.row(task)).detail
    await settled(rig, task)
    assert rig.device.firmware.installs == [NEW]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("state", STATES)
async def test_the_device_loses_its_power(rig: Rig, state: str, moment: str) -> None:
    at = Moment(rig, state, moment)
    task = await rig.upgrade()
    await at.reached.wait()
    rig.device.lose_power()
    at.go_on.set()
    await settled(rig, task)
    state_now = (await rig.row(task)).state
    if (state, moment) not in REVERTED:
        assert state_now is WorkState.SUCCEEDED, (await rig.row(task)).detail
    elif state_now is WorkState.FAILED:
        again = await rig.edge.host.tasks.retry(task, [], "test", None, None)
        assert (await rig.finished(again.id)).state is TaskState.SUCCEEDED


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("state", STATES)
async def test_both_at_once(rig: Rig, state: str, moment: str) -> None:
    """A power cut of the site: the edge host starts anew and brings the upgrade to its end."""
    at = Moment(rig, state, moment)
    task = await rig.upgrade()
    await at.reached.wait()
    rig.device.lose_power()
    await rig.crash()
    await rig.start()
    await settled(rig, task)
    assert (await rig.finished(task)).state is TaskState.SUCCEEDED, (await rig.row(task)).detail


@pytest.mark.parametrize("power", [False, True])
@pytest.mark.parametrize("killed", [False, True])
async def test_in_the_middle_of_the_upload(rig: Rig, killed: bool, power: bool) -> None:
    rig.image(NEW, size=8 * 1024 * 1024)
    rig.device.upload_gate = asyncio.Event()
    task = await rig.upgrade()
    await rig.device.uploading.wait()
    if power:
        rig.device.lose_power()
    if killed:
        await rig.crash()
    rig.device.upload_gate.set()
    if killed:
        await rig.start()
    await settled(rig, task)
    assert rig.device.firmware.installs == [NEW]


async def test_killed_for_longer_than_the_rollback_timer(rig: Rig) -> None:
    """The device has gone back by itself meanwhile: it is upgraded again."""
    at = Moment(rig, "look", "after")
    task = await rig.upgrade()
    await at.reached.wait()
    await rig.crash()
    rig.device.firmware.rollback_at = 0.0
    await rig.start()
    await settled(rig, task)
    assert rig.device.version == NEW and rig.device.firmware.installs == [NEW, NEW]


async def test_killed_again_and_again(rig: Rig) -> None:
    task = await rig.upgrade()
    for state in STATES:
        at = Moment(rig, state, "after")
        while not at.reached.is_set() and not (await rig.edge.host.tasks.shown(task)).state.finished:
            await rig.edge.host.tasks.changed(0.1)
        await rig.crash()
        await rig.start()
    await settled(rig, task)
    assert rig.device.version == NEW


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("state", ["ready", "info", "status", "rollback", "revert", "revert_look"])
@pytest.mark.parametrize("power", [False, True])
async def test_rollback_goes_on(rig: Rig, state: str, moment: str, power: bool) -> None:
    await rig.run()
    at = Moment(rig, state, moment)
    task = await rig.rollback()
    await at.reached.wait()
    if power:
        rig.device.lose_power()
    await rig.crash()
    rig.settings["os_restart_timeout"] = 3.0
    await rig.start()
    assert (await rig.finished(task)).state is TaskState.SUCCEEDED, (await rig.row(task)).detail
    assert rig.device.version == OLD and rig.device.firmware.committed


async def test_a_device_in_the_middle_is_held_before_anything_else_starts(tmp_path: Path) -> None:
    async with rig_of(tmp_path) as rig:
        rig.image()
        at = Moment(rig, "restart", "after")
        task = await rig.upgrade()
        await at.reached.wait()
        await rig.crash()
        await rig.device.stop()  # it takes its time to start
        await rig.start()
        await rig.edge.host.monitor.round()
        assert rig.edge.host.registry.get(rig.device.serial).state is DeviceState.UPDATING
        await rig.device.start()
        await settled(rig, task)
