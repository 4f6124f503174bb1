"""Every state of the policy machine x what can happen in it: the edge host is killed, the device loses its power.

It must end right without a hand: as the policy wants it, or with what was not possible undone and named.
"""

from __future__ import annotations

import asyncio

import pytest

from farsite_edge.devices.credentials import Account
from farsite_edge.tasks.record import WorkRow
from farsite_signaling.wire.edge_api import DeviceState
from farsite_signaling.wire.edge_tasks import TaskState, WorkState
from farsite_signaling.wire.policy_api import PolicyState
from tests.edge.policies.conftest import RISKY, WANTED, Rig

STATES = ("apply", "verify", "look")
MOMENTS = ("before", "after")  # it is written down
FAULTS = ("killed", "power", "both")
NEW = "correct-horse-battery"


class Moment:
    """Stops the work at one checkpoint, once: the `number`th of its state."""

    def __init__(self, rig: Rig, state: str, moment: str, number: int = 1) -> None:
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()
        self._state = state
        self._number = number
        setattr(rig, moment, self._hook)

    async def _hook(self, _row: WorkRow, step: str) -> None:
        if step != self._state or self.reached.is_set():
            return
        self._number -= 1
        if self._number == 0:
            self.reached.set()
            await self.go_on.wait()


async def hit(rig: Rig, at: Moment, fault: str) -> None:
    async with asyncio.timeout(10):
        await at.reached.wait()
    if fault != "killed":
        rig.device.lose_power()
    if fault == "power":
        at.go_on.set()
        return
    await rig.crash()
    await rig.start()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(
    ("state", "number"), [("apply", 1), ("verify", 1), ("apply", 2), ("verify", 2), ("look", 1)]
)
async def test_it_ends_as_wanted(rig: Rig, state: str, number: int, moment: str, fault: str) -> None:
    """The first step is a safe one, the second risky."""
    policy = await rig.policy()
    at = Moment(rig, state, moment, number)
    task = await rig.begin(policy)
    await hit(rig, at, fault)
    shown = await rig.finished(task)
    row = await rig.row(task)
    assert shown.state is TaskState.SUCCEEDED, row.detail
    assert {name: rig.device.parameters[name] for name in WANTED} == WANTED
    assert rig.result(policy).state is PolicyState.APPLIED
    assert rig.edge.host.registry.get(rig.device.serial).state is DeviceState.REACHABLE
    assert rig.device.failed_logins == 0
    assert sum(step.step == row.state for step in row.steps) == 1


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("state", ["undo", "look"])
async def test_undoing_goes_on(rig: Rig, state: str, moment: str, fault: str) -> None:
    rig.device.parameters.faults.ignores = {RISKY}
    policy = await rig.policy({RISKY: "yes"})
    at = Moment(rig, state, moment)
    task = await rig.begin(policy)
    await hit(rig, at, fault)
    row_task = await rig.finished(task)
    assert row_task.state is TaskState.FAILED
    assert (await rig.row(task)).state is WorkState.FAILED
    assert rig.device.parameters[RISKY] == "no"
    assert rig.setting(policy, RISKY).state is PolicyState.FAILED
    rig.device.parameters.faults.ignores = set()
    again = await rig.edge.host.tasks.retry(task, [], "test", None, None)
    assert (await rig.finished(again.id)).state is TaskState.SUCCEEDED


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("state", STATES)
async def test_the_password_of_root_is_never_lost(rig: Rig, state: str, moment: str, fault: str) -> None:
    """The account in use is root itself: whatever happens, the edge host has the password the device has."""
    policy = await rig.policy({"root_password": NEW}, kind="security")
    at = Moment(rig, state, moment)
    task = await rig.begin(policy)
    await hit(rig, at, fault)
    assert (await rig.finished(task)).state is TaskState.SUCCEEDED, (await rig.row(task)).detail
    account = rig.device.accounts.get("root")
    assert account is not None and account.password == NEW
    kept = await rig.edge.host.policies.job._access(rig.device.serial).credentials.get(rig.device.serial)
    assert kept == Account("root", NEW)
    assert await rig.edge.host.core.vault.names("policy-password:") == []
    assert rig.edge.host.registry.get(rig.device.serial).state is DeviceState.REACHABLE


async def test_killed_again_and_again(rig: Rig) -> None:
    policy = await rig.policy()
    task = await rig.begin(policy)
    for state, moment in (("apply", "after"), ("verify", "before"), ("apply", "before"), ("look", "after")):
        at = Moment(rig, state, moment)
        while not at.reached.is_set() and not (await rig.edge.host.tasks.shown(task)).state.finished:
            await rig.edge.host.tasks.changed(0.1)
        await rig.crash()
        await rig.start()
    assert (await rig.finished(task)).state is TaskState.SUCCEEDED
    assert {name: rig.device.parameters[name] for name in WANTED} == WANTED
