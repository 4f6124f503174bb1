"""The apps policy on simulated devices: what it installs, what it refuses and why, and what survives a crash."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from farsite_edge.policies.apps.kind import AppsKind
from farsite_edge.policies.apps.settings import validated
from farsite_edge.policies.record import PolicyRecord
from farsite_edge.simulator.applications import SimulatedApp
from farsite_signaling.wire.edge_tasks import TaskState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.policy_api import PolicyMode, PolicyState
from tests.edge.apps.packages import eap
from tests.edge.policies.conftest import Rig, rig_of
from tests.edge.policies.test_policy_crashes import MOMENTS, Moment, hit

ARCHITECTURE = "aarch64"  # of the P3265-V, AXIS OS 12


@asynccontextmanager
async def apps_rig(tmp_path: Path, model: str = "P3265-V") -> AsyncIterator[Rig]:
    async with rig_of(tmp_path, model, apps=tmp_path / "apps") as rig:
        yield rig


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with apps_rig(tmp_path) as made:
        yield made


def folder(rig: Rig) -> Path:
    return rig.folder / "apps"


async def wants(rig: Rig, *apps: Any, **more: Any) -> PolicyRecord:
    return await rig.policy({"apps": list(apps), **more}, kind="apps")


def app(rig: Rig, name: str = "vmd") -> SimulatedApp:
    return rig.device.applications.apps[name]


async def test_installs_starts_and_updates(rig: Rig) -> None:
    eap(folder(rig), "vmd", "4.5-2", ARCHITECTURE)
    eap(folder(rig), "vmd", "4.5-2", "armv7hf")
    policy = await wants(rig, "vmd")
    assert (await rig.run(policy))[0].state is TaskState.SUCCEEDED
    assert (app(rig).version, app(rig).status) == ("4.5-2", "Running")
    assert rig.result(policy).state is PolicyState.APPLIED
    eap(folder(rig), "vmd", "4.10", ARCHITECTURE)
    task, row = await rig.run(policy)
    assert task.state is TaskState.SUCCEEDED, row.detail
    assert (app(rig).version, rig.device.applications.uploads) == ("4.10", 2)
    await rig.run(policy)
    assert rig.device.applications.uploads == 2


async def test_what_was_removed_or_stopped_comes_back(rig: Rig) -> None:
    eap(folder(rig), "vmd", "1.0", ARCHITECTURE)
    policy = await wants(rig, "vmd")
    await rig.run(policy)
    rig.device.applications.apps.clear()
    await rig.run(policy)
    app(rig).status = "Stopped"
    await rig.run(policy)
    assert app(rig).status == "Running"


async def test_stopped_any_and_absent(rig: Rig) -> None:
    for name in ("one", "two", "three"):
        eap(folder(rig), name, "1.0", ARCHITECTURE)
        rig.device.applications.apps[name] = SimulatedApp(name, "1.0", status="Running")
    policy = await wants(rig, "one:stopped", "two:any", "three:absent")
    task, row = await rig.run(policy)
    assert task.state is TaskState.SUCCEEDED, row.detail
    assert app(rig, "one").status == "Stopped" and app(rig, "two").status == "Running"
    assert "three" not in rig.device.applications.apps


async def test_nothing_is_removed_unasked(rig: Rig) -> None:
    eap(folder(rig), "vmd", "1.0", ARCHITECTURE)
    rig.device.applications.apps["theirs"] = SimulatedApp("theirs", "9", status="Running")
    policy = await wants(rig, "vmd")
    await rig.run(policy)
    await rig.service.delete(policy.id)
    assert set(rig.device.applications.apps) == {"vmd", "theirs"}


async def refused(rig: Rig, *apps: Any) -> str:
    policy = await wants(rig, *apps)
    task, _ = await rig.run(policy)
    assert task.state is TaskState.FAILED
    one = rig.result(policy).settings[0]
    assert one.state is PolicyState.FAILED
    return one.detail


async def test_another_architecture(rig: Rig) -> None:
    eap(folder(rig), "vmd", "1.0", "armv7hf")
    assert "for armv7hf; the device is aarch64" in await refused(rig, "vmd")
    assert rig.device.applications.uploads == 0


async def test_not_signed(rig: Rig) -> None:
    eap(folder(rig), "vmd", "1.0", ARCHITECTURE, signed=False)
    assert "not signed" in await refused(rig, "vmd")
    rig.device.allow_unsigned = True
    policy = rig.service.store.all()[0]
    assert (await rig.run(policy))[0].state is TaskState.SUCCEEDED


async def test_too_old_an_os(tmp_path: Path) -> None:
    async with apps_rig(tmp_path, "P3245-LVE") as rig:  # AXIS OS 11.11
        eap(folder(rig), "vmd", "2.0", "armv7hf", schema="1.8")
        assert "needs AXIS OS 12.6 or newer; the device has 11.11" in await refused(rig, "vmd")
        eap(folder(rig), "vmd", "1.0", "armv7hf", schema="1.5")
        await rig.run(rig.service.store.all()[0])
        assert app(rig).version == "1.0"


async def test_without_a_licence(rig: Rig) -> None:
    eap(folder(rig), "vmd", "1.0", ARCHITECTURE)
    rig.device.applications.license = "Missing"
    detail = await refused(rig, "vmd")
    assert "licence is missing" in detail
    assert app(rig).version == "1.0"


@pytest.mark.parametrize(
    ("number", "said"),
    [(3, "memory is full"), (5, "not for this device"), (2, "signature"), (12, "under way")],
)
async def test_the_device_refuses(rig: Rig, number: int, said: str) -> None:
    eap(folder(rig), "vmd", "1.0", ARCHITECTURE)
    rig.device.applications.refuse = number
    assert said in await refused(rig, "vmd")


async def test_one_bad_app_does_not_stop_the_others(rig: Rig) -> None:
    eap(folder(rig), "good", "1.0", ARCHITECTURE)
    eap(folder(rig), "bad", "1.0", ARCHITECTURE)
    rig.device.applications.broken.add("bad")
    policy = await wants(rig, "bad", "good", "missing")
    await rig.run(policy)
    states = {one.setting: one.state for one in rig.result(policy).settings}
    assert states == {"bad": PolicyState.FAILED, "good": PolicyState.APPLIED, "missing": PolicyState.FAILED}
    assert "does not start" in rig.setting(policy, "bad").detail
    assert "no package" in rig.setting(policy, "missing").detail


async def test_a_package_that_comes_later_is_waited_for(rig: Rig) -> None:
    eap(folder(rig), "vmd", "1.0", ARCHITECTURE)
    policy = await wants(rig, "vmd@2.0", "gone:absent", "later")
    vmd, later = await rig.service.warnings(policy)
    assert vmd.startswith("vmd: There is no package of version 2.0") and later.startswith(
        "later: There is no"
    )
    await rig.run(policy)
    assert rig.setting(policy, "later").state is PolicyState.FAILED
    assert rig.setting(policy, "later").detail == later.removeprefix("later: ")
    assert "Once there is one, it is installed at the next check." in later
    for name, version in (("vmd", "2.0"), ("later", "1.0")):
        eap(folder(rig), name, version, ARCHITECTURE)
    assert await rig.service.warnings(policy) == []
    await rig.run(policy)
    assert rig.result(policy).state is PolicyState.APPLIED
    assert app(rig, "later").status == app(rig).status == "Running"


async def test_downgrade_only_when_asked(rig: Rig) -> None:
    eap(folder(rig), "vmd", "1.0", ARCHITECTURE)
    rig.device.applications.apps["vmd"] = SimulatedApp("vmd", "2.0", status="Running")
    assert "newer" in await refused(rig, "vmd@1.0")
    policy = rig.service.store.all()[0]
    await rig.service.delete(policy.id)
    policy = await wants(rig, {"name": "vmd", "version": "1.0", "downgrade": True})
    assert (await rig.run(policy))[0].state is TaskState.SUCCEEDED
    assert app(rig).version == "1.0"


async def test_part_of_the_os(rig: Rig) -> None:
    rig.device.applications.apps["vmd"] = SimulatedApp("vmd", "1.0", status="Running", bundled=True)
    assert "cannot be removed" in await refused(rig, "vmd:absent")


async def test_no_apps_at_all(tmp_path: Path) -> None:
    async with apps_rig(tmp_path, "M3024-L") as rig:
        if "vmd" in rig.device.applications.apps:
            pytest.fail("it has apps")
        policy = await wants(rig, "vmd")
        await rig.run(policy)
        assert rig.result(policy).state in (PolicyState.NOT_SUPPORTED, PolicyState.FAILED)


async def test_report_only_writes_nothing(rig: Rig) -> None:
    eap(folder(rig), "vmd", "1.0", ARCHITECTURE)
    policy = await rig.policy({"apps": ["vmd"]}, kind="apps", mode=PolicyMode.REPORT_ONLY)
    await rig.run(policy)
    assert rig.result(policy).state is PolicyState.DEVIATING and rig.device.applications.uploads == 0


@pytest.mark.parametrize("fault", ["killed", "power"])
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("state", ["apply", "verify", "look"])
async def test_crashes(rig: Rig, state: str, moment: str, fault: str) -> None:
    eap(folder(rig), "vmd", "1.0", ARCHITECTURE)
    policy = await wants(rig, "vmd")
    at = Moment(rig, state, moment)
    task = await rig.begin(policy)
    await hit(rig, at, fault)
    shown = await rig.finished(task)
    assert shown.state is TaskState.SUCCEEDED, (await rig.row(task)).detail
    assert app(rig).status == "Running" and rig.device.applications.uploads == 1


async def test_the_answer_is_lost(rig: Rig) -> None:
    eap(folder(rig), "vmd", "1.0", ARCHITECTURE)
    rig.device.applications.answer_lost = True
    policy = await wants(rig, "vmd")
    task, row = await rig.run(policy)
    assert task.state is TaskState.SUCCEEDED, row.detail
    assert rig.device.applications.uploads == 1


def test_the_window() -> None:
    kind = AppsKind.__new__(AppsKind)
    settings = validated({"apps": ["vmd"], "window": "22:00-05:00 sat,sun"})
    window = kind.rollout(settings).window
    assert window is not None and window.days == ["sat", "sun"] and window.start.hour == 22
    assert validated(settings) == settings


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "apps"),
        ({"apps": []}, "apps"),
        ({"apps": ["vmd", "VMD"]}, "twice"),
        ({"apps": ["../x"]}, "name"),
        ({"apps": ["vmd@newest"]}, "latest"),
        ({"apps": ["vmd@1:absent"]}, "absent has no version"),
        ({"apps": ["vmd:on"]}, "state"),
        ({"apps": ["vmd"], "window": "at night"}, "window"),
        ({"apps": ["vmd"], "other": 1}, "other"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(FarsiteError, match=said) as caught:
        validated(settings)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
