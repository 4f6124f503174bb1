"""ONVIF accounts are kept by devices apart from their own: they get the same password, and never shut us out."""

from __future__ import annotations

from pathlib import Path

import pytest

from farsite_edge.devices.credentials import Account
from farsite_edge.policies.record import PolicyRecord
from farsite_edge.vapix.errors import ApiMissing
from farsite_edge.vapix.onvif_users import GetOnvifUsers, OnvifUser, SetOnvifUser
from farsite_edge.vapix.request import Answer
from farsite_edge.vapix.soap import SOAP
from farsite_signaling.wire.edge_api import DeviceState
from farsite_signaling.wire.edge_tasks import TaskState
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.policy_api import PolicyChange, PolicyMode, PolicyState
from tests.edge.devices.conftest import RIGHT, Site, site_of
from tests.edge.policies.conftest import Rig, rig_of

NEW = "correct-horse-battery"


async def kept(site: Site) -> Account | None:
    return await site.edge.host.manager.credentials.get(site.ids[0])


@pytest.mark.parametrize("model", ["P3265-V", "M1065-LW", "M3024-L"])
async def test_a_rotated_password_is_that_of_onvif_too(model: str, tmp_path: Path) -> None:
    async with site_of(tmp_path, model) as site:
        await site.manage()
        onvif = site.devices[0].onvif
        onvif.add("root", RIGHT.password, "Operator")
        onvif.add("nvr", "its-own")
        done = await site.task("/devices/tasks/rotate-password", {"ids": site.ids})
        assert done.state is TaskState.SUCCEEDED, done.devices
        account = await kept(site)
        assert account is not None and onvif.by_name["root"] == (account.password, "Operator")
        assert onvif.password("nvr") == "its-own"
        written = b"".join(file.read_bytes() for file in site.edge.host.settings.data_dir.glob("edge.db*"))
        assert account.password.encode() not in written


async def test_no_onvif_account_is_made(site: Site) -> None:
    for kind in ("rotate-password", "service-account"):
        done = await site.task(f"/devices/tasks/{kind}", {"ids": site.ids})
        assert done.state is TaskState.SUCCEEDED, done.devices
    assert site.devices[0].onvif.by_name == {}


@pytest.mark.parametrize("fault", ["refuses", "deaf"])
async def test_one_that_stays_behind_costs_nothing_and_is_told(fault: str, tmp_path: Path) -> None:
    async with site_of(tmp_path, device_timeout=1.5) as site:
        await site.manage()
        device = site.devices[0]
        device.onvif.add("root", RIGHT.password)
        setattr(device.onvif, fault, True)
        done = await site.task("/devices/tasks/rotate-password", {"ids": site.ids})
        assert done.state is TaskState.FAILED and "ONVIF account" in done.devices[0].detail
        account, root = await kept(site), device.accounts.get("root")
        assert (
            account is not None and root is not None and account.password == root.password != RIGHT.password
        )
        record = site.edge.host.registry.get(device.serial)
        assert record.state is DeviceState.REACHABLE
        assert site.edge.host.manager.credentials.unresolved == set()
        setattr(device.onvif, fault, False)
        done = await site.task("/devices/tasks/rotate-password", {"ids": site.ids})
        assert done.state is TaskState.SUCCEEDED
        account = await kept(site)
        assert account is not None and device.onvif.password("root") == account.password


async def secure(rig: Rig, mode: PolicyMode = PolicyMode.ENFORCE) -> PolicyRecord:
    return await rig.policy({"root_password": NEW}, kind="security", mode=mode)


async def test_a_policy_keeps_both_in_step(tmp_path: Path) -> None:
    async with rig_of(tmp_path, "M1065-LW") as rig:
        rig.device.onvif.add("root", rig.device.password)
        policy = await secure(rig)
        task, row = await rig.run(policy)
        assert task.state is TaskState.SUCCEEDED, row.detail
        assert rig.device.onvif.password("root") == NEW
        assert rig.setting(policy, "root_password").state is PolicyState.APPLIED
        task, row = await rig.run(policy)
        assert task.state is TaskState.SUCCEEDED and all(step.step != "apply" for step in row.steps), (
            row.steps
        )
        assert rig.setting(policy, "root_password").state is PolicyState.APPLIED
        # One that is made later may have any password: it is given this one.
        rig.device.onvif.by_name.clear()
        await rig.run(policy)
        await rig.edge.host.manager.credentials.forget_onvif(rig.device.serial)
        rig.device.onvif.add("root", "another")
        policy = await rig.service.change(policy.id, PolicyChange(mode=PolicyMode.REPORT_ONLY))
        await rig.run(policy)
        found = rig.setting(policy, "root_password")
        assert found.state is PolicyState.DEVIATING and "ONVIF" in found.found
        assert rig.device.onvif.password("root") == "another"
        policy = await rig.service.change(policy.id, PolicyChange(mode=PolicyMode.ENFORCE))
        assert (await rig.run(policy))[0].state is TaskState.SUCCEEDED
        assert rig.device.onvif.password("root") == NEW


async def test_a_policy_names_an_onvif_account_that_refuses(tmp_path: Path) -> None:
    async with rig_of(tmp_path, "M1065-LW") as rig:
        rig.device.onvif.add("root", rig.device.password)
        rig.device.onvif.refuses = True
        policy = await secure(rig)
        task, _ = await rig.run(policy)
        assert task.state is TaskState.FAILED
        assert "ONVIF account root keeps another password" in rig.setting(policy, "root_password").detail
        assert await rig.edge.host.manager.credentials.get(rig.device.serial) == Account("root", NEW)
        assert (await rig.edge.host.manager.looks.check(rig.device.serial, refresh=True)).last_error is None


def answer(body: str, status: int = 200) -> Answer:
    names = 'xmlns:d="http://www.onvif.org/ver10/device/wsdl" xmlns:t="http://www.onvif.org/ver10/schema"'
    return Answer(
        status, f'<s:Envelope xmlns:s="{SOAP}" {names}><s:Body>{body}</s:Body></s:Envelope>'.encode()
    )


def test_lists_of_onvif_accounts() -> None:
    users = "".join(
        f"<d:User><t:Username>{name}</t:Username><t:UserLevel>{level}</t:UserLevel></d:User>"
        for name, level in [("root", "Administrator"), ("", "User"), ("ro\x85ot", "Extended")]
    )
    found = GetOnvifUsers().parse(answer(f"<d:GetUsersResponse>{users}</d:GetUsersResponse>"))
    assert found == [OnvifUser("root", "Administrator"), OnvifUser("root", "Extended")]
    assert GetOnvifUsers().parse(answer("<d:GetUsersResponse/>")) == []
    fault = "<s:Fault><s:Code><s:Value>ter:ActionNotSupported</s:Value></s:Code></s:Fault>"
    with pytest.raises(ApiMissing):
        GetOnvifUsers().parse(answer(fault, 500))
    with pytest.raises(FarsiteError):
        GetOnvifUsers().parse(answer("<d:SomethingElse/>"))


def test_passwords_cannot_leave_their_element() -> None:
    body = SetOnvifUser(OnvifUser("root", "User"), "a<b>&'\"").body().decode()
    assert "<tt:Password>a&lt;b&gt;&amp;'\"</tt:Password>" in body
    assert "a<b" not in repr(SetOnvifUser(OnvifUser("root", "User"), "a<b>"))
