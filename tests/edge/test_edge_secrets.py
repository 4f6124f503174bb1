"""S13: no secret in logs, database, WAL, crash output, task memory, journal, process arguments or debug bundle."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import signal
import sqlite3
import sys
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from farsite_edge.admin.caller import AdminCaller
from farsite_edge.debug_bundle import make_bundle
from farsite_edge.devices.credentials import Account
from farsite_edge.discovery import FoundDevice
from farsite_edge.redaction import RedactingFormatter, Redactor
from farsite_edge.simulator import SimulatedDevice, Simulator, describe
from farsite_edge.testing import run_edge, test_settings
from farsite_signaling.wire.edge_api import EdgeInfo, Settings
from farsite_signaling.wire.edge_tasks import Task
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.policy_api import AssignResults, Policy
from tests.edge.test_edge_command import MAIN, environment, event

pytestmark = pytest.mark.timeout(240)

FIRST, NEW = "canary-first-password", "canary-rotated-password"
ROOT, SET_UP, WRONG = "canary-root-password", "canary-setup-password", "canary-wrong-password"
PROXY, GIVEN_PROXY, CODE = "canary-proxy-password", "canary-environment-password", "canary-code"
SETTINGS = {
    "ALLOW_LOOPBACK_DEVICES": "true",
    "ALLOW_HTTP_CLOUD": "true",
    "LOG_LEVEL": "debug",
    "LOG_IN_INTERVAL": "0.05",
    "POLL_INTERVAL": "3600",
    "DISCOVERY_INTERVAL": "3600",
    "POLICY_POLL": "600",
    "PROXY_ADDRESS": f"http://me:{GIVEN_PROXY}@127.0.0.1:9",
}


@pytest.fixture
async def devices() -> AsyncIterator[list[SimulatedDevice]]:
    described = describe(3, ["P3265-V"], factory_default=1, password=FIRST)
    async with Simulator(described, https=False) as simulator:
        yield simulator.devices


async def finished(caller: AdminCaller, path: str, body: dict[str, Any]) -> Task:
    task = await caller.call("POST", path, Task, body)
    async with asyncio.timeout(60):
        while not (task := await caller.call("GET", f"/tasks/{task.id}", Task)).state.finished:
            await asyncio.sleep(0.05)
    return task


async def everything(caller: AdminCaller, devices: list[SimulatedDevice], cloud: str) -> None:
    """Each kind of secret there is, used."""
    new = [one.serial for one in devices if one.needs_setup]
    old = [one.serial for one in devices if not one.needs_setup]
    await caller.call("PATCH", "/settings", Settings, {"proxy_address": f"socks5://me:{PROXY}@127.0.0.1:9"})
    await caller.call("PATCH", "/settings", Settings, {"proxy_address": ""})
    with pytest.raises(FarsiteError):
        await caller.call("POST", "/claim", EdgeInfo, {"cloud_url": cloud, "code": CODE})
    await caller.call("PATCH", "/settings", Settings, {"proxy_address": f"socks5://me:{PROXY}@127.0.0.1:9"})
    credentials = [{"username": "root", "password": password} for password in (WRONG, FIRST)]
    await finished(caller, "/devices/tasks/log-in", {"ids": old, "credentials": credentials})
    body = {"ids": new, "username": "root", "password": SET_UP}
    assert (await finished(caller, "/devices/tasks/set-up", body)).state == "succeeded"
    body = {"ids": old[:1], "password": NEW}
    assert (await finished(caller, "/devices/tasks/rotate-password", body)).state == "succeeded"
    policy = {"kind": "security", "name": "Secrets", "settings": {"root_password": ROOT}}
    made = await caller.call("POST", "/policies", Policy, policy)
    await caller.call("POST", f"/policies/{made.id}/devices", AssignResults, {"ids": old[1:]})
    await finished(caller, f"/policies/{made.id}/apply", {"ids": old[1:]})
    assert (await finished(caller, "/devices/tasks/service-account", {"ids": new})).state == "succeeded"


def secrets_of(folder: Path, devices: list[SimulatedDevice]) -> dict[str, bytes]:
    key = load_pem_private_key((folder / "identity.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    number = key.private_numbers().private_value.to_bytes(32, "big")
    vault = (folder / "vault.key").read_bytes()
    found = {"identity key": number, "vault key": vault}
    found |= {f"{name} as text": base64.b64encode(value)[:40] for name, value in dict(found).items()}
    pem = b"".join((folder / "identity.key").read_bytes().split(b"\n")[1:-2])
    found["identity PEM"] = pem[40:90]
    accounts = [(device.serial, one) for device in devices for one in device.accounts._by_name.values()]
    return found | {f"account {one.name} of {serial}": one.password.encode() for serial, one in accounts}


def texts_of(folder: Path) -> dict[str, bytes]:
    """All but the two keys' own files."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".key"]
    return {path.name: path.read_bytes() for path in files}


