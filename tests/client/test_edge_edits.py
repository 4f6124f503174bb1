"""Two administrators edit the same thing of an edge host: nobody's edit is undone unseen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from farsite_client.cli import device as device_commands
from farsite_client.cli.main import application
from farsite_client.edge import EdgeClient
from farsite_edge.admin.site import FILE, AdminAddress
from farsite_edge.api.guard import Guard
from farsite_edge.api.table import api_of
from farsite_edge.devices.credentials import Account
from farsite_edge.discovery import FoundDevice
from farsite_edge.simulator import SimulatedDevice, Simulator, describe
from farsite_edge.testing import RunningEdge, run_edge
from farsite_signaling.wire.edge_api import SettingsChange
from farsite_signaling.wire.edge_tasks import TaskState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.policy_api import PolicyChange

DELTA = "it says what to add and what to take away: whoever comes later undoes nothing else"
NEVER_EDITED = "nothing of it can be edited: whoever ends it ends what they saw"
COMPARED = "it says what it was made of in its body"
EXCEPTIONS = {
    ("PATCH", "/tags"): DELTA,
    ("DELETE", "/policies/{id}/devices"): DELTA,
    ("DELETE", "/devices"): NEVER_EDITED,
    ("DELETE", "/devices/{id}/apps/{app}"): NEVER_EDITED,
    ("PUT", "/devices/{id}/apps/{app}/license"): NEVER_EDITED,
    ("DELETE", "/devices/{id}/apps/{app}/license"): NEVER_EDITED,
    ("PATCH", "/devices/{id}/parameters"): COMPARED,
}


@dataclass
class Site:
    edge: RunningEdge
    device: SimulatedDevice
    one: EdgeClient
    other: EdgeClient


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    options = {"poll_interval": 3600, "discovery_interval": 3600, "policy_poll": 600}
    async with (
        Simulator(describe(1, ["P3265-V"]), https=False) as simulator,
        run_edge(tmp_path, **options) as edge,
    ):
        [device] = simulator.devices
        await edge.host.registry.found([FoundDevice(device.serial, device.address, device.http_port)])
        await edge.host.manager.add([device.serial])
        await edge.host.manager.log_in([device.serial], Account(device.username, device.password))
        address = AdminAddress.model_validate_json((tmp_path / FILE).read_bytes())
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(address.unix or "")) as session:
            clients = [EdgeClient(session, base="http://localhost") for _ in range(2)]
            yield Site(edge, device, *clients)


async def test_every_edit_says_what_it_was_made_of(site: Site) -> None:
    guard: Any = Guard.__new__(Guard)
    edits = {
        (route.method, route.path): route
        for route in api_of(site.edge.host, guard).routes
        if route.method in ("PATCH", "PUT", "DELETE")
    }
    assert {key for key, route in edits.items() if "If-Match" not in route.headers} == set(EXCEPTIONS)


async def test_settings(site: Site) -> None:
    one, other = site.one, site.other
    assert (await one.settings()) == (await other.settings())
    await other.change_settings(SettingsChange(name="North"))
    with pytest.raises(FarsiteError, match='name is now "North"') as refused:
        await one.change_settings(SettingsChange(name="South"))
    assert refused.value.code is ErrorCode.PRECONDITION_FAILED
    assert (await one.settings()).name == "North"
    await one.change_settings(SettingsChange(name="South"))
    # What nothing is shown of counts too, and one's own edits are no reason to be refused.
    await other.settings()
    for password in ("first", "second"):
        change = SettingsChange(proxy_address=SecretStr(f"http://me:{password}@proxy.example:3128"))
        await one.change_settings(change)
    with pytest.raises(FarsiteError) as refused:
        await other.change_settings(SettingsChange(proxy_address=SecretStr("")))
    assert refused.value.code is ErrorCode.PRECONDITION_FAILED and "second" not in refused.value.detail


async def test_of_edits_at_the_same_moment_one_is_done(site: Site) -> None:
    one = site.one
    made = await one.policies.create("security", "Ours", {"ssh": False})
    await one.settings()
    tag = one.read_before.headers("PATCH", "/settings")
    [serial] = [site.device.serial]

    async def again(act: Any) -> int:
        results = await asyncio.gather(*(act(number) for number in range(5)), return_exceptions=True)
        refused = [error for error in results if isinstance(error, FarsiteError)]
        assert {error.code for error in refused} == {ErrorCode.PRECONDITION_FAILED}
        return len(results) - len(refused)

    change = PolicyChange(settings={"ssh": True})
    assert await again(lambda number: one.policies.change(made.id, change, revision=made.revision)) == 1
    assert (await one.policies.get(made.id)).revision == 2

    async def rename(number: int) -> Any:
        client = EdgeClient(one._session, base="http://localhost", headers=tag)
        return await client.change_settings(SettingsChange(name=f"Name {number}"))

    assert await again(rename) == 1
    before = {"Network.Bonjour.FriendlyName": site.device.parameters["Network.Bonjour.FriendlyName"]}

    async def write(number: int) -> Any:
        values = {"Network.Bonjour.FriendlyName": f"Name {number}"}
        return await one.change_parameters(serial, values, before=before)

    assert await again(write) == 1


async def test_network_settings_of_a_device(site: Site) -> None:
    one, other, serial = site.one, site.other, site.device.serial
    first = await one.work.network(serial)
    await other.work.network(serial)
    site.device.network.host_name = "quay"
    with pytest.raises(FarsiteError) as refused:
        await one.work.set_network(serial)
    assert refused.value.code is ErrorCode.PRECONDITION_FAILED
    assert (await one.work.network(serial)).hostname == "quay" != first.hostname
    task = await one.work.set_network(serial)
    with pytest.raises(FarsiteError) as refused:
        await other.work.set_network(serial)
    assert refused.value.code is ErrorCode.PRECONDITION_FAILED
    assert (await one.tasks.wait(task.id)).state in (TaskState.SUCCEEDED, TaskState.FAILED)


async def test_parameters_by_command(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    class Reached:
        async def __aenter__(self) -> EdgeClient:
            self.session = aiohttp.ClientSession(connector=aiohttp.UnixConnector(path))
            return EdgeClient(self.session, base="http://localhost")

        async def __aexit__(self, *_: object) -> None:
            await self.session.close()

    connector = site.one._session.connector
    assert isinstance(connector, aiohttp.UnixConnector)
    path = connector.path
    monkeypatch.setattr(device_commands, "reach", lambda *_: Reached())

    async def run(*words: str) -> Any:
        words = ("device", "params", "Garage", site.device.serial, *words)
        return await asyncio.to_thread(CliRunner().invoke, application(), list(words))

    name = "Network.Bonjour.FriendlyName"
    site.device.parameters[name] = "theirs"
    refused = (await run(f"{name}=ours", "--was", f"root.{name}=mine")).exception
    assert isinstance(refused, FarsiteError) and refused.code is ErrorCode.PRECONDITION_FAILED
    assert "is now 'theirs'" in refused.detail
    assert [one["current"] for one in refused.errors] == ["theirs"]
    assert site.device.parameters[name] == "theirs"
    assert (await run(f"{name}=ours", "--was", f"{name}=theirs")).exit_code == 0
    assert site.device.parameters[name] == "ours"
    assert site.edge.host.registry.get(site.device.serial).last_error is None
