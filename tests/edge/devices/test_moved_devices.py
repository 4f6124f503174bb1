"""Devices that change their address, their certificate, or have it taken by somebody else."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from farsite_edge.discovery import FoundDevice, Method
from farsite_edge.discovery.merge import merge
from farsite_edge.simulator import SimulatedDevice
from farsite_signaling.wire.device_api import NetworkSettings
from farsite_signaling.wire.edge_api import Device, DeviceState
from farsite_signaling.wire.edge_tasks import TaskState
from farsite_signaling.wire.errors import FarsiteError
from tests.edge.devices.conftest import Site, found, site_of

# Addresses of their own, as on a site; each test has a network to itself.
SECURE = {"bind": "127.0.46.0/24", "first_port": 8046}


async def seen(site: Site, device: SimulatedDevice, *, secure: bool = True, **claims: str) -> None:
    """As a discovery would have it; `serial` and `address` may be somebody else's."""
    told = found(device, secure=secure)
    answer = FoundDevice(
        claims.get("serial", told.serial),
        claims.get("address", told.address),
        told.http_port,
        told.https_port,
        by=(Method.HTTP,),
    )
    await site.edge.host.registry.found([answer])


async def look(site: Site, serial: str) -> Device:
    return (await site.edge.host.manager.looks.check(serial, refresh=True)).shown()


async def test_a_device_that_moved_is_followed_by_its_certificate(tmp_path: Path) -> None:
    async with site_of(tmp_path, **SECURE) as site:
        await site.manage()
        device = site.devices[0]
        old = device.address
        await device.move("127.0.46.99")
        assert (await look(site, device.serial)).state is DeviceState.UNREACHABLE
        await seen(site, device)
        assert site.edge.host.registry.get(device.serial).address == old
        now = await look(site, device.serial)
        assert (now.state, now.address, now.seen_at) == (DeviceState.REACHABLE, "127.0.46.99", None)


async def test_one_with_the_same_serial_and_another_certificate_is_not(tmp_path: Path) -> None:
    """It says to be the device, as loud as it likes: no password goes there."""
    async with site_of(tmp_path, count=2, **SECURE) as site:
        await site.manage()
        device, liar = site.devices
        await device.stop()
        liar.gate.realm = f"AXIS_{device.serial}"
        liar.serial = device.serial
        asked = liar.failed_logins
        await seen(site, liar, serial=device.serial)
        now = await look(site, device.serial)
        assert (now.state, now.address) == (DeviceState.UNREACHABLE, device.address)
        assert now.seen_at == liar.address
        assert liar.failed_logins == asked


async def test_what_is_said_elsewhere_is_not_said_by_a_managed_device(tmp_path: Path) -> None:
    async with site_of(tmp_path, **SECURE) as site:
        await site.manage()
        registry, told = site.edge.host.registry, found(site.devices[0])
        before = registry.get(told.serial)
        other = replace(told, address="127.0.46.77", model="P1", product="Q", version="99.1", brand="Other")
        await registry.found([other])
        announced = replace(other, address=told.address, by=(Method.MDNS,))
        await registry.found([announced, merge(told, other), merge(other, told)])
        now = registry.get(told.serial)
        names = {"model", "product", "version", "brand", "address", "state"}
        assert now.model_dump(include=names) == before.model_dump(include=names)
        await registry.found([replace(told, version="12.10.1")])
        assert registry.get(told.serial).version == "12.10.1", "upgraded by its own web page"


@pytest.mark.parametrize("model", ["M3024-L", "M1065-LW"])
async def test_without_certificates_the_log_in_says_who_it_is(model: str, tmp_path: Path) -> None:
    async with site_of(tmp_path, model, https=False, bind="127.0.47.0/24", first_port=8047) as site:
        await site.manage(secure=False)
        device = site.devices[0]
        await device.move("127.0.47.99")
        await look(site, device.serial)
        await seen(site, device, secure=False)
        now = await look(site, device.serial)
        assert (now.state, now.address) == (DeviceState.REACHABLE, "127.0.47.99")


@pytest.mark.parametrize("secure", [True, False])
async def test_a_newcomer_at_an_old_address_gets_no_password(secure: bool, tmp_path: Path) -> None:
    options = {"bind": "127.0.48.0/24", "first_port": 8048, "https": secure}
    async with site_of(tmp_path, "P3265-V", count=2, **options) as site:
        await site.manage(secure=secure)
        device, newcomer = site.devices
        place = device.address
        await device.move("127.0.48.99")
        await newcomer.move(place)
        before = (newcomer.failed_logins, newcomer.requests)
        now = await look(site, device.serial)
        wanted = DeviceState.CERTIFICATE_CHANGED if secure else DeviceState.UNREACHABLE
        assert now.state is wanted, now.last_error
        with pytest.raises(FarsiteError):
            await site.edge.host.manager.parameters(device.serial, ["Brand"])
        assert newcomer.failed_logins == before[0]
        await seen(site, device, secure=secure)
        now = await look(site, device.serial)
        assert (now.state, now.address) == (DeviceState.REACHABLE, "127.0.48.99")


async def test_a_device_that_does_not_say_who_it_is_gets_no_password(tmp_path: Path) -> None:
    async with site_of(tmp_path, "M3024-L", https=False) as site:
        await site.manage(secure=False, log_in=False)
        device = site.devices[0]
        device.gate.realm = "Something else"
        body = {"ids": site.ids, "credentials": [{"username": "root", "password": "canary"}]}
        done = await site.task("/devices/tasks/log-in", body)
        assert done.state is TaskState.FAILED
        assert "does not say which device it is" in done.devices[0].detail
        assert device.failed_logins == 0