async def bundle_of(folder: Path, *arguments: str) -> dict[str, bytes]:
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-c", MAIN, "debug-bundle", "--out", "-", *arguments],
        env=environment(folder) | {f"FARSITE_EDGE_{name}": value for name, value in SETTINGS.items()},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    with zipfile.ZipFile(io.BytesIO(out)) as archive:
        texts = {name: archive.read(name) for name in archive.namelist()}
    return texts | {"said": said}


def check(texts: dict[str, bytes], secrets: dict[str, bytes]) -> None:
    for where, text in texts.items():
        assert b"canary" not in text, (where, text[max(0, text.index(b"canary") - 200) :][:300])
        for name, secret in secrets.items():
            assert secret not in text, (where, name)


async def test_no_secret_leaves_its_place(tmp_path: Path, devices: list[SimulatedDevice]) -> None:
    folder = tmp_path / "edge"
    async with run_edge(folder, poll_interval=3600, discovery_interval=3600) as edge:
        await edge.host.registry.found(
            [FoundDevice(one.serial, one.address, one.http_port) for one in devices]
        )
        await edge.host.manager.add([one.serial for one in devices])
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-X", "dev", "-W", "ignore", "-c", MAIN, "run", "--json"],
        env=environment(folder) | {f"FARSITE_EDGE_{name}": value for name, value in SETTINGS.items()},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None and process.stdout is not None
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(process.stderr.read())
            await event(process, "ready")
            await everything(AdminCaller(folder), devices, "http://127.0.0.1:9")
            told = {
                "answers": (await AdminCaller(folder).call("GET", "/settings", Settings))
                .model_dump_json()
                .encode()
            }
            told |= await bundle_of(folder)
            told["arguments"] = Path(f"/proc/{process.pid}/cmdline").read_bytes()
            told |= texts_of(folder)  # as it runs, the WAL with it
            process.send_signal(signal.SIGABRT)
        crash = reading.result()
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert b"Fatal Python error: Aborted" in crash and b"step" in crash
    secrets = secrets_of(folder, devices)
    assert {SET_UP, NEW, ROOT} <= {
        value.decode() for name, value in secrets.items() if name.startswith("account")
    }
    check(told, secrets)
    check({"log and crash": crash, "events": await process.stdout.read()}, secrets)
    check(texts_of(folder), secrets)
    check(await bundle_of(folder), secrets)
    rows = sqlite3.connect(folder / "edge.db")
    memory = rows.execute(
        "SELECT group_concat(coalesce(memory, '') || payload) FROM task_devices"
    ).fetchone()[0]
    rows.close()
    assert "secret" in memory  # its name is there, and opens nothing


