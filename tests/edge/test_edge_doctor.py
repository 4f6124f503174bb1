"""`farsite edge doctor` beside a running edge host, a stopped one, and none."""

from __future__ import annotations

import json
import os
import shutil
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from farsite_edge.discovery import FoundDevice
from farsite_edge.doctor import examination, examine
from farsite_edge.doctor.ports import multicast_row, port_rows
from farsite_edge.doctor.stored import authority_row, certificate_row, device_row
from farsite_edge.testing import run_edge, test_settings
from farsite_signaling.identity import CertificateAuthority, generate_key, make_request, verify_relay_check
from farsite_signaling.identity.certificates import certificate_name, load_certificate, public_key_of
from farsite_signaling.wire.edge_api import DeviceState
from farsite_signaling.wire.ids import EdgeId, EdgeName, OrgId
from farsite_signaling.wire.netcheck import CheckReport, Result
from tests.edge.conftest import GOOD, FakeDevice, FakeSite, SmallCloud
from tests.forked import Commands


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def results(report: CheckReport) -> dict[str, Result]:
    return {row.name: row.result for row in report.rows}


async def test_a_folder_without_edge_host(tmp_path: Path) -> None:
    report = await examine(test_settings(tmp_path / "none", http_port=free_port(), https_port=free_port()))
    found = results(report)
    assert (found["edge host"], found["database"]) == (Result.WARN, Result.WARN)
    assert found["port B HTTPS API"] is found["port B discovery"] is Result.PASS
    assert found["port E peer to peer"] is Result.PASS
    assert not report.failed
    assert not (tmp_path / "none").exists()


async def test_beside_a_running_one(tmp_path: Path, small_cloud: SmallCloud) -> None:
    http_port, https_port = free_port(), free_port()
    ports = {"http_port": http_port, "https_port": https_port}
    async with run_edge(tmp_path / "edge", **ports) as edge:
        unclaimed = await examine(edge.host.settings)
        assert unclaimed.row("certificate").result is Result.WARN
        await edge.claim(small_cloud.url, GOOD, remote_access=False)
        report = await examine(edge.host.settings)
    found = results(report)
    for name in ("disk", "database", "certificate", "authority", "proxy address", "devices"):
        assert found[name] is Result.PASS, report.row(name)
    assert found["port B HTTPS API"] is found["port B discovery"] is Result.PASS
    assert "served by this edge host" in report.row("port B HTTPS API").detail
    assert (found["remote access"], found["hub TCP"]) == (Result.WARN, Result.PASS)
    # This small cloud has neither hub nor relays.
    assert (found["hub WebSocket"], found["TURN"]) == (Result.FAIL, Result.WARN)
    inward = {(line.protocol, line.port) for line in report.allow_list if line.direction == "in"}
    assert inward == {("tcp", str(http_port)), ("tcp", str(https_port))}


async def test_its_relay_credentials_are_asked_for_with_proof(
    tmp_path: Path, small_cloud: SmallCloud
) -> None:
    async with run_edge(tmp_path / "edge") as edge:
        await edge.claim(small_cloud.url, GOOD)
        report = await examine(edge.host.settings)
    assert "no relay" in report.row("TURN").detail
    [body] = small_cloud.relay_checks
    certificate = load_certificate(body["certificate"])
    key, now = public_key_of(certificate), datetime.now(UTC).timestamp()
    verify_relay_check(body["proof"], key, name=str(certificate_name(certificate)), now=now)


