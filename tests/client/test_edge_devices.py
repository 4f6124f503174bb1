"""The SDK and the commands against a real edge host: scans, tasks for devices, reports."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner

from farsite_client.cli import device as device_commands
from farsite_client.cli import devices, discover
from farsite_client.cli.invocation import Invocation
from farsite_client.cli.lazy import load_own
from farsite_client.edge import EdgeClient
from farsite_edge.admin.site import FILE, AdminAddress
from farsite_edge.devices.credentials import Account
from farsite_edge.discovery import FoundDevice
from farsite_edge.simulator import SimulatedDevice, Simulator, describe
from farsite_edge.testing import RunningEdge, run_edge
from farsite_signaling.wire.edge_tasks import TaskState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

OPTIONS: dict[str, Any] = {"poll_interval": 3600, "discovery_interval": 3600, "restart_poll_interval": 0.05}


@pytest.fixture
async def device() -> AsyncIterator[SimulatedDevice]:
    described = [replace(one, boot_seconds=0.3) for one in describe(1, ["P3265-V"])]
    async with Simulator(described, bind="127.0.53.0/24", first_port=8053) as simulator:
        yield simulator.devices[0]


@pytest.fixture
async def edge(tmp_path: Path, device: SimulatedDevice) -> AsyncIterator[RunningEdge]:
    async with run_edge(tmp_path, **OPTIONS) as running:
        yield running


@pytest.fixture
async def client(edge: RunningEdge) -> AsyncIterator[EdgeClient]:
    address = AdminAddress.model_validate_json((edge.host.settings.data_dir / FILE).read_bytes())
    assert address.unix
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(address.unix)) as session:
        yield EdgeClient(session, base="http://localhost")


async def manage(edge: RunningEdge, device: SimulatedDevice) -> None:
    found = FoundDevice(device.serial, device.address, device.http_port, device.https_port)
    await edge.host.registry.found([found])
    await edge.host.manager.add([device.serial])
    await edge.host.manager.log_in([device.serial], Account(device.username, device.password))


async def test_from_a_scan_to_a_service_account(client: EdgeClient, device: SimulatedDevice) -> None:
    ports = [device.http_port, device.https_port or 0]
    started = await client.scans.start(csv=f"ip\n{device.address}\nbad\n", ports=ports)
    assert [problem.line for problem in started.problems] == [3]
    assert started.task is not None
    assert (await client.tasks.wait(started.task.id)).state is TaskState.SUCCEEDED
    [found] = await client.devices(managed=False, search=device.serial)
    await client.add([found.id])
    task = await client.work.log_in([found.id], [("root", "wrong"), ("root", device.password)])
    assert (await client.tasks.wait(task.id)).state is TaskState.SUCCEEDED
    for task in (await client.work.service_accounts([found.id]),):
        assert (await client.tasks.wait(task.id)).state is TaskState.SUCCEEDED
    details = await client.work.details(found.id)
    assert details.account.startswith("farsite")
    assert (await client.work.credentials(found.id)).history[0].still_valid


async def test_a_report_comes_as_it_is_made(
    client: EdgeClient, edge: RunningEdge, device: SimulatedDevice
) -> None:
    await manage(edge, device)
    device.report_blocks = 40
    parts: list[bytes] = []
    size = await client.report(device.serial, parts.append, mode="text")
    assert size == sum(map(len, parts)) > 2_000_000
    assert b"".join(parts).startswith(device.model.product.encode())
    device.accounts.get("root").password = "another"  # type: ignore[union-attr]
    with pytest.raises(FarsiteError) as caught:
        await client.report(device.serial, parts.append)
    assert caught.value.code is ErrorCode.DEVICE_CREDENTIALS


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands reach the edge host whose data folder is named instead of an edge host of the cloud."""

    @asynccontextmanager
    async def reach(_: Invocation, name: str, _lan: str | None) -> AsyncIterator[EdgeClient]:
        address = AdminAddress.model_validate_json((Path(name) / FILE).read_bytes())
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(address.unix))) as session:
            yield EdgeClient(session, base="http://localhost")

    for module in (devices, discover, device_commands):
        monkeypatch.setattr(module, "reach", reach)


@pytest.mark.usefixtures("reached")
async def test_commands(edge: RunningEdge, device: SimulatedDevice, tmp_path: Path) -> None:
    import asyncio

    await manage(edge, device)
    folder, serial = str(edge.host.settings.data_dir), device.serial

    async def run(name: str, *arguments: str, code: int = 0, stdin: str | None = None) -> Any:
        command = load_own(name)
        invoke = lambda: CliRunner().invoke(command, list(arguments), input=stdin)  # noqa: E731
        result = await asyncio.to_thread(invoke)
        assert result.exit_code == code, (arguments, result.output, result.exception)
        return result

    def last(result: Any) -> Any:
        return json.loads(result.stdout.strip().splitlines()[-1])

    file = tmp_path / "list.csv"
    file.write_bytes("\ufeffip;\r\n10.0.0.1;\r\nnonsense;\r\n".encode())
    checked = last(await run("discover", folder, "--csv", str(file), "--check", "--json"))
    assert (checked["addresses"], checked["problems"][0]["line"]) == (1, 3)
    scanned = await run(
        "discover", folder, device.address, "--scan", "--wait", "--port", str(device.http_port), "--json"
    )
    assert last(scanned)["state"] == "succeeded"
    await run("device", "tag", folder, serial, "--add", "gate")
    shown = await run("devices", folder, "--tag", "GATE", "--sort", "address")
    assert serial in shown.stdout
    assert "video" in (await run("device", "details", folder, serial)).stdout
    assert "eth0" in (await run("device", "network", folder, serial)).stdout
    done = last(await run("device", "rotate-password", folder, serial, "--wait", "--json"))
    assert done["state"] == "succeeded"
    kept = await edge.host.manager.credentials.get(serial)
    assert kept is not None
    assert kept.password not in (await run("device", "credentials", folder, serial)).stdout
    assert last(await run("device", "restart", folder, serial, "--wait", "--json"))["state"] == "succeeded"
    lines = f"root:wrong\nroot:{kept.password}\n"
    tried = await run("device", "try-log-ins", folder, serial, "--wait", "--json", stdin=lines)
    assert last(tried)["state"] == "succeeded"
    await run("device", "tag", folder, "--all", "--add", "door")
    restarted = await run(
        "device", "restart", folder, "--tag", "DOOR", "--model", "p3265-v", "--wait", "--json"
    )
    assert last(restarted)["state"] == "succeeded"
    for unclear in ([], [serial, "--all"], ["--all", "--status", "asleep"]):
        await run("device", "restart", folder, *unclear, code=1 if "asleep" in unclear else 2)
    assert "No discovered" in str((await run("device", "add", folder, "--all", code=1)).exception)
    assert "--yes" in str((await run("device", "remove", folder, "--all", code=1)).exception)
    report = tmp_path / "report.zip"
    await run("device", "report", folder, serial, "-o", str(report))
    assert report.stat().st_size > 100_000
    assert [path.name for path in tmp_path.glob("report*")] == ["report.zip"]
    await run("device", "factory-default", folder, serial, code=1)
    assert not device.needs_setup
    reset = last(await run("device", "factory-default", folder, serial, "--yes", "--wait", "--json"))
    assert (reset["state"], device.needs_setup) == ("succeeded", True)