async def change_certificate(device: SimulatedDevice) -> None:
    await device.stop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("other").configure_cert(context)
    device._tls = context
    await device.start()


async def test_a_changed_certificate_is_accepted_by_its_fingerprint(site: Site) -> None:
    device, caller = site.devices[0], site.caller
    await change_certificate(device)
    now = await look(site, device.serial)
    assert now.state is DeviceState.CERTIFICATE_CHANGED
    assert now.new_fingerprint
    assert now.new_fingerprint != now.fingerprint
    path = f"/devices/{device.serial}/certificate"
    for wrong in ("00" * 32, now.fingerprint):
        with pytest.raises(FarsiteError, match="not the one you named"):
            await caller.call("POST", path, Device, {"fingerprint": wrong})
    accepted = await caller.call("POST", path, Device, {"fingerprint": now.new_fingerprint})
    assert (accepted.state, accepted.fingerprint) == (DeviceState.REACHABLE, now.new_fingerprint)
    assert accepted.new_fingerprint is None


NETWORK = {"bind": "127.0.49.0/24", "first_port": 8049}


@pytest.mark.parametrize("model", ["P3265-V", "M3024-L"])
async def test_a_new_address(model: str, tmp_path: Path) -> None:
    async with site_of(tmp_path, model, **NETWORK) as site:
        secure = site.devices[0].https_port is not None
        await site.manage(secure=secure)
        device = site.devices[0]
        path = f"/devices/{device.serial}/network"
        body = {"mode": "static", "address": "127.0.49.77/24", "router": "127.0.49.200"}
        done = await site.task(path, body, method="PUT")
        assert done.state is TaskState.SUCCEEDED, done.devices
        assert device.address == "127.0.49.77"
        shown = await site.caller.call("GET", path, NetworkSettings)
        assert (shown.mode, shown.address, shown.router) == ("static", "127.0.49.77/24", "127.0.49.200")
        assert site.edge.host.registry.get(device.serial).state is DeviceState.REACHABLE
        done = await site.task(path, body, method="PUT")
        assert "already" in done.devices[0].detail


async def test_dhcp_gives_another_address(tmp_path: Path) -> None:
    async with site_of(tmp_path, **NETWORK) as site:
        await site.manage()
        device = site.devices[0]
        device.network.mode, device.network.dhcp_address = "static", "127.0.49.55"
        answering = asyncio.Event()

        async def search(_: str) -> None:
            if device.address == "127.0.49.55":
                await seen(site, device)
                answering.set()

        site.edge.host.device_tasks.kinds["device.network"]._act._search = search  # type: ignore[attr-defined]
        done = await site.task(f"/devices/{device.serial}/network", {"mode": "dhcp"}, method="PUT")
        assert done.state is TaskState.SUCCEEDED, done.devices
        assert answering.is_set()
        assert site.edge.host.registry.get(device.serial).address == "127.0.49.55"


async def test_a_device_that_lands_elsewhere_gets_its_settings_back(tmp_path: Path) -> None:
    async with site_of(tmp_path, **NETWORK) as site:
        await site.manage()
        device = site.devices[0]
        old = device.address
        device.network.mode, device.network.router = "static", "127.0.49.200"
        device.network.lands_at = "127.0.49.66"

        async def search(_: str) -> None:
            await seen(site, device)

        site.edge.host.device_tasks.kinds["device.network"]._act._search = search  # type: ignore[attr-defined]
        body = {"mode": "static", "address": "127.0.49.77/24"}
        done = await site.task(f"/devices/{device.serial}/network", body, method="PUT")
        assert done.state is TaskState.FAILED
        assert "put back" in done.devices[0].detail
        assert (device.address, device.network.router) == (old, "127.0.49.200")
        record = site.edge.host.registry.get(device.serial)
        assert (record.address, record.state) == (old, DeviceState.REACHABLE)


async def test_a_device_that_changes_nothing(tmp_path: Path) -> None:
    async with site_of(tmp_path, address_change_timeout=0.4, **NETWORK) as site:
        await site.manage()
        device = site.devices[0]
        device.network.deaf = True
        body = {"mode": "static", "address": "127.0.49.77/24"}
        done = await site.task(f"/devices/{device.serial}/network", body, method="PUT")
        assert (done.state, "kept its former settings" in done.devices[0].detail) == (TaskState.FAILED, True)


async def test_an_address_somebody_has_is_not_given(tmp_path: Path) -> None:
    async with site_of(tmp_path, "P3265-V", count=2, **NETWORK) as site:
        await site.manage()
        first, second = site.devices
        body = {"mode": "static", "address": f"{second.address}/24"}
        done = await site.task(f"/devices/{first.serial}/network", body, method="PUT")
        assert (done.state, done.devices[0].code) == (TaskState.FAILED, "conflict")
        assert second.serial in done.devices[0].detail
        for wrong in (
            {"mode": "static"},
            {"mode": "static", "address": "127.0.49.0/24"},
            {"mode": "static", "address": "127.0.49.9/24", "router": "10.0.0.1"},
            {"mode": "dhcp", "address": "127.0.49.9/24"},
        ):
            with pytest.raises(FarsiteError):
                await site.caller.call("PUT", f"/devices/{first.serial}/network", Device, wrong)
