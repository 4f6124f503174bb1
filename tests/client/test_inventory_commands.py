"""`farsite inventory|edges|views` as processes against a real cloud."""

from __future__ import annotations

import csv
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from farsite_client.cloud import CloudClient
from farsite_cloud.clock import system_clock
from farsite_cloud.database import Scope
from farsite_cloud.inventory.ingest import receive
from farsite_cloud.testing import OWNER_EMAIL, OWNER_PASSWORD, RunningCloud, run_cloud
from farsite_signaling.identity import generate_key, make_request
from farsite_signaling.wire.edge_tasks import TaskState
from farsite_signaling.wire.inventory import DeviceFacts, InventoryDelta, TaskFacts, WorkFacts
from farsite_signaling.wire.inventory_api import TagChange

# Many processes in a row, each of which takes its time where the machine is busy.
pytestmark = pytest.mark.timeout(240)


@pytest.fixture
async def cloud() -> AsyncIterator[RunningCloud]:
    """With one edge host, `Harbour`, that told of three devices and a task."""
    async with run_cloud() as running:
        token = await running.sign_in()
        code = await running.setup_code("Harbour", token)
        claim = {"code": code, "csr": make_request(generate_key(), "edge")}
        edge = (await running.request("POST", "/claims", claim))["edge_id"]
        await _tell(running, edge, await running.organization_id(token))
        yield running


async def _tell(running: RunningCloud, edge: str, organization: str) -> None:
    now = system_clock()
    devices = [
        DeviceFacts(
            serial=f"ACCC8E00000{number}",
            name=f"=Cam {number}",
            model="P3265-LV",
            version=version,
            state="reachable",
            first_seen=now,
        )
        for number, version in enumerate(("11.11.1", "11.11.1", "9.80.3"))
    ]
    task = TaskFacts(id="t1", kind="os.upgrade", title="AXIS OS 12", state=TaskState.FAILED, created_at=now)
    work = WorkFacts.model_validate(
        {"task": "t1", "position": 0, "device": "ACCC8E000000", "state": "failed"}
    )
    delta = InventoryDelta(epoch="e", after=0, last=5, devices=devices, tasks=[task], work=[work])
    async with running.cloud.services.database.writing() as session:
        await receive(Scope(session, organization), edge, delta, now)


async def _done(cli: Any, *arguments: str, **variables: str) -> Any:
    ran = await cli(*arguments, "--json", **variables)
    assert ran.code == 0, ran.err + ran.out
    return json.loads(ran.out) if ran.out else None


async def test_the_inventory_by_command(cli: Any, cloud: RunningCloud, tmp_path: Path) -> None:
    await _done(cli, "login", cloud.url, "--email", OWNER_EMAIL, FARSITE_CLIENT_PASSWORD=OWNER_PASSWORD)
    assert len(await _done(cli, "inventory", "devices")) == 3
    await _done(cli, "views", "save", "Old", "--support-ended", "--columns", "serial,version")
    [old] = await _done(cli, "inventory", "devices", "--view", "Old")
    assert (old["serial"], old["edge_host"]) == ("ACCC8E000002", "Harbour")
    await _done(cli, "inventory", "tag", "ACCC8E000000", "ACCC8E000002", "--add", "Quay")
    table = await cli("inventory", "devices", "--site", "Harbour", "--tag", "quay", "--os-version", "9.80.3")
    assert "edge host offline" in table.out and "ACCC8E000002" in table.out
    file = tmp_path / "old.csv"
    await _done(cli, "inventory", "export", "--view", "Old", "-o", str(file))
    assert list(csv.reader(file.read_text().splitlines())) == [
        ["serial", "version"],
        ["ACCC8E000002", "9.80.3"],
    ]
    everything = await cli("inventory", "export", "--format", "csv", "--columns", "name")
    assert everything.out.splitlines()[1] == "'=Cam 0"
    [row] = (await _done(cli, "inventory", "os"))["rows"]
    assert (row["devices"], [one["version"] for one in row["versions"]]) == (3, ["9.80.3", "11.11.1"])
    assert (await _done(cli, "inventory", "counts", "--tag", "quay"))["total"] == 2
    [task] = await _done(cli, "inventory", "tasks", "--site", "Harbour")
    assert "failed" in (await cli("inventory", "task", task["id"])).out


async def test_an_edge_host_is_removed_by_command(cli: Any, cloud: RunningCloud) -> None:
    await _done(cli, "login", cloud.url, "--email", OWNER_EMAIL, FARSITE_CLIENT_PASSWORD=OWNER_PASSWORD)
    await _done(cli, "edges", "rename", "Harbour", "Port")
    await _done(cli, "edges", "tag", "Port", "--add", "north")
    [found] = await _done(cli, "edges", "list", "--offline", "--search", "por", "--tag", "north")
    assert found["name"] == "Port"
    refused = await cli("edges", "remove", "Port", "--i-am-aware-of-the-risks")
    assert (refused.code, "3 devices" in refused.err) == (1, True)
    await _done(cli, "edges", "forget-devices", "Port", "--i-am-aware-of-the-risks")
    unasked = await cli("edges", "remove", "Port")
    assert unasked.code == 1
    await _done(cli, "edges", "remove", "Port", "--i-am-aware-of-the-risks")
    assert "None." in (await cli("edges")).out


async def test_a_name_is_given_to_one_edge_host(cli: Any, cloud: RunningCloud) -> None:
    await _done(cli, "login", cloud.url, "--email", OWNER_EMAIL, FARSITE_CLIENT_PASSWORD=OWNER_PASSWORD)
    ran = await cli("claim", "--code-only", "--name", "harbour")
    assert ran.code == 1 and "farsite edges reclaim Harbour" in ran.err and "[conflict]" in ran.err
    assert (await _done(cli, "claim", "--code-only", "--name", "Dock"))["name"] == "Dock"


async def test_an_edge_host_is_claimed_again_by_command(cli: Any, cloud: RunningCloud) -> None:
    await _done(cli, "login", cloud.url, "--email", OWNER_EMAIL, FARSITE_CLIENT_PASSWORD=OWNER_PASSWORD)
    assert (await cli("edges", "revoke-certificate", "Harbour")).code == 1
    await _done(cli, "edges", "revoke-certificate", "Harbour", "--i-am-aware-of-the-risks")
    [before] = await _done(cli, "edges")
    made = await _done(cli, "edges", "reclaim", "Harbour")
    claim = {"code": made["code"], "csr": make_request(generate_key(), "edge")}
    assert (await cloud.request("POST", "/claims", claim))["edge_id"] == before["id"]
    [after] = await _done(cli, "edges")
    assert (before["certificate_expires_at"], after["devices_managed"]) == (None, before["devices_managed"])
    assert after["certificate_expires_at"] is not None


async def test_the_client_walks_through_pages(cloud: RunningCloud) -> None:
    async with CloudClient(cloud.url) as client:
        await client.sign_in(OWNER_EMAIL, OWNER_PASSWORD)
        organization = (await client.organizations())[0].id
        found = [device async for device in client.devices(organization, page_size=1, sort="-serial")]
        assert [device.serial[-1] for device in found] == ["2", "1", "0"]
        tags = await client.tag_device(organization, found[0].serial, TagChange(add=["b", "A"]))
        assert tags == ["a", "b"]
        data = b"".join([part async for part in client.export_devices(organization, format="json", tag="a")])
        assert [one["serial"] for one in json.loads(data)] == [found[0].serial]
