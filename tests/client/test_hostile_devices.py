"""S16: what a device says of itself is inert wherever it comes out: tables, JSON, CSV, file names, logs, the API, the
debug bundle. Nothing of it moves a cursor, begins a formula, leaves a folder or is taken for a page."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import logging
import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner

from farsite_client.cli import device as device_commands
from farsite_client.cli import devices, policy_reports, tasks
from farsite_client.cli.invocation import Invocation
from farsite_client.cli.lazy import load_own
from farsite_client.edge import EdgeClient
from farsite_edge.admin.site import FILE, AdminAddress
from farsite_edge.debug_bundle import make_bundle
from farsite_edge.devices.credentials import Account
from farsite_edge.discovery import FoundDevice
from farsite_edge.redaction import RedactingFormatter
from farsite_edge.simulator import Simulator, describe
from farsite_edge.testing import RunningEdge, run_edge
from farsite_signaling.wire.edge_tasks import TaskState
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.policy_api import PolicyCreate, PolicyMode

EVIL = {
    "path": "../../../../tmp/evil",
    "absolute": "/etc/passwd",
    "windows": "..\\..\\evil.exe",
    "ansi": "\x1b[2J\x1b]0;owned\x07 \x9b31m",
    "html": "<img src=x onerror=alert(1)>",
    "formula": '=HYPERLINK("http://evil.invalid";"x")',
    "formula2": "@SUM(1+1)*cmd|' /C calc'!A0",
    "bidi": "photo\u202egpj.exe",
    "nul": "a\x00b",
    "lines": "one\r\ntwo\u2028three",
    "shell": "$(touch evil); `id` | x",
    "markup": "[red]x[/red] [link=http://evil.invalid]y[/link]",
    "long": "x" * 20_000,
}
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def harmless(text: str) -> None:
    """No character that a terminal obeys, no direction turned, no NUL."""
    bad = {
        one
        for one in text.replace("\r\n", "\n")
        if unicodedata.category(one) in ("Cc", "Cf", "Zl", "Zp", "Cs") and one not in "\n\t"
    }
    assert not bad, (bad, text[:2000])


@asynccontextmanager
async def evil_site(folder: Path) -> AsyncIterator[tuple[RunningEdge, list[str]]]:
    """A device for each kind of evil, which calls itself so in everything it says."""
    described = describe(len(EVIL), ["P3265-V"])
    options: dict[str, Any] = {"poll_interval": 3600, "discovery_interval": 3600, "policy_poll": 600}
    async with Simulator(described, https=False) as simulator, run_edge(folder, **options) as edge:
        for device, evil in zip(simulator.devices, EVIL.values(), strict=True):
            device.model = replace(device.model, number=evil, version=f"12.9.57{evil}", device_type=evil)
            for name in (
                "Network.HostName",
                "Network.Bonjour.FriendlyName",
                "Brand.ProdNbr",
                "Brand.ProdFullName",
            ):
                device.parameters[name] = evil
            found = FoundDevice(
                device.serial, device.address, device.http_port, model=evil, product=evil, version=evil
            )
            await edge.host.registry.found([found])
        ids = [device.serial for device in simulator.devices]
        await edge.host.manager.add(ids)
        results = await edge.host.manager.log_in(ids, Account("root", "farsite-demo"))
        assert all(one.ok for one in results), results
        await edge.host.monitor.round()
        yield edge, ids


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def reach(_: Invocation, name: str, _lan: str | None) -> AsyncIterator[EdgeClient]:
        address = AdminAddress.model_validate_json((Path(name) / FILE).read_bytes())
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(address.unix))) as session:
            yield EdgeClient(session, base="http://localhost")

    monkeypatch.setattr(device_commands, "reach", reach)
    for module in (devices, policy_reports, tasks):
        monkeypatch.setattr(module, "reach", reach, raising=False)
    monkeypatch.setattr("farsite_client.cli.reach.reach", reach)


async def ran(name: str, *arguments: str) -> str:
    command = load_own(name)
    result = await asyncio.to_thread(lambda: CliRunner().invoke(command, list(arguments)))
    if isinstance(result.exception, FarsiteError):
        return str(result.exception)  # as `farsite` prints it
    assert result.exit_code == 0, (arguments, result.output, result.exception)
    return result.output


@pytest.mark.usefixtures("reached")
async def test_what_commands_print_and_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    async with evil_site(tmp_path / "edge") as (edge, ids):
        folder = str(tmp_path / "edge")
        for arguments in (("devices", folder), ("devices", folder, "--json"), ("tasks", folder, "list")):
            harmless(await ran(*arguments))
        for serial in ids:
            for verb in (("details",), ("network",), ("params", "Brand"), ("show",)):
                harmless(await ran("device", verb[0], folder, serial, *verb[1:]))
            await ran("device", "snapshot", folder, serial)
            await ran("device", "report", folder, serial)
        written = {path.name for path in work.iterdir()}
        assert written <= {
            f"{serial}{end}" for serial in ids for end in (".jpg", "-report.zip", "-report.txt", ".zip")
        }
        bundle = await make_bundle(edge.host.settings)
    for text in bundle.files.values():
        harmless(text)
    harmless(
        RedactingFormatter().format(
            logging.LogRecord("x", 20, "", 1, "%s", (str(list(EVIL.values())),), None)
        )
    )
    for record in caplog.records:
        harmless(RedactingFormatter("%(message)s").format(record))
    assert not list(tmp_path.rglob("*evil*")) and not Path("/tmp/evil").exists()
    for row in csv.reader(io.StringIO(bundle.files["devices.csv"])):
        assert not any(cell.startswith(FORMULA) for cell in row), row


async def test_answers_of_the_api_and_exports(tmp_path: Path) -> None:
    async with evil_site(tmp_path) as (edge, ids):
        service = edge.host.policies.service
        settings = {"access_log": True}
        policy = await service.create(
            PolicyCreate(kind="security", name="=1+1", mode=PolicyMode.REPORT_ONLY, settings=settings),
            actor="test",
        )
        await service.assign(policy.id, ids)
        task = await service.check(policy.id, actor="test")
        assert task is not None
        async with asyncio.timeout(60):
            while not (shown := await edge.host.tasks.shown(task.id)).state.finished:
                await edge.host.tasks.changed(5)
        assert shown.state in (TaskState.SUCCEEDED, TaskState.FAILED)
        address = AdminAddress.model_validate_json((tmp_path / FILE).read_bytes())
        base = "http://localhost/api/v1"
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(address.unix))) as session:
            paths = ["/devices", "/os/inventory", f"/tasks/{task.id}", "/tasks", "/audit", "/status"]
            for path in [*paths, *(f"/devices/{serial}/details" for serial in ids)]:
                async with session.get(base + path) as response:
                    text = await response.text()
                    assert response.content_type in ("application/json", "application/problem+json"), path
                    assert response.headers["X-Content-Type-Options"] == "nosniff"
                    walk(json.loads(text))
            for path in ("/policy-drift?format=csv", "/hardening?format=csv"):
                async with session.get(base + path) as response:
                    text = await response.text()
                    assert (response.status, response.content_type) == (200, "text/csv"), text
                    assert "attachment" in response.headers["Content-Disposition"]
                    rows = list(csv.reader(io.StringIO(text)))
                    assert len(rows) > 1
                    assert not any(cell.startswith(FORMULA) for row in rows for cell in row)


def walk(value: Any) -> None:
    if isinstance(value, str):
        harmless(value)
        assert len(value) <= 2000
    elif isinstance(value, dict):
        for one in value.values():
            walk(one)
    elif isinstance(value, list):
        for one in value:
            walk(one)


async def test_serial_numbers_are_ids_or_nothing(tmp_path: Path) -> None:
    """They name rows, files and routes."""
    async with run_edge(tmp_path, poll_interval=3600, discovery_interval=3600) as edge:
        evil = [value for value in EVIL.values() if value]
        await edge.host.registry.found([FoundDevice(one, "10.0.0.9", 80) for one in evil])
        assert edge.host.registry.all() == []
