"""The basic security policy on simulated devices of every generation, over HTTP and HTTPS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from farsite_edge.devices.credentials import Account
from farsite_edge.policies.security import address_filter
from farsite_edge.policies.security.catalogue import CATALOGUE
from farsite_edge.policies.security.settings import RECOMMENDED, SecuritySettings, validated
from farsite_edge.simulator.accounts import Account as DeviceAccount
from farsite_edge.simulator.faults import Fault
from farsite_edge.simulator.models import MODELS
from farsite_signaling.wire.edge_tasks import TaskState, WorkState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.policy_api import PolicyChange, PolicyMode, PolicyState
from tests.edge.policies.conftest import Rig, rig_of

NEW = "correct-horse-battery"
GOOD = (PolicyState.COMPLIANT, PolicyState.APPLIED, PolicyState.NOT_SUPPORTED)


async def secure(rig: Rig, settings: dict[str, Any], **options: Any) -> Any:
    return await rig.policy(settings, kind="security", **options)


def test_every_setting_is_in_the_catalogue_and_the_recommended_ones_agree() -> None:
    assert set(CATALOGUE) == set(SecuritySettings.model_fields)
    assert validated(RECOMMENDED, {}) == RECOMMENDED


@pytest.mark.parametrize("https", [False, True], ids=["http", "https"])
async def test_recommended_settings_on_every_generation(tmp_path: Path, https: bool) -> None:
    async with rig_of(tmp_path, *MODELS, count=len(MODELS), https=https) as rig:
        policy = await rig.policy(kind="security")
        task, _ = await rig.run(policy)
        devices = await rig.edge.host.tasks.devices(task.id)
        assert task.state is TaskState.SUCCEEDED, [(one.device, one.detail) for one in devices]
        for device in rig.simulator.devices:
            result = rig.result(policy, device.serial)
            states = {one.setting: one.state for one in result.settings}
            assert set(states) == set(RECOMMENDED)
            assert set(states.values()) <= set(GOOD), (device.version, states)
            assert device.parameters["Network.ZeroConf.Enabled"] == "no"
            assert device.failed_logins == 0
            if device.model.generation == "5.51":
                assert device.parameters["Network.FTP.Enabled"] == "no"
                assert states["brute_force_protection"] is PolicyState.NOT_SUPPORTED
            if device.model.generation == "12":
                assert device.rest.password_policy == "length"
                assert device.parameters["Network.HTTP.AuthenticationPolicy"] == "recommended"
        again, _ = await rig.run(policy)
        steps = [step.step for one in await rig.edge.host.tasks.devices(again.id) for step in one.steps]
        assert set(steps) == {"succeeded"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"https_only": True, "https": False}, "cannot be the only way"),
        ({"https": False, "minimum_tls": "1.2"}, "what TLS has to be like"),
        ({"brute_force_protection": False, "brute_force_block_seconds": 10}, "nobody is blocked"),
        ({"rtsp": False, "rtsps": True}, "needs RTSP"),
        ({"authentication": "basic"}, "shows passwords"),
        ({"upnp": False, "upnp_nat_traversal": True}, "needs UPnP"),
        ({"root_password": "short", "password_policy": "length"}, "shorter than the 15"),
        ({"root_password": "longenoughbutplain", "password_policy": "complex"}, "four|upper and lower"),
        ({"root_password": "ä"}, "printable ASCII"),
        ({"allowed_addresses": ["0.0.0.0/0"]}, "everybody"),
        ({"allowed_addresses": ["10.0.0.300"]}, "no address or subnet"),
        ({"sssh": False}, "sssh: there is no such setting"),
        ({"ssh": "off"}, "ssh: "),
        ({}, "no settings"),
        ({"minimum_tls": "1.3"}, "minimum_tls"),
    ],
)
async def test_what_contradicts_itself_is_refused(rig: Rig, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(FarsiteError, match=said) as raised:
        await secure(rig, settings, apply=False)
    assert raised.value.code is ErrorCode.INVALID_REQUEST
    assert rig.service.store.all() == []
    assert await rig.edge.host.core.vault.names("policy:") == []


async def test_https_only_after_https_is_proven(tmp_path: Path) -> None:
    """Known by HTTP only until then: from now on the edge host speaks HTTPS with it."""
    async with rig_of(tmp_path, https=True) as rig:
        serial = rig.device.serial
        registry = rig.edge.host.registry
        await registry.update(serial, https_port=None, pin=None)
        policy = await secure(rig, {"https_only": True})
        task, row = await rig.run(policy)
        assert task.state is TaskState.SUCCEEDED, row.detail
        assert rig.device.parameters["System.BoaGroupPolicy.admin"] == "https"
        record = registry.get(serial)
        assert record.https_port == rig.device.https_port and record.pin
        assert (await rig.edge.host.manager.looks.check(serial, refresh=True)).last_error is None
        undone = await rig.service.change(policy.id, PolicyChange(settings={"https_only": False}))
        assert (await rig.run(undone))[0].state is TaskState.SUCCEEDED
        assert rig.device.parameters["System.BoaGroupPolicy.admin"] == "both"


async def test_https_that_does_not_work_is_not_made_the_only_way(tmp_path: Path) -> None:
    async with rig_of(tmp_path, https=False) as rig:
        rig.device.parameters["HTTPS.Port"] = "9"
        policy = await secure(rig, {"https_only": True})
        _, row = await rig.run(policy)
        assert row.state is WorkState.FAILED
        assert rig.device.parameters["System.BoaGroupPolicy.admin"] == "both"
        assert "was not made the only way in" in rig.setting(policy, "https_only").detail
        assert rig.edge.host.registry.get(rig.device.serial).https_port is None


@pytest.mark.parametrize("model", ["P3265-V", "P3245-LVE", "M1065-LW", "M3024-L"])
async def test_addresses_by_filter_or_firewall(tmp_path: Path, model: str) -> None:
    async with rig_of(tmp_path, model) as rig:
        policy = await secure(rig, {"allowed_addresses": ["127.0.0.0/8", "10.0.0.5"]})
        task, row = await rig.run(policy)
        assert task.state is TaskState.SUCCEEDED, row.detail
        if model == "P3265-V":
            firewall = rig.device.rest.firewall
            assert firewall.activated and firewall.confirmed.policy == "DROP" and firewall.tried is None
            assert not firewall.lets_in("192.0.2.1", rig.device.now())
        else:
            assert rig.device.parameters["Network.Filter.Enabled"] == "yes"
        assert rig.setting(policy, "allowed_addresses").state is PolicyState.APPLIED


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"allowed_addresses": ["192.0.2.0/24"]}, "leaves out the edge host's own address 127.0.0.1"),
        ({"https": False}, "reaches the device over HTTPS"),
    ],
)
async def test_it_never_shuts_us_out(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    async with rig_of(tmp_path, "P3265-V", https=True) as rig:
        policy = await secure(rig, {**settings, "access_log": True})
        _, row = await rig.run(policy)
        assert row.state is WorkState.FAILED
        name = next(iter(settings))
        assert said in rig.setting(policy, name).detail
        assert rig.setting(policy, "access_log").state is PolicyState.APPLIED
        assert (await rig.edge.host.manager.looks.check(rig.device.serial, refresh=True)).last_error is None


async def test_rules_that_shut_us_out_all_the_same_go_away_by_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device sees us at another address than our routing table says (NAT): its own clock ends the trial."""
    monkeypatch.setattr(address_filter, "TEST_SECONDS", 1)
    async with rig_of(tmp_path, policy_recover_timeout=1.1) as rig:
        policy = await secure(rig, {"allowed_addresses": ["127.0.0.1"]})
        firewall = rig.device.rest.firewall
        lets_in = firewall.lets_in
        firewall.lets_in = lambda _caller, now: lets_in("198.51.100.1", now)  # type: ignore[method-assign]
        task, row = await rig.run(policy)
        assert task.state is TaskState.FAILED and "It was undone" in row.detail, row.detail
        assert (await rig.edge.host.manager.looks.check(rig.device.serial, refresh=True)).last_error is None
        assert firewall.confirmed.policy == "ACCEPT" and not firewall.activated


