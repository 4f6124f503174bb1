"""What is done to devices as tasks, on simulated devices of every generation."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from farsite_edge.devices.accounts import AccountChanger
from farsite_edge.devices.credentials import Account
from farsite_edge.simulator import SimulatedDevice
from farsite_edge.simulator.faults import Fault
from farsite_edge.testing import run_edge
from farsite_signaling.wire.device_api import CredentialsInfo, DeviceDetails
from farsite_signaling.wire.edge_api import Device, DeviceList, DeviceResults, DeviceState
from farsite_signaling.wire.edge_tasks import TaskState, WorkState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from tests.edge.devices.conftest import FAST, RIGHT, Site, site_of

EVERY = ("P3265-V", "P3245-LVE", "M3058-PLVE", "M1065-LW", "Q1615-Mk-II", "M3024-L")


def password(device: SimulatedDevice, name: str = "root") -> str:
    account = device.accounts.get(name)
    assert account is not None
    return account.password


async def test_few_credentials_are_tried_one_after_the_other(tmp_path: Path) -> None:
    async with site_of(tmp_path, *EVERY[:3], count=3) as site:
        await site.manage(log_in=False)
        wrong = [{"username": "root", "password": f"wrong{number}"} for number in range(2)]
        right = {"username": RIGHT.username, "password": RIGHT.password}
        done = await site.task("/devices/tasks/log-in", {"ids": site.ids, "credentials": [*wrong, right]})
        assert done.state is TaskState.SUCCEEDED
        assert all(device.failed_logins <= 2 for device in site.devices)
        # Nothing of it stays once the task is done.
        await site.edge.host.device_tasks.tidy()
        assert await site.edge.host.core.vault.names("task:") == []


async def test_no_device_sees_a_wrong_password_twice(site: Site) -> None:
    device = site.devices[0]
    await site.edge.host.manager.remove(site.ids)
    await site.edge.host.manager.add(site.ids)
    body = {"ids": [*site.ids, "ACCC8E00DEAD"], "credentials": [{"username": "root", "password": "wrong"}]}
    done = await site.task("/devices/tasks/log-in", body)
    assert done.state is TaskState.FAILED
    states = [(row.state, row.code) for row in done.devices]
    assert states == [(WorkState.FAILED, "device_credentials"), (WorkState.SKIPPED, "device_unknown")]
    assert device.failed_logins == 1


async def test_a_failed_task_is_tried_again_with_the_passwords_it_was_given(site: Site) -> None:
    """They stay sealed for an hour; then whoever retries is told to enter them anew, before anything is begun."""
    await site.edge.host.manager.remove(site.ids)
    await site.edge.host.manager.add(site.ids)
    device, tasks = site.devices[0], site.edge.host.device_tasks
    await device.stop()
    body = {"ids": site.ids, "credentials": [{"username": RIGHT.username, "password": RIGHT.password}]}
    done = await site.task("/devices/tasks/log-in", body)
    assert done.state is TaskState.FAILED
    await tasks.tidy()
    again = await site.task(f"/tasks/{done.id}/retry", {})
    assert [row.code for row in again.devices] == ["device_unreachable"]
    await device.start()
    third = await site.task(f"/tasks/{again.id}/retry", {})
    assert third.state is TaskState.SUCCEEDED, third.devices
    files = b"".join(file.read_bytes() for file in site.edge.host.settings.data_dir.glob("edge.db*"))
    assert RIGHT.password.encode() not in files
    tasks.now = lambda: datetime.now(UTC) + timedelta(hours=2)
    await tasks.tidy()
    assert await site.edge.host.core.vault.names("task:") == []
    with pytest.raises(FarsiteError) as caught:
        await site.task(f"/tasks/{done.id}/retry", {})
    assert caught.value.code is ErrorCode.PRECONDITION_FAILED
    assert "enter them again" in caught.value.detail


@pytest.mark.parametrize("model", EVERY)
async def test_a_new_device_gets_its_first_account(model: str, tmp_path: Path) -> None:
    async with site_of(tmp_path, model, factory_default=1) as site:
        await site.manage()
        device = site.devices[0]
        done = await site.task("/devices/tasks/set-up", {"ids": site.ids, "username": "farsite"})
        assert done.state is TaskState.SUCCEEDED, done.devices
        assert site.edge.host.registry.get(device.serial).state is DeviceState.REACHABLE
        kept = await site.edge.host.manager.credentials.get(device.serial)
        assert kept == Account("farsite", password(device, "farsite"))
        assert (device.accounts.get("root") is not None) == device.model.quirks.root_only


@pytest.mark.parametrize("model", EVERY)
async def test_passwords_are_changed_and_checked_both_ways(model: str, tmp_path: Path) -> None:
    async with site_of(tmp_path, model) as site:
        await site.manage()
        device, [serial] = site.devices[0], site.ids
        done = await site.task("/devices/tasks/rotate-password", {"ids": site.ids})
        assert done.state is TaskState.SUCCEEDED, done.devices
        assert [step.step for step in done.devices[0].steps] == [
            "keep", "set", "try_new", "use", "onvif", "try_old", "succeeded",
        ]  # fmt: skip
        kept = await site.edge.host.manager.credentials.get(serial)
        assert kept == Account("root", password(device))
        assert password(device) != RIGHT.password
        assert device.failed_logins == 1  # the old one, refused
        info = await site.caller.call("GET", f"/devices/{serial}/credentials", CredentialsInfo)
        assert [(past.username, past.still_valid) for past in info.history] == [("root", False)]
        history = await site.edge.host.manager.credentials.history(serial)
        assert history[0].password == RIGHT.password
        written = b"".join(file.read_bytes() for file in site.edge.host.settings.data_dir.glob("edge.db*"))
        assert password(device).encode() not in written
        assert password(device) not in info.model_dump_json() + done.model_dump_json()


async def test_a_given_password_and_one_the_device_refuses(site: Site) -> None:
    device = site.devices[0]
    done = await site.task("/devices/tasks/rotate-password", {"ids": site.ids, "password": "Given-by-us-1"})
    assert (done.state, password(device)) == (TaskState.SUCCEEDED, "Given-by-us-1")
    device.accounts.perform = lambda fields: "Error: invalid password."  # type: ignore[method-assign]
    done = await site.task("/devices/tasks/rotate-password", {"ids": site.ids})
    assert done.state is TaskState.FAILED
    assert "goes on with its old log-in" in done.devices[0].detail
    kept = await site.edge.host.manager.credentials.get(device.serial)
    assert kept == Account("root", "Given-by-us-1")
    assert site.edge.host.manager.credentials.unresolved == set()


async def test_a_service_account_leaves_root_alone(site: Site) -> None:
    device, [serial] = site.devices[0], site.ids
    done = await site.task("/devices/tasks/service-account", {"ids": site.ids})
    assert done.state is TaskState.SUCCEEDED, done.devices
    kept = await site.edge.host.manager.credentials.get(serial)
    assert kept is not None
    assert kept.username.startswith("farsite")
    assert password(device, kept.username) == kept.password
    assert password(device) == RIGHT.password
    shown = await site.caller.call("GET", f"/devices/{serial}", Device)
    assert (shown.service_account, shown.log_in, shown.state) == (True, True, DeviceState.REACHABLE)
    done = await site.task("/devices/tasks/rotate-password", {"ids": site.ids})
    assert done.state is TaskState.SUCCEEDED
    changed = await site.edge.host.manager.credentials.get(serial)
    assert changed is not None
    assert changed.username == kept.username
    assert changed.password != kept.password
    assert (await site.caller.call("GET", f"/devices/{serial}", Device)).service_account


@pytest.mark.parametrize("kind", ["rotate-password", "service-account"])
@pytest.mark.parametrize("crash_at", ["keep", "set", "try_new", "use", "onvif", "try_old"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_killed_in_the_middle(kind: str, crash_at: str, when: str, tmp_path: Path) -> None:
    """Whatever was written down last: after the restart the edge host has the password the device takes."""
    if (kind, crash_at) == ("service-account", "try_old"):
        return
    async with site_of(tmp_path) as site:
        await site.manage()
        device, host = site.devices[0], site.edge.host
        written, crashed = host.tasks.store.checkpoint, asyncio.Event()

        async def checkpoint(row: Any, memory: dict[str, Any], step: str, detail: str) -> None:
            if step == crash_at and when == "before":
                await kill()
            await written(row, memory, step, detail)
            if step == crash_at and when == "after":
                await kill()

        async def kill() -> None:
            await host.core.database.close()
            crashed.set()
            await asyncio.Event().wait()

        host.tasks.store.checkpoint = checkpoint  # type: ignore[method-assign]
        made = await host.device_tasks.start(
            f"device.{'rotate' if kind == 'rotate-password' else 'service_account'}",
            site.ids,
            {},
            lambda _: True,
            actor="test",
            session=None,
            idempotency=None,
        )
        async with asyncio.timeout(10):
            await crashed.wait()
        await site.edge.host.__aexit__(None, None, None)
        async with run_edge(tmp_path, **FAST) as edge:
            edge.host.manager.accounts._pause = 0.05
            again = Site(edge, site.simulator)
            done = await again.finished(made.id)
            assert done.state is TaskState.SUCCEEDED, done.devices
            kept = await edge.host.manager.credentials.get(device.serial)
            assert kept is not None
            assert kept.password == password(device, kept.username)
            assert edge.host.manager.credentials.unresolved == set()
            assert len([one for one in device.accounts._by_name if one != "root"]) <= 1


async def test_a_device_that_falls_silent_is_looked_into_later(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It took the password, and nothing was heard of it: the next look finds out."""
    device, host = site.devices[0], site.edge.host
    monkeypatch.setattr("farsite_edge.devices.accounts.TRIES", 1)
    works = AccountChanger.works

    async def silent(self: AccountChanger, serial: str, account: Account | None) -> bool:
        device.fault = Fault.GARBAGE
        return await works(self, serial, account)

    monkeypatch.setattr(AccountChanger, "works", silent)
    done = await site.task("/devices/tasks/rotate-password", {"ids": site.ids})
    assert done.state is TaskState.FAILED
    assert host.manager.credentials.unresolved == {device.serial}
    monkeypatch.setattr(AccountChanger, "works", works)
    device.fault = Fault.NONE
    record = await host.manager.looks.check(device.serial, refresh=True)
    assert record.state is DeviceState.REACHABLE
    kept = await host.manager.credentials.get(device.serial)
    assert kept == Account("root", password(device))
    assert host.manager.credentials.unresolved == set()


