"""`farsite apps|certificates|device assign` and their SDK against a real edge host with simulated devices."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from typer.testing import CliRunner

from farsite_client.cli import device as device_commands
from farsite_client.cli import tasks as task_commands
from farsite_client.cli.main import application
from farsite_client.edge import EdgeClient
from farsite_edge.admin.site import FILE, AdminAddress
from farsite_edge.devices.credentials import Account
from farsite_edge.discovery import FoundDevice
from farsite_edge.simulator import SimulatedDevice, Simulator, describe
from farsite_edge.simulator.applications import SimulatedApp
from farsite_edge.testing import run_edge
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from tests.edge.apps.packages import eap


@dataclass
class Site:
    client: EdgeClient
    device: SimulatedDevice

    async def run(self, *words: str, code: int = 0) -> str:
        result = await asyncio.to_thread(CliRunner().invoke, application(), list(words))
        assert result.exit_code == code, (result.output, result.exception)
        return result.output


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    options = {
        "poll_interval": 3600,
        "discovery_interval": 3600,
        "policy_poll": 600,
        "apps": tmp_path / "apps",
    }
    eap(tmp_path / "apps", "vmd", "1.0", "aarch64")
    (tmp_path / "apps" / "bad.eap").write_bytes(b"bad")
    async with (
        Simulator(describe(1, ["P3265-V"]), https=False) as simulator,
        run_edge(tmp_path, **options) as edge,
    ):
        [one] = simulator.devices
        await edge.host.registry.found([FoundDevice(one.serial, one.address, one.http_port)])
        await edge.host.manager.add([one.serial])
        await edge.host.manager.log_in([one.serial], Account(one.username, one.password))
        address = AdminAddress.model_validate_json((tmp_path / FILE).read_bytes())
        assert address.unix

        @asynccontextmanager
        async def reach(*_: Any) -> AsyncIterator[EdgeClient]:
            async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(address.unix)) as session:
                yield EdgeClient(session, base="http://localhost")

        monkeypatch.setattr(task_commands, "reach", reach)
        monkeypatch.setattr(device_commands, "reach", reach)
        async with reach() as client:
            yield Site(client, one)


async def test_an_app_without_a_package_is_told_of_at_once(site: Site) -> None:
    said = await site.run("apps", "Garage", "policy", "Later", "vmd", "fenceguard")
    assert "warning: fenceguard: There is no package of it in the app folder." in said
    assert "warning: vmd" not in said
    [made] = await site.client.policies.all()
    assert (await site.client.policies.get(made.id)).warnings[0].startswith("fenceguard: ")
    changed = await site.run("policies", "Garage", "edit", "Later", "--set", "apps=vmd")
    assert "warning" not in changed
    document = await site.client.policies.template(made.id)
    other = document.model_copy(update={"id": "other", "settings": {"apps": ["loiterguard"]}})
    assert (await site.client.policies.apply_template(other)).policy.warnings[0].startswith("loiterguard: ")


async def test_apps(site: Site) -> None:
    shown = json.loads(await site.run("apps", "Garage", "packages", "--json"))
    assert {one["file"]: one["problem"] for one in shown}["bad.eap"] == "It is no app package."
    assert "vmd" in await site.run("apps", "Garage", "packages")
    made = json.loads(
        await site.run(
            "apps", "Garage", "policy", "Motion", "vmd@1.0:running", "--window", "00:00-00:00", "--json"
        )
    )
    assert made["settings"]["window"]["start"] == "00:00:00"
    await site.run("policies", "Garage", "apply", "Motion", site.device.serial, "--wait")
    assert site.device.applications.apps["vmd"].status == "Running"
    assert "running" in await site.run("apps", "Garage", "list", site.device.serial)
    await site.run("apps", "Garage", "stop", site.device.serial, "vmd")
    assert site.device.applications.apps["vmd"].status == "Stopped"
    with pytest.raises(FarsiteError, match="not installed") as caught:
        await site.client.apps.control(site.device.serial, "nothing", "start")
    assert caught.value.code is ErrorCode.DEVICE_ANSWER
    await site.run("apps", "Garage", "remove", site.device.serial, "vmd")
    assert site.device.applications.apps == {}


async def test_licence_keys(site: Site, tmp_path: Path) -> None:
    apps = site.device.applications
    apps.apps["counter"] = SimulatedApp("counter", "1.0", license="Missing")
    key = tmp_path / "counter.key"
    with pytest.raises(FarsiteError, match="another serial number"):
        await site.client.apps.license(site.device.serial, "counter", f"{'0' * 12} counter")
    key.write_text(f"{site.device.serial} counter")
    shown = json.loads(
        await site.run("apps", "Garage", "license", site.device.serial, "counter", str(key), "--json")
    )
    assert [(one["name"], one["license"]) for one in shown] == [("counter", "Valid")]
    await site.run("apps", "Garage", "start", site.device.serial, "counter")
    with pytest.raises(FarsiteError, match="not installed"):
        await site.client.apps.license(site.device.serial, "other", "a key")
    await site.run("apps", "Garage", "license", site.device.serial, "counter", "--remove")
    assert apps.apps["counter"].license == "Missing"
    await site.run("apps", "Garage", "license", site.device.serial, "counter", code=2)


async def test_certificates(site: Site) -> None:
    assert "No certificates policy" in await site.run("certificates", "Garage", "list")
    await site.run("certificates", "Garage", "policy", "HTTPS", "--days", "30")
    await site.run("policies", "Garage", "apply", "HTTPS", site.device.serial, "--wait", code=1)
    [row] = json.loads(await site.run("certificates", "Garage", "list", "--json"))
    assert row["state"] == "failed" and "not claimed" in row["detail"]


async def test_assign(site: Site, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text(f"serial,hostname\n{site.device.serial},door-1\n")
    shown = json.loads(
        await site.run("device", "assign", "Garage", "--table", str(table), "--dry-run", "--json")
    )
    assert shown["task"] is None and shown["rows"][0]["problem"] is None
    assert site.device.network.host_name == ""
    await site.run("device", "assign", "Garage", "--table", str(table), "--wait")
    assert site.device.network.host_name == "door-1"
    table.write_text(json.dumps([{"device": site.device.serial, "host_name": "-bad-"}]))
    assert "host name has letters" in await site.run(
        "device", "assign", "Garage", "--table", str(table), "--json", code=1
    )
    await site.run("devices", "assign", "Garage", site.device.serial, "--host-name", "cam-{serial}", "--wait")
    assert site.device.network.host_name == f"cam-{site.device.serial.lower()}"


async def test_assign_ipv6(site: Site) -> None:
    words = ("device", "assign", "Garage", site.device.serial)
    await site.run(*words, "--ipv6-first", "fd00:49::20/64", "--ipv6-router", "fe80::1", "--wait")
    shown = await site.run("device", "network", "Garage", site.device.serial)
    assert "fd00:49::20/64" in shown and "fe80::1" in shown
    found = await site.client.work.network(site.device.serial)
    assert (found.ipv6, found.ipv6_mode) == (True, "static") and "fd00:49::20/64" in found.addresses
    await site.run(*words, "--ipv6", "off", "--wait")
    assert (await site.client.work.network(site.device.serial)).ipv6_mode == "off"
    assert "auto or off" in await site.run(*words, "--ipv6", "fd00::1", code=2)
    assert (
        "not an address a device"
        in json.loads(
            await site.run(
                *words, "--ipv6-first", "fd00::/64", "--ipv6-last", "fd00::", "--dry-run", "--json", code=1
            )
        )["rows"][0]["problem"]
    )