async def test_the_root_password_of_another_account_s_device(tmp_path: Path) -> None:
    async with rig_of(tmp_path, "P3265-V") as rig:
        rig.device.accounts.put(DeviceAccount("service", "service-password"))
        manager = rig.edge.host.manager
        [result] = await manager.log_in([rig.device.serial], Account("service", "service-password"))
        assert result.ok
        policy = await secure(rig, {"root_password": NEW}, mode=PolicyMode.REPORT_ONLY)
        await rig.run(policy)
        assert rig.setting(policy, "root_password").found == "another"
        policy = await rig.service.change(policy.id, PolicyChange(mode=PolicyMode.ENFORCE))
        assert (await rig.run(policy))[0].state is TaskState.SUCCEEDED
        root = rig.device.accounts.get("root")
        assert root is not None and root.password == NEW
        kept = await rig.edge.host._credentials.get(rig.device.serial)
        assert kept == Account("service", "service-password")


async def test_a_device_without_root_has_no_root_password(tmp_path: Path) -> None:
    async with rig_of(tmp_path, "P3265-V") as rig:
        rig.device.accounts.put(DeviceAccount("service", "service-password"))
        await rig.edge.host.manager.log_in([rig.device.serial], Account("service", "service-password"))
        rig.device.accounts.perform({"action": "remove", "user": "root"})
        policy = await secure(rig, {"root_password": NEW})
        assert (await rig.run(policy))[0].state is TaskState.SUCCEEDED
        assert rig.setting(policy, "root_password").state is PolicyState.NOT_SUPPORTED


