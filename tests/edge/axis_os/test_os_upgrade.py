"""Upgrades of simulated devices by a real edge host: the good way, and every way it can go wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from farsite_edge.simulator.applications import SimulatedApp
from farsite_signaling.wire.edge_api import DeviceState
from farsite_signaling.wire.edge_tasks import TaskState, WorkState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from tests.edge.axis_os.conftest import MODEL, NEW, OLD, Rig, rig_of


async def test_the_safe_way(rig: Rig) -> None:
    task, row = await rig.run()
    assert (task.state, row.state) == (TaskState.SUCCEEDED, WorkState.SUCCEEDED), row.detail
    assert (rig.device.version, rig.device.firmware.inactive) == (NEW, OLD)
    assert rig.device.firmware.committed and rig.device.firmware.installs == [NEW]
    steps = [step.step for step in row.steps]
    assert steps == ["ready", "info", "status", "upload", "restart", "look", "commit", "succeeded"]
    record = rig.edge.host.registry.get(rig.device.serial)
    assert (record.version, record.state) == (NEW, DeviceState.REACHABLE)
    assert rig.device.failed_logins == 0


async def test_meanwhile_the_device_is_updating_and_nobody_elses(rig: Rig) -> None:
    rig.device.upload_gate = asyncio.Event()
    task = await rig.upgrade()
    await rig.device.uploading.wait()
    host = rig.edge.host
    serial = rig.device.serial
    await host.monitor.round()
    assert host.registry.get(serial).state is DeviceState.UPDATING
    with pytest.raises(FarsiteError) as caught:
        await host.manager.parameters(serial, ["Brand"])
    assert caught.value.code is ErrorCode.CONFLICT
    assert (await host.manager.remove([serial]))[0].code == ErrorCode.CONFLICT
    rig.device.upload_gate.set()
    assert (await rig.finished(task)).state is TaskState.SUCCEEDED
    assert host.registry.get(serial).state is DeviceState.REACHABLE


@pytest.mark.parametrize(
    ("model", "version", "target"),
    [
        ("Q1615-Mk-II", "8.45.4.5", "8.45.5.1"),
        ("M1065-LW", "9.80.2.2", "9.80.3.12"),
        ("M3058-PLVE", "10.12.323", "10.12.330"),
        ("P3245-LVE", "11.11.192", "11.11.200"),
        ("C1310-E", "12.9.57", "12.11.80"),
    ],
)
async def test_every_generation(tmp_path: Path, model: str, version: str, target: str) -> None:
    async with rig_of(tmp_path, model) as rig:
        rig.image(target, model)
        assert rig.device.version == version
        task, row = await rig.run(None)
        assert task.state is TaskState.SUCCEEDED, row.detail
        assert rig.device.version == target and rig.device.firmware.committed
        assert rig.device.received < 2 * (await rig.edge.host.os.images()).images[0].bytes


async def test_across_majors_through_every_long_term_support(tmp_path: Path) -> None:
    async with rig_of(tmp_path, "Q1615-Mk-II") as rig:
        for version in ("9.80.3", "10.12.330", "11.11.200"):
            rig.image(version, "Q1615-Mk-II")
        task, row = await rig.run("11.11.200")
        assert task.state is TaskState.SUCCEEDED, row.detail
        assert rig.device.firmware.installs == ["9.80.3", "10.12.330", "11.11.200"]


async def test_a_missing_step_on_the_way_is_named(tmp_path: Path) -> None:
    async with rig_of(tmp_path, "M1065-LW") as rig:
        rig.image("11.11.200", "M1065-LW")
        task, row = await rig.run("11.11.200")
        assert task.state is TaskState.FAILED and row.state is WorkState.SKIPPED
        assert "leads through 10.12" in row.detail
        task, row = await rig.run("11.11.200", direct=True)
        assert task.state is TaskState.SUCCEEDED, row.detail


async def test_the_recommended_version_of_another_major_is_chosen_by_name(tmp_path: Path) -> None:
    async with rig_of(tmp_path, "P3245-LVE") as rig:
        rig.image("12.11.80", "P3245-LVE")
        _, row = await rig.run(None)
        assert row.state is WorkState.SKIPPED and "by name" in row.detail
        task, _ = await rig.run("12.11.80")
        assert task.state is TaskState.SUCCEEDED


async def test_nothing_to_do_is_no_failure(rig: Rig) -> None:
    await rig.run()
    task, row = await rig.run()
    assert (task.state, row.state, row.code) == (TaskState.SUCCEEDED, WorkState.SKIPPED, None)
    assert rig.device.firmware.installs == [NEW]


async def test_a_downgrade_needs_a_factory_default(rig: Rig) -> None:
    rig.image("12.1.5")
    _, row = await rig.run("12.1.5")
    assert row.state is WorkState.SKIPPED and "factory default" in row.detail
    _, row = await rig.run("12.1.5", factory_default="soft")
    assert row.state is WorkState.SKIPPED and "hard factory default only" in row.detail
    task, row = await rig.run("12.1.5", factory_default="hard")
    assert task.state is TaskState.SUCCEEDED, row.detail
    assert rig.device.version == "12.1.5" and rig.device.needs_setup
    assert rig.edge.host.registry.get(rig.device.serial).state is DeviceState.SETUP_REQUIRED


async def test_rollback(rig: Rig) -> None:
    await rig.run()
    task = await rig.rollback()
    assert (await rig.finished(task)).state is TaskState.SUCCEEDED
    assert rig.device.version == OLD
    again = await rig.rollback()
    await rig.finished(again)
    row = await rig.row(again)
    assert row.state is WorkState.SKIPPED and "no earlier version" in row.detail


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (410, "revoked"),
        (412, "not committed"),
        (415, "damaged"),
        (421, "not for this device"),
        (422, "signature"),
        (500, "failed inside"),
        (999, "refused"),
    ],
)
async def test_what_the_device_refuses_is_named(rig: Rig, code: int, words: str) -> None:
    rig.device.upgrade_faults.refuse = code
    task, row = await rig.run()
    assert task.state is TaskState.FAILED
    assert words in row.detail and f"error {code}" in row.detail
    assert rig.device.version == OLD
    assert rig.edge.host.registry.get(rig.device.serial).state is DeviceState.REACHABLE


async def test_a_busy_device_is_waited_for(rig: Rig) -> None:
    rig.device.upgrade_faults.refuse = 423
    task = await rig.upgrade()
    await rig.device.uploading.wait()
    rig.device.uploading.clear()
    await rig.device.uploading.wait()
    rig.device.upgrade_faults.refuse = None
    assert (await rig.finished(task)).state is TaskState.SUCCEEDED


async def test_a_version_that_does_not_start_is_reported(rig: Rig) -> None:
    rig.device.upgrade_faults.does_not_start = True
    _, row = await rig.run()
    assert row.state is WorkState.FAILED and "went back by itself" in row.detail
    assert rig.device.version == OLD and rig.device.firmware.committed


async def test_another_version_than_meant_is_sent_back(rig: Rig) -> None:
    rig.device.upgrade_faults.starts_as = "12.10.0"
    _, row = await rig.run()
    assert row.state is WorkState.FAILED and "12.10, not" in row.detail.replace("12.10.0", "12.10")
    assert "back on 12.9.57" in row.detail
    assert rig.device.version == OLD


async def test_without_a_log_in_nothing_is_committed(tmp_path: Path) -> None:
    async with rig_of(tmp_path, os_rollback_minutes=1) as rig:
        rig.image()
        rig.device.firmware.minute = 1.0
        rig.device.upgrade_faults.log_in_lost = True
        task, row = await rig.run()
        assert task.state is TaskState.FAILED and row.code == ErrorCode.DEVICE_CREDENTIALS
        assert "back on 12.9.57" in row.detail
        assert rig.device.version == OLD
        # The credentials are good for the version before: nobody has to enter them again.
        assert rig.edge.host.registry.get(rig.device.serial).state is DeviceState.REACHABLE


async def test_an_answer_that_is_lost_changes_nothing(rig: Rig) -> None:
    rig.device.upgrade_faults.answer_lost = True
    task, row = await rig.run()
    assert task.state is TaskState.SUCCEEDED, row.detail
    assert rig.device.firmware.installs == [NEW]


async def test_a_device_that_stays_away_is_given_up(tmp_path: Path) -> None:
    async with rig_of(tmp_path, os_restart_timeout=1.0) as rig:
        rig.image()

        async def switch_off(_row: object, step: str) -> None:
            if step == "restart":
                await rig.device.stop()

        rig.after = switch_off
        task, row = await rig.run()
        assert task.state is TaskState.FAILED and row.code == ErrorCode.DEVICE_UNREACHABLE
        assert "did not come back in time" in row.detail
        assert rig.edge.host.registry.get(rig.device.serial).state is DeviceState.UNREACHABLE


async def test_cancelled_in_the_middle_of_the_upload(rig: Rig) -> None:
    rig.image(NEW, size=8 * 1024 * 1024)
    rig.device.upload_gate = asyncio.Event()
    task = await rig.upgrade()
    await rig.device.uploading.wait()
    await rig.edge.host.tasks.cancel(task)
    assert (await rig.finished(task)).state is TaskState.CANCELLED
    rig.device.upload_gate.set()
    assert rig.device.version == OLD and rig.device.firmware.installing is None
    assert rig.edge.host.registry.get(rig.device.serial).state is DeviceState.REACHABLE


async def test_what_is_being_installed_is_brought_to_its_end(rig: Rig) -> None:
    async def cancel(_row: object, step: str) -> None:
        if step == "restart":
            await rig.edge.host.tasks.cancel(task)

    rig.after = cancel
    task = await rig.upgrade()
    await rig.finished(task)
    assert (await rig.row(task)).state is WorkState.SUCCEEDED
    assert rig.device.version == NEW and rig.device.firmware.committed


async def test_a_file_changed_while_it_is_sent_is_never_complete(rig: Rig) -> None:
    image = rig.image(NEW, size=8 * 1024 * 1024)
    rig.device.upload_gate = asyncio.Event()
    task = await rig.upgrade()
    await rig.device.uploading.wait()
    with image.open("r+b") as file:
        file.seek(-4096, 2)
        file.write(bytes(4096))
    rig.device.upload_gate.set()
    assert (await rig.finished(task)).state is TaskState.FAILED
    assert "the file was changed" in (await rig.row(task)).detail
    assert rig.device.version == OLD and rig.device.firmware.installs == []


async def test_a_wrong_model_met_at_the_address_is_left_alone(rig: Rig) -> None:
    record = rig.edge.host.registry.get(rig.device.serial)
    await rig.edge.host.registry.update(record.id, model="M3215-LVE")
    rig.image("12.11.80", "M3215-LVE")
    _, row = await rig.run("12.11.80")
    assert row.state is WorkState.SKIPPED and f"is a {MODEL}" in row.detail
    assert rig.device.received == 0


async def test_apps_without_a_signature_are_in_the_way_of_13(tmp_path: Path) -> None:
    async with rig_of(tmp_path) as rig:
        rig.image("12.11.3")
        rig.image("13.0.4", zstd=True)
        rig.device.applications.apps["own"] = SimulatedApp("own", "1.0", title="Own App", signed=False)
        _, row = await rig.run("13.0.4")
        assert row.state is WorkState.SKIPPED and "Own App" in row.detail
        assert rig.device.firmware.installs == []
        del rig.device.applications.apps["own"]
        task, row = await rig.run("13.0.4")
        assert task.state is TaskState.SUCCEEDED, row.detail
        assert rig.device.firmware.installs == ["12.11.3", "13.0.4"]


async def test_older_than_what_can_go_back_is_not_installed(rig: Rig) -> None:
    rig.image("6.50.5")
    _, row = await rig.run("6.50.5", factory_default="hard")
    assert row.state is WorkState.SKIPPED and "older than 7.40" in row.detail
