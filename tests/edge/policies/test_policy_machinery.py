"""Policies of any kind: applied, reported, re-applied on drift, refused, left; and what the store keeps of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from farsite_edge.policies.keeper import PolicyKeeper
from farsite_edge.policies.record import MAX_FAILURES
from farsite_edge.tasks.record import TaskRecord
from farsite_signaling.wire.edge_api import DeviceState
from farsite_signaling.wire.edge_tasks import TaskState, WorkState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.policy_api import (
    PolicyChange,
    PolicyCreate,
    PolicyMode,
    PolicyState,
    PolicyTemplate,
    Selection,
)
from tests.edge.policies.conftest import RISKY, SAFE, WANTED, Rig, rig_of


async def test_it_is_applied_and_then_compliant(rig: Rig) -> None:
    policy = await rig.policy()
    task, row = await rig.run(policy)
    assert (task.state, row.state) == (TaskState.SUCCEEDED, WorkState.SUCCEEDED), row.detail
    assert {name: rig.device.parameters[name] for name in WANTED} == WANTED
    result = rig.result(policy)
    assert result.state is PolicyState.APPLIED and result.applied_at is not None
    assert [one.state for one in result.settings] == [PolicyState.APPLIED] * 2
    assert [step.step for step in row.steps] == ["apply", "verify"] * 2 + ["look", "succeeded"]


async def test_report_only_writes_nothing(rig: Rig) -> None:
    policy = await rig.policy(mode=PolicyMode.REPORT_ONLY)
    task, row = await rig.run(policy)
    assert task.state is TaskState.SUCCEEDED and "2 of 2" in row.detail
    assert rig.device.parameters[SAFE] == "Off"
    since = rig.setting(policy, SAFE).since
    assert rig.result(policy).state is PolicyState.DEVIATING and since is not None
    await rig.run(policy)
    assert rig.setting(policy, SAFE).since == since


async def test_what_a_device_has_not_is_not_supported(rig: Rig) -> None:
    policy = await rig.policy({SAFE: "On", "System.Nothing": "yes"})
    _, row = await rig.run(policy)
    assert row.state is WorkState.SUCCEEDED
    assert rig.setting(policy, "System.Nothing").state is PolicyState.NOT_SUPPORTED
    assert rig.result(policy).state is PolicyState.APPLIED


async def test_one_refused_setting_does_not_stop_the_others(rig: Rig) -> None:
    policy = await rig.policy({SAFE: "On", "Brand.ProdNbr": "other", RISKY: "maybe"})
    _, row = await rig.run(policy)
    assert row.state is WorkState.FAILED and "2 of 3" in row.detail
    assert rig.device.parameters[SAFE] == "On" and rig.device.parameters[RISKY] == "no"
    assert "refused" in rig.setting(policy, "Brand.ProdNbr").detail
    assert rig.setting(policy, RISKY).state is PolicyState.FAILED


async def test_a_setting_that_fails_again_and_again_is_left_until_somebody_asks(rig: Rig) -> None:
    policy = await rig.policy({"Brand.ProdNbr": "other"})
    for _ in range(MAX_FAILURES):
        task = await rig.service.check(policy.id)
        assert task is not None
        await rig.finished(task.id)
    task = await rig.service.check(policy.id)
    assert task is not None
    await rig.finished(task.id)
    assert [step.step for step in (await rig.row(task.id)).steps] == ["failed"]
    _, row = await rig.run(policy)
    assert "apply" in [step.step for step in row.steps]


async def test_edited_it_is_applied_again_and_deleted_it_leaves_the_values(rig: Rig) -> None:
    policy = await rig.policy({SAFE: "On"})
    await rig.run(policy)
    policy = await rig.service.change(policy.id, PolicyChange(settings={SAFE: "Off"}))
    assert policy.revision == 2
    await rig.run(policy)
    assert rig.device.parameters[SAFE] == "Off"
    await rig.service.delete(policy.id)
    rig.device.parameters[SAFE] = "On"
    assert await rig.edge.host.policies.keeper.round() == []
    assert rig.device.parameters[SAFE] == "On"
    with pytest.raises(FarsiteError) as raised:
        rig.service.store.get(policy.id)
    assert raised.value.code is ErrorCode.NOT_FOUND


async def test_a_second_policy_of_the_kind_is_refused_or_replaces_the_first(rig: Rig) -> None:
    first = await rig.policy()
    second = await rig.policy({SAFE: "Off"}, name="Other", apply=False)
    [refused] = await rig.service.assign(second.id, rig.ids)
    assert (refused.ok, refused.code) == (False, "conflict") and "Ours" in refused.detail
    [taken] = await rig.service.assign(second.id, rig.ids, replace=True)
    assert taken.ok
    assert rig.service.store.devices(first.id) == []


async def test_devices_out_of_sight_do_not_exist(rig: Rig) -> None:
    policy = await rig.policy(apply=False)
    results = await rig.service.assign(policy.id, [*rig.ids, "nobody"], lambda device: False)
    assert [one.code for one in results] == ["device_unknown"] * 2
    assert rig.service.store.devices(policy.id) == []


async def test_it_is_all_there_after_a_restart(rig: Rig) -> None:
    policy = await rig.policy()
    await rig.run(policy)
    before = rig.result(policy)
    await rig.crash()
    await rig.start()
    assert rig.service.store.get(policy.id) == policy
    assert rig.result(policy) == before


async def test_names_and_idempotency_keys(rig: Rig) -> None:
    request = PolicyCreate(kind="small", name="Ours")
    made = await rig.service.create(request, actor="test", idempotency="a")
    assert (await rig.service.create(request, actor="test", idempotency="a")).id == made.id
    with pytest.raises(FarsiteError) as raised:
        await rig.service.create(PolicyCreate(kind="small", name="OURS"), actor="test")
    assert raised.value.code is ErrorCode.CONFLICT
    with pytest.raises(FarsiteError, match="kind 'none'"):
        await rig.service.create(PolicyCreate(kind="none", name="x"), actor="test")


async def round_of(rig: Rig, keeper: PolicyKeeper | None = None) -> list[TaskRecord]:
    """What is due now is done."""
    tasks = await (keeper or rig.edge.host.policies.keeper).round()
    for task in tasks:
        await rig.finished(task.id)
    return tasks


async def test_drift_is_mended_by_itself_and_quiet_checks_leave_no_task(rig: Rig) -> None:
    policy = await rig.policy()
    now = [datetime.now(UTC)]
    keeper = PolicyKeeper(rig.service, rig.edge.host.registry, interval=60, poll=600, now=lambda: now[0])
    [first] = await round_of(rig, keeper)
    assert rig.device.parameters[SAFE] == "On"
    assert await round_of(rig, keeper) == []
    now[0] += timedelta(seconds=61)
    [quiet] = await round_of(rig, keeper)
    rig.device.parameters[SAFE] = "Off"
    now[0] += timedelta(seconds=61)
    [mended] = await round_of(rig, keeper)
    assert rig.device.parameters[SAFE] == "On"
    for task in (first, quiet, mended):
        keeper.done(task)
    await keeper.round()
    kept = {task.id for task in (await rig.edge.host.tasks.store.page(None, 50))[0]}
    assert kept == {first.id, mended.id}
    assert rig.result(policy).state is PolicyState.APPLIED


async def test_a_device_that_returns_or_was_upgraded_is_looked_at(rig: Rig) -> None:
    policy = await rig.policy()
    await rig.run(policy)
    assert await round_of(rig) == []
    registry = rig.edge.host.registry
    await registry.update(rig.device.serial, state=DeviceState.UNREACHABLE)
    rig.device.parameters[SAFE] = "Off"
    assert await round_of(rig) == []
    await registry.update(rig.device.serial, state=DeviceState.REACHABLE)
    assert len(await round_of(rig)) == 1
    assert rig.device.parameters[SAFE] == "On"
    rig.device.parameters[SAFE] = "Off"
    rig.device.firmware.active = "12.10.1"
    rig.device._show_version()
    await rig.edge.host.manager.looks.check(rig.device.serial, refresh=True)
    assert len(await round_of(rig)) == 1
    assert rig.device.parameters[SAFE] == "On"
    assert rig.result(policy).version == "12.10.1"


async def test_a_device_out_of_reach_is_pending_and_done_later(rig: Rig) -> None:
    policy = await rig.policy()
    await rig.edge.host.registry.update(rig.device.serial, state=DeviceState.UNREACHABLE)
    await rig.edge.host.policies.keeper.round()
    _, row = await rig.run(policy)
    assert row.state is WorkState.SKIPPED and "when the device is back" in row.detail
    assert rig.result(policy).state is PolicyState.PENDING
    await rig.edge.host.registry.update(rig.device.serial, state=DeviceState.REACHABLE)
    await round_of(rig)
    assert rig.result(policy).state is PolicyState.APPLIED


async def test_removed_devices_leave_their_policies(rig: Rig) -> None:
    policy = await rig.policy()
    await rig.edge.host.manager.remove(rig.ids)
    await rig.edge.host.policies.keeper.round()
    assert rig.service.store.devices(policy.id) == []


async def test_templates_make_and_change_the_same_policy(tmp_path: Path) -> None:
    async with rig_of(tmp_path, count=2) as rig:
        document = PolicyTemplate(id="t1", revision=1, kind="small", name="From above", settings={SAFE: "On"})
        record, results, task = await rig.service.apply_template(
            document, Selection(everything=True), "cloud"
        )
        assert task is not None and len(results) == 2
        assert (await rig.finished(task.id)).state is TaskState.SUCCEEDED
        again, _, _ = await rig.service.apply_template(document, Selection(ids=rig.ids), "cloud")
        assert again == record
        changed = document.model_copy(update={"revision": 2, "settings": {SAFE: "Off"}})
        after, _, _ = await rig.service.apply_template(changed, Selection(models=["p3265-v"]), "cloud")
        assert (after.id, after.revision, after.settings) == (record.id, 2, {SAFE: "Off"})
        exported = rig.service.export(after.id)
        assert (exported.id, exported.revision, exported.settings) == ("t1", 2, {SAFE: "Off"})