async def test_a_device_that_refuses_the_password_keeps_the_old_one(rig: Rig) -> None:
    policy = await secure(rig, {"root_password": "short"})
    rig.device.rest.password_policy = "length"
    before = rig.device.password
    _, row = await rig.run(policy)
    assert row.state is WorkState.FAILED and "refused the account" in row.detail
    assert await rig.edge.host._credentials.get(rig.device.serial) == Account("root", before)
    assert (await rig.edge.host.manager.looks.check(rig.device.serial, refresh=True)).last_error is None


async def test_an_old_password_that_still_works_is_no_success(rig: Rig) -> None:
    policy = await secure(rig, {"root_password": NEW})
    right = rig.device.gate._right
    rig.device.gate._right = lambda account, fields, method: (  # type: ignore[method-assign]
        right(account, fields, method)
        or right(DeviceAccount(account.name, rig.device.password), fields, method)
    )
    _, row = await rig.run(policy)
    assert row.state is WorkState.FAILED and "old password still works" in row.detail
    assert rig.setting(policy, "root_password").state is PolicyState.FAILED
    assert (await rig.edge.host.manager.looks.check(rig.device.serial, refresh=True)).last_error is None


async def test_secrets_are_in_the_vault_and_nowhere_else(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    canary = "canary-in-a-coal-mine"
    policy = await secure(rig, {"root_password": canary})
    with caplog.at_level("DEBUG"):
        task, _ = await rig.run(policy)
    assert task.state is TaskState.SUCCEEDED
    assert policy.settings == {"root_password": True}
    assert canary not in caplog.text and canary not in rig.service.export(policy.id).model_dump_json()
    changed = await rig.service.change(
        policy.id, PolicyChange(settings={"root_password": True, "ssh": False})
    )
    assert changed.secrets == policy.secrets
    await rig.service.delete(policy.id)
    assert await rig.edge.host.core.vault.names("policy:") == []
    for file in (rig.folder / "edge").glob("edge.db*"):
        assert canary.encode() not in file.read_bytes()


async def test_a_device_that_forgets_what_it_took_is_named(rig: Rig) -> None:
    rig.device.parameters["Network.SSH.Enabled"] = "yes"
    rig.device.parameters.faults.ignores = {"Network.SSH.Enabled"}
    rig.device.parameters.faults.refuses = {"System.AccessLog"}
    policy = await secure(rig, {"ssh": False, "access_log": True, "upnp": False, "link_local": False})
    _, row = await rig.run(policy)
    assert row.state is WorkState.FAILED and "2 of 4" in row.detail
    assert "reads back otherwise" in rig.setting(policy, "ssh").detail
    assert "refused the change" in rig.setting(policy, "access_log").detail
    assert rig.setting(policy, "link_local").state is PolicyState.APPLIED


@pytest.mark.parametrize("fault", ["hang", "login_loop", "redirect", "garbage", "endless"])
async def test_an_evil_device_stops_nobody_else(tmp_path: Path, fault: str) -> None:
    async with rig_of(tmp_path, count=2, device_timeout=0.5, policy_recover_timeout=0.8) as rig:
        bad, good = rig.simulator.devices
        policy = await secure(rig, {"access_log": True})
        bad.fault = Fault(fault)
        task = await rig.begin(policy)
        await rig.finished(task)
        rows = {row.device: row for row in await rig.edge.host.tasks.devices(task)}
        assert rows[good.serial].state is WorkState.SUCCEEDED
        assert rows[bad.serial].state is WorkState.FAILED and rows[bad.serial].detail
        assert bad.parameters["System.AccessLog"] == "Off"
        assert bad.failed_logins == 0
        assert rig.result(policy, bad.serial).state in (PolicyState.PENDING, PolicyState.FAILED)


async def test_syslog_is_set_up_and_switched_back(rig: Rig) -> None:
    server = {"address": "192.0.2.7", "port": 6514, "protocol": "TLS"}
    policy = await secure(rig, {"syslog": server, "unsigned_apps": False, "lldp": False})
    assert (await rig.run(policy))[0].state is TaskState.SUCCEEDED
    assert rig.device.parameters["API.RemoteSyslog1.Server1.Address"] == "192.0.2.7"
    assert rig.device.parameters["API.RemoteSyslog1.Enabled"] == "true"
    assert not rig.device.rest.lldp and not rig.device.allow_unsigned


async def test_weak_ciphers_are_left_out(tmp_path: Path) -> None:
    async with rig_of(tmp_path, "P3245-LVE", https=True) as rig:
        policy = await secure(rig, {"strong_ciphers": True, "minimum_tls": "1.2"})
        assert (await rig.run(policy))[0].state is TaskState.SUCCEEDED
        assert "AES128-GCM-SHA256" not in rig.device.parameters["HTTPS.Ciphers"].split(":")
        assert rig.device.parameters["HTTPS.AllowTLS11"] == "no"


async def test_a_pending_password_is_settled_even_when_the_log_in_is_refused(rig: Rig) -> None:
    """Killed right after the device took the new password, and then refused with the old one by the monitor."""
    policy = await secure(rig, {"root_password": NEW})
    task = await rig.begin(policy)
    rig.device.upgrade_faults.answer_lost = False
    access = rig.edge.host.policies.job._access(rig.device.serial)
    await rig.finished(task)
    await access.credentials.keep(rig.device.serial, Account("root", rig.device.password))
    await access.vault.put(
        f"policy-password:{rig.device.serial}", '{"new": "correct-horse-battery", "user": "root"}'
    )
    await rig.edge.host.manager.looks.check(rig.device.serial, refresh=True)
    assert rig.edge.host.registry.get(rig.device.serial).state == "credentials_required"
    for made in await rig.edge.host.policies.keeper.round():
        await rig.finished(made.id)
    assert rig.edge.host.registry.get(rig.device.serial).state == "reachable"
    assert await access.credentials.get(rig.device.serial) == Account("root", NEW)


@pytest.mark.parametrize("choice", ["v3", "off"])
async def test_snmp_by_rest_where_a_device_has_it(tmp_path: Path, choice: str) -> None:
    """AXIS OS 12 takes it through REST, older ones by their parameters."""
    async with rig_of(tmp_path, "P3265-V", "P3245-LVE", count=2) as rig:
        for device in rig.simulator.devices:
            for name in ("Enabled", "V1", "V2c"):
                device.parameters[f"SNMP.{name}"] = "yes"
        new, old = rig.simulator.devices
        new.parameters.faults.ignores |= {"SNMP.V1", "SNMP.V2c", "SNMP.Enabled"}
        policy = await secure(rig, {"snmp": choice})
        task, _ = await rig.run(policy)
        assert task.state is TaskState.SUCCEEDED
        for device in (new, old):
            assert (device.parameters["SNMP.V1"], device.parameters["SNMP.V2c"]) == ("no", "no")
            assert device.parameters["SNMP.Enabled"] == ("no" if choice == "off" else "yes")
            assert rig.result(policy, device.serial).settings[0].state is PolicyState.APPLIED