@pytest.mark.parametrize("model", EVERY)
async def test_a_restart_is_waited_for(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farsite_edge.simulator.text_cgis.BOOT_SECONDS", 0.3)
    async with site_of(tmp_path, model) as site:
        await site.manage()
        device = site.devices[0]
        before = device.boot_id
        done = await site.task("/devices/tasks/restart", {"ids": site.ids})
        assert done.state is TaskState.SUCCEEDED, done.devices
        assert device.boot_id != before
        assert not device.booting
        assert site.edge.host.registry.get(device.serial).state is DeviceState.REACHABLE


async def test_a_device_that_does_not_come_back(tmp_path: Path) -> None:
    async with site_of(tmp_path, restart_timeout=0.5) as site:
        await site.manage()
        site.devices[0].reboot = lambda: site.devices[0].restart(60)  # type: ignore[method-assign]
        done = await site.task("/devices/tasks/restart", {"ids": site.ids})
        assert (done.state, done.devices[0].code) == (TaskState.FAILED, ErrorCode.DEVICE_UNREACHABLE)


@pytest.mark.parametrize("mode", ["soft", "hard"])
@pytest.mark.parametrize("model", ["P3265-V", "M1065-LW"])
async def test_factory_default(mode: str, model: str, tmp_path: Path) -> None:
    async with site_of(tmp_path, model) as site:
        await site.manage()
        device = site.devices[0]
        body: dict[str, Any] = {"ids": site.ids, "mode": mode}
        for confirm in ({}, {"confirm": 2}):
            with pytest.raises(FarsiteError, match="confirm"):
                await site.caller.call("POST", "/devices/tasks/factory-default", Device, body | confirm)
        assert not device.needs_setup
        done = await site.task("/devices/tasks/factory-default", body | {"confirm": 1})
        assert done.state is TaskState.SUCCEEDED, done.devices
        assert device.needs_setup
        record = site.edge.host.registry.get(device.serial)
        assert (record.state, record.log_in) == (DeviceState.SETUP_REQUIRED, False)
        assert await site.edge.host.manager.credentials.kept(device.serial) is None
        done = await site.task("/devices/tasks/set-up", {"ids": site.ids, "password": "First-one-1"})
        assert (done.state, password(device)) == (TaskState.SUCCEEDED, "First-one-1")


async def test_parameters_of_many(tmp_path: Path) -> None:
    async with site_of(tmp_path, *EVERY[:2], count=3) as site:
        await site.manage()
        site.devices[1].fault = Fault.GARBAGE
        values = {"Network.Bonjour.FriendlyName": "Gate"}
        done = await site.task("/devices/tasks/parameters", {"ids": site.ids, "values": values})
        assert [row.state for row in done.devices] == [
            WorkState.SUCCEEDED,
            WorkState.FAILED,
            WorkState.SUCCEEDED,
        ]
        assert [device.friendly_name == "Gate" for device in site.devices] == [True, False, True]


@pytest.mark.parametrize("model", EVERY)
async def test_details_come_from_the_device(model: str, tmp_path: Path) -> None:
    async with site_of(tmp_path, model) as site:
        await site.manage()
        device = site.devices[0]
        details = await site.caller.call("GET", f"/devices/{device.serial}/details", DeviceDetails)
        assert (details.full_name, details.architecture) == (
            device.model.full_name,
            device.model.architecture,
        )
        assert ("video" in details.capabilities) == device.model.video
        assert details.account == "root"
        assert details.network is not None
        assert (details.boot_id or device.boot_id) == device.boot_id
        assert details.problems == []


async def test_tags_and_lists(tmp_path: Path) -> None:
    async with site_of(tmp_path, *EVERY[:2], count=4) as site:
        await site.manage(log_in=False)
        body = {"ids": site.ids[:2], "add": ["Gate ", "north"]}
        results = await site.caller.call("POST", "/devices/tags", DeviceResults, body)
        assert all(result.ok for result in results.results)
        await site.caller.call(
            "POST", "/devices/tags", DeviceResults, {"ids": site.ids[:1], "remove": ["GATE"]}
        )
        found = await site.caller.call("GET", "/devices?tag=gate&state=managed", DeviceList)
        assert ([one.id for one in found.devices], found.total) == ([site.ids[1]], 1)
        found = await site.caller.call("GET", "/devices?search=north&sort=model&limit=1", DeviceList)
        assert (len(found.devices), found.total) == (1, 2)
        assert found.next_cursor
        await site.edge.host.manager.remove(site.ids)
        found = await site.caller.call("GET", "/devices?state=discovered", DeviceList)
        assert {one.id for one in found.devices} == set(site.ids)
        with pytest.raises(FarsiteError):
            await site.caller.call(
                "POST", "/devices/tags", DeviceResults, {"ids": site.ids, "add": ["a\x1bb"]}
            )
