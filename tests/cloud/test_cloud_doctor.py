"""`farsite cloud doctor` beside a running cloud with its relay, and on a machine where things are wrong."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from farsite_cloud.commands import doctor
from farsite_cloud.commands.doctor import certificate_row, config_row, covers, disk_row, examine, version_row
from farsite_cloud.settings import CloudSettings, load_settings
from farsite_cloud.testing import run_cloud
from farsite_cloud.turn.config import render
from farsite_signaling.identity.certificates import load_certificate
from farsite_signaling.wire.netcheck import Result
from tests.cloud.turn.conftest import free_ports
from tests.forked import Commands


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="farsite-doctor-") as name:
        yield Path(name)


def _need_coturn() -> None:
    if shutil.which("turnserver") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("coturn is not installed")
        pytest.skip("coturn is not installed")


def settings_of(folder: Path, **more: Any) -> CloudSettings:
    return load_settings({"data_dir": folder, "turn": "off"} | more, environ={})


async def test_beside_a_running_cloud_everything_passes(folder: Path) -> None:
    _need_coturn()
    port, turn_port, tls_port = free_ports(3)
    values = {
        "port": port,
        "turn": "auto",
        "turn_port": turn_port,
        "turn_tls_port": tls_port,
        "turn_allow_loopback": True,
    }
    async with run_cloud(folder, **values):
        report = await examine(settings_of(folder, **values))
        for name in (
            "disk",
            "database",
            "public URL",
            "coturn configuration",
            "relay ports",
            "turns: certificate",
        ):
            assert report.row(name).result is Result.PASS, report.row(name)
        assert not report.failed
        other = await examine(settings_of(folder, **values | {"turn_user_quota": 7}))
        row = other.row("coturn configuration")
        assert row.result is Result.WARN
        assert "user-quota" in row.detail
    stopped = await examine(settings_of(folder, **values))
    assert stopped.row("public URL").result is Result.FAIL
    assert stopped.row("relay ports").result is Result.WARN
    ports = {(line.protocol, line.port) for line in stopped.allow_list}
    assert ports == {
        ("tcp", str(port)),
        ("udp", str(turn_port)),
        ("tcp", str(turn_port)),
        ("tcp", str(tls_port)),
        ("udp", "49152-65535"),
    }


async def test_a_secret_never_shows_in_the_report(folder: Path) -> None:
    _need_coturn()
    settings = settings_of(folder, turn="auto", turn_secret="the-old-secret-of-before")
    turn = doctor.completed(
        doctor.turn_settings(settings, doctor.public_urls(None, bind="127.0.0.1", port=1, tls=False))
    )
    turn.data_dir.mkdir()
    other = turn.model_copy(update={"secrets": ("something-else-entirely",)})
    (turn.data_dir / "turnserver.conf").write_text(render(other))
    row = config_row(turn, None)
    assert row.result is Result.WARN
    assert "static-auth-secret" in row.detail
    assert "something-else" not in row.detail
    assert "old-secret" not in row.detail


async def test_a_damaged_database_fails(folder: Path, commands: Commands) -> None:
    async with run_cloud(folder):
        pass
    path = folder / "farsite.db"
    data = bytearray(path.read_bytes())
    data[4096 : 4096 * 6] = os.urandom(4096 * 5)
    path.write_bytes(data)
    report = await examine(settings_of(folder))
    assert report.row("database").result is Result.FAIL
    assert "backup" in report.row("database").fix


async def test_nothing_is_made_where_no_cloud_ran(folder: Path) -> None:
    report = await examine(settings_of(folder / "none", turn="auto"))
    assert report.row("database").result is Result.WARN
    assert not (folder / "none").exists()


async def test_a_port_taken_by_another_program_is_named(folder: Path) -> None:
    _need_coturn()
    port, tls_port = free_ports(2)
    with contextlib.ExitStack() as stack:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            other = stack.enter_context(socket.socket(socket.AF_INET, kind))
            other.bind(("127.0.0.1", port))
            if kind == socket.SOCK_STREAM:
                other.listen()
        values = {"turn": "auto", "turn_secret": "a-secret-for-this-test", "turn_port": port}
        report = await examine(settings_of(folder, **values, turn_tls_port=tls_port))
    row = report.row("relay ports")
    assert row.result is Result.FAIL
    assert str(port) in row.detail


def test_old_coturn_is_warned_about() -> None:
    assert version_row((4, 6, 1)).result is Result.WARN
    assert "CVE-2026-27624" in version_row((4, 6, 1)).detail
    assert version_row((4, 13, 1)).result is Result.PASS
    assert version_row(None).result is Result.FAIL


@pytest.mark.parametrize(
    ("free", "result"), [(10 << 30, Result.PASS), (500 << 20, Result.WARN), (1 << 20, Result.FAIL)]
)
def test_disk_space(monkeypatch: pytest.MonkeyPatch, folder: Path, free: int, result: Result) -> None:
    usage = shutil.disk_usage(folder)._replace(free=free)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage)
    assert disk_row(folder).result is result


def test_certificates(folder: Path) -> None:
    now, authority = datetime.now(UTC), trustme.CA()
    path = folder / "server.pem"

    def row(host: str = "relay.example", **dates: Any) -> Any:
        authority.issue_cert("relay.example", "*.wild.example", **dates).cert_chain_pems[0].write_to_path(
            str(path)
        )
        return certificate_row("c", path, host)

    assert certificate_row("c", path, "relay.example").result is Result.FAIL
    assert row().result is Result.PASS
    assert row("a.wild.example").result is Result.PASS
    assert row("a.b.wild.example").result is Result.FAIL
    assert row("elsewhere.example").result is Result.FAIL
    assert row(not_after=now + timedelta(days=3)).result is Result.WARN
    assert row(not_after=now - timedelta(days=3)).result is Result.FAIL
    path.write_text("nonsense")
    assert certificate_row("c", path, "relay.example").result is Result.FAIL


def test_an_address_is_no_name() -> None:
    certificate = trustme.CA().issue_cert("10.0.0.1")
    loaded = load_certificate(certificate.cert_chain_pems[0].bytes().decode())
    assert covers(loaded, "10.0.0.1")
    assert not covers(loaded, "10.0.0.2")


async def test_the_command_ends_with_1_when_something_fails(folder: Path, commands: Commands) -> None:
    port = free_ports(1)[0]
    environment = {**os.environ, "FARSITE_TURN": "off", "FARSITE_PORT": str(port)}
    ran = await commands.run("cloud", "doctor", "--json", "--data-dir", str(folder), env=environment)
    report = json.loads(ran.out)
    assert ran.code == 1
    assert {"name", "result", "detail", "fix", "latency_ms"} == set(report["rows"][0])