async def test_a_port_taken_by_another_program(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        report = await examine(test_settings(tmp_path / "none", https_port=port))
    row = report.row("port B HTTPS API")
    assert row.result is Result.FAIL
    assert "FARSITE_EDGE_HTTPS_PORT" in row.fix


async def test_another_program_answers_on_a_running_hosts_port(tmp_path: Path) -> None:
    app = web.Application()
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with run_edge(tmp_path / "edge") as edge:
            changed = edge.host.settings.model_copy(update={"http_port": runner.addresses[0][1]})
            rows = await port_rows(changed, edge.host.info())
    finally:
        await runner.cleanup()
    row = CheckReport(rows=rows).row("port B discovery")
    assert row.result is Result.FAIL
    assert "another program" in row.detail


async def test_the_running_one_says_which_ports_it_has(tmp_path: Path) -> None:
    async with run_edge(tmp_path / "edge") as edge:
        told = {"http_port": free_port(), "https_port": free_port(), "multicast": True}
        report = await examine(edge.host.settings.model_copy(update=told))
    for name, port in (("HTTPS API", edge.host.https_port), ("discovery", edge.host.http_port)):
        row = report.row(f"port B {name}")
        assert row.result is Result.PASS and str(port) in row.detail, row
    assert all(row.name != "port B multicast" for row in report.rows)


async def test_a_damaged_database(tmp_path: Path) -> None:
    async with run_edge(tmp_path / "edge") as edge:
        settings = edge.host.settings
    (settings.data_dir / "edge.db").write_bytes(b"not a database at all" * 500)
    report = await examine(settings)
    assert report.row("database").result is Result.FAIL
    assert "damaged" in report.row("database").detail
    assert report.row("port E peer to peer").result is Result.PASS


async def test_a_missing_key(tmp_path: Path) -> None:
    async with run_edge(tmp_path / "edge") as edge:
        settings = edge.host.settings
    (settings.data_dir / "identity.key").unlink()
    report = await examine(settings)
    assert report.row("database").result is Result.FAIL
    assert "identity.key" in report.row("database").detail
    assert not (settings.data_dir / "identity.key").exists()


async def test_devices_in_trouble_are_named(tmp_path: Path) -> None:
    device = FakeDevice()
    async with run_edge(tmp_path / "edge", gateway=FakeSite(device).gateway()) as edge:
        registry = edge.host.registry
        await registry.found([FoundDevice(device.serial, "127.0.0.1", 20000, model="P1")])
        assert device_row(registry).result is Result.PASS
        await registry.manage(device.serial)
        await registry.update(device.serial, state=DeviceState.UNREACHABLE)
        row = device_row(registry)
    assert row.result is Result.WARN
    assert device.serial in row.detail
    assert "unreachable" in row.detail


def test_certificates_over_their_life() -> None:
    made = datetime(2026, 1, 1, tzinfo=UTC)
    authority = CertificateAuthority.create("Test", made)
    name = EdgeName(OrgId("org1"), EdgeId("edge1"))
    certificate = load_certificate(authority.issue(make_request(generate_key(), "e"), name, now=made))
    lives = {-2: Result.FAIL, 1: Result.PASS, 62: Result.PASS, 75: Result.WARN, 91: Result.FAIL}
    for days, result in lives.items():
        assert certificate_row(certificate, made + timedelta(days=days)).result is result, days
    for days, result in {1: Result.PASS, 3600: Result.WARN, 3700: Result.FAIL}.items():
        assert authority_row(authority.certificate, made + timedelta(days=days)).result is result


def test_a_machine_without_multicast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farsite_edge.doctor.ports.interface_addresses", lambda: ["127.0.0.1"])
    assert multicast_row("m", ("239.255.68.1",)).result is Result.WARN


async def test_multicast_is_answered_by_the_running_one(tmp_path: Path) -> None:
    port = free_port()
    async with run_edge(tmp_path / "edge", multicast=True, multicast_port=port, bind=[]) as edge:
        row = (await examine(edge.host.settings)).row("port B multicast")
    assert row.result is Result.PASS, row
    assert "answers" in row.detail


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(examination.shutil, "disk_usage", lambda _: usage)
    assert examination.disk_row(tmp_path).result is Result.FAIL


async def test_the_command(tmp_path: Path, commands: Commands) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("FARSITE")}
    with socket.create_server(("127.0.0.1", 0)) as other:
        environment |= {
            "FARSITE_EDGE_DATA_DIR": str(tmp_path / "none"),
            "FARSITE_EDGE_BIND": "127.0.0.1",
            "FARSITE_EDGE_HTTPS_PORT": str(other.getsockname()[1]),
            "FARSITE_EDGE_HTTP_PORT": "0",
        }
        ran = await commands.run("edge", "doctor", "--json", env=environment)
    assert ran.code == 1
    rows = {row["name"]: row["result"] for row in json.loads(ran.out)["rows"]}
    assert (rows["port B HTTPS API"], rows["port B discovery"]) == ("FAIL", "PASS")