async def test_a_bundle_when_the_database_is_damaged(tmp_path: Path) -> None:
    """Stopped, with a page of rubbish: everything else is inside, and it says what is missing."""
    async with run_edge(tmp_path) as edge:
        await edge.host.registry.found(
            [FoundDevice(f"ACCC8E0000{n:02X}", f"10.9.8.{n}", 80) for n in range(90)]
        )
        await edge.host.core.vault.put("device:ACCC8E000001", json.dumps(["root", "canary-kept"]))
    with (tmp_path / "edge.log").open("a") as log:
        log.write("a device said canary-kept, and ACCC8E000001 at 10.9.8.1\n")
    whole = await make_bundle(test_settings(tmp_path))
    assert not [one for one in whole.problems if not one.startswith("status")]
    assert "ACCC8E000001" in whole.files["devices.csv"]
    assert "canary" not in "".join(whole.files.values())
    content = bytearray((tmp_path / "edge.db").read_bytes())
    (tmp_path / "edge.db").write_bytes(content[:100] + bytes(len(content) - 100))
    damaged = await make_bundle(test_settings(tmp_path))
    assert any("edge.db" in one or "secrets" in one for one in damaged.problems)
    assert "Could not be had" in damaged.files["README.txt"]
    assert "ACCC8E000001" in damaged.files["edge.log"]
    assert "database" in damaged.files["doctor.txt"] and "damaged" in damaged.files["doctor.txt"]
    (tmp_path / "edge.db").unlink()
    assert (await make_bundle(test_settings(tmp_path))).files["versions.json"]


async def test_an_anonymous_bundle(tmp_path: Path) -> None:
    """The same device has the same made-up name in all files of one bundle, and another one in the next."""
    found = [FoundDevice(f"ACCC8E0000{n:02X}", f"10.9.8.{n}", 80) for n in range(20)]
    async with run_edge(tmp_path) as edge:
        await edge.host.registry.found(found)
        await edge.host.audit.write("device.add", actor="local", target="ACCC8E000001")
        first, second = [await make_bundle(edge.host.settings, anonymous=True) for _ in range(2)]
        text = "".join(first.files.values())
        assert not any(one.serial in text or f"{one.address}," in text for one in found)
        assert edge.host.keeper.edge_id not in text and "test site" not in text
    name = next(
        one["target"] for one in json.loads(first.files["audit.json"]) if one["action"] == "device.add"
    )
    assert name.startswith("device-") and name in first.files["devices.csv"]
    assert name not in second.files["devices.csv"]


async def test_a_bundle_beside_a_full_or_read_only_disk_goes_elsewhere(tmp_path: Path) -> None:
    async with run_edge(tmp_path / "edge"):
        pass
    for path in (tmp_path / "edge").iterdir():
        path.chmod(0o400)
    before = {path.name for path in (tmp_path / "edge").iterdir()}
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-c", MAIN, "debug-bundle", "--out", str(tmp_path / "out.zip"), "--json"],
        env=environment(tmp_path / "edge"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    assert "doctor.txt" in json.loads(out)["contents"]
    assert (tmp_path / "out.zip").stat().st_mode & 0o077 == 0
    left = {path.name for path in (tmp_path / "edge").iterdir()} - before
    assert left <= {"edge.db-wal", "edge.db-shm"}


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("Authorization: Basic cm9vdDpjYW5hcnk=", "cm9vdDpjYW5hcnk"),
        ('Digest username="root", response="canary"', "canary"),
        ("http://me:canary@proxy:3128/x", "canary"),
        ('{"new_password": "can\\"ary canary", "a": 1}', "canary"),
        ("pwd=canary&x=1", "canary"),
        ("setup_token: canary", "canary"),
        ("-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----", "canary"),
        ("Account(username='root', password='canary')", "canary"),
        ("known canary-value somewhere", "canary"),
    ],
)
def test_what_is_written_like_a_secret_is_hidden(text: str, hidden: str) -> None:
    assert hidden not in Redactor(["canary-value"])(text)


def test_tracebacks_and_messages_of_others_are_looked_through() -> None:
    def fails(password: str) -> None:
        raise ValueError(f"no such thing: http://me:{password}@host/ password={password!r}")

    try:
        fails(WRONG)
    except ValueError:
        record = logging.LogRecord(
            "x", logging.ERROR, __file__, 1, "got\x1b[2J %s", ("a\nb",), sys.exc_info()
        )
    text = RedactingFormatter("%(message)s").format(record)
    assert "canary" not in text and "Traceback" in text
    assert text.startswith("got\\x1b[2J a\\nb\n")
    assert "canary" not in repr(Account("root", "canary"))
