"""Devices that answer nonsense: each fails with a reason of its own, in bounded time, and delays no other (N21)."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from farsite_edge.simulator import Simulator, describe
from farsite_edge.simulator.faults import Fault
from farsite_signaling.wire.edge_tasks import Rollout, TaskState, WorkState
from farsite_signaling.wire.errors import ErrorCode
from tests.edge.axis_os.conftest import NEW, OLD, rig_of

FAULTS = {
    Fault.HANG: ErrorCode.DEVICE_UNREACHABLE,
    Fault.LOGIN_LOOP: ErrorCode.DEVICE_ANSWER,
    Fault.REDIRECT: ErrorCode.DEVICE_ANSWER,
    Fault.GARBAGE: ErrorCode.DEVICE_UNREACHABLE,
    Fault.ENDLESS: ErrorCode.DEVICE_ANSWER,
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_bad_device_fails_alone(tmp_path: Path, fault: Fault) -> None:
    async with rig_of(tmp_path, count=2, device_timeout=1.0, os_restart_timeout=3.0) as rig:
        rig.image()
        bad, good = rig.devices
        bad.fault = fault
        task = await rig.upgrade(rollout=Rollout(parallel=2))
        shown = await rig.finished(task)
        failed, done = await rig.row(task, 0), await rig.row(task, 1)
        assert shown.state is TaskState.FAILED
        assert (failed.state, done.state) == (WorkState.FAILED, WorkState.SUCCEEDED), failed.detail
        assert failed.code and failed.detail
        assert (bad.version, good.version) == (OLD, NEW)
        if fault is Fault.LOGIN_LOOP:
            return  # what a device refused is not tried again by itself: someone logs in first
        # Well again, it needs nobody but the one who says retry.
        bad.fault = Fault.NONE
        again = await rig.edge.host.tasks.retry(task, [], "test", None, None)
        assert (await rig.finished(again.id)).state is TaskState.SUCCEEDED


@pytest.mark.parametrize("fault", sorted(FAULTS.keys() - {Fault.LOGIN_LOOP}))
async def test_a_device_that_goes_bad_after_the_image_goes_back(tmp_path: Path, fault: Fault) -> None:
    """Never committed: its own timer takes it back."""
    async with rig_of(tmp_path, device_timeout=1.0, os_restart_timeout=3.0) as rig:
        rig.image()

        async def spoil(_row: object, step: str) -> None:
            if step == "look":
                rig.device.fault = fault

        rig.after = spoil
        task, row = await rig.run()
        assert task.state is TaskState.FAILED and row.detail
        assert not rig.device.firmware.committed
        rig.device.fault = Fault.NONE
        rig.device.firmware.rollback_at = 0.0
        rig.device.tick()
        assert (rig.device.version, rig.device.firmware.committed) == (OLD, True)


async def test_truncated_and_wrong_images_never_leave_the_folder(tmp_path: Path) -> None:
    async with rig_of(tmp_path) as rig:
        good = rig.image().read_bytes()
        file = tmp_path / "images" / "P3265-V_12.10.1.bin"
        file.write_bytes(good[: len(good) // 2])
        images = (await rig.edge.host.os.images()).images
        assert images[0].problem is not None and "truncated" in images[0].problem
        _, row = await rig.run()
        assert row.state is WorkState.SKIPPED and "no image" in row.detail
        rig.image("12.11.80", "M3215-LVE")
        _, row = await rig.run("12.11.80")
        assert row.state is WorkState.SKIPPED
        assert rig.device.received == 0


async def test_an_unsigned_image_is_refused_by_the_device(tmp_path: Path) -> None:
    async with rig_of(tmp_path) as rig:
        rig.image(signed=False)
        _, row = await rig.run()
        assert row.state is WorkState.FAILED and "signature" in row.detail
        assert rig.device.version == OLD


async def test_the_simulators_upgrade_as_any_client_sees_it() -> None:
    async with (
        Simulator(describe(1, ["P3245-LVE"]), https=False) as simulator,
        aiohttp.ClientSession() as session,
    ):
        device = simulator.devices[0]
        url = f"http://{device.address}:{device.http_port}/axis-cgi/firmwaremanagement.cgi"
        middlewares = [aiohttp.DigestAuthMiddleware(device.username, device.password)]

        async def call(method: str) -> dict[str, object]:
            body = {"apiVersion": "1.0", "method": method}
            async with session.post(url, json=body, middlewares=middlewares) as response:
                assert response.status == 200
                answer: dict[str, object] = await response.json()
                return answer

        assert (await call("status"))["data"] == {
            "activeFirmwareVersion": "11.11.192",
            "activeFirmwarePart": "7454651131",
        }
        for method, code in (("rollback", 404), ("nonsense", 405)):
            assert (await call(method))["error"]["code"] == code  # type: ignore[index]
        for method in ("commit", "purge", "stopAuto", "getSupportedVersions"):
            assert "data" in await call(method)
        boot = device.boot_id
        assert "data" in await call("reboot")
        assert device.boot_id != boot and device.down


def test_faults_are_settable_in_a_file(tmp_path: Path) -> None:
    from farsite_edge.simulator import load
    from farsite_signaling.wire.errors import FarsiteError

    file = tmp_path / "site.toml"
    file.write_text('[[device]]\nmodel = "P3265-V"\nfault = "hang"\nboot_seconds = 1.5\n')
    assert (load(file)[0].fault, load(file)[0].boot_seconds) == ("hang", 1.5)
    file.write_text('[[device]]\nmodel = "P3265-V"\nfault = "tired"\n')
    with pytest.raises(FarsiteError, match="one of none, hang"):
        load(file)
