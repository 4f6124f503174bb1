"""Puts the bundle together."""

from __future__ import annotations

import asyncio
import importlib.metadata
import io
import json
import platform
import socket
import sqlite3
import ssl
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from farsite_edge.admin.caller import AdminCaller
from farsite_edge.debug_bundle.naming import OtherNames
from farsite_edge.debug_bundle.stored import Stored, read_stored
from farsite_edge.doctor import examine
from farsite_edge.logs import log_files
from farsite_edge.redaction import HIDDEN, Redactor
from farsite_edge.settings import EdgeSettings
from farsite_edge.version import __version__
from farsite_signaling.checks import lines
from farsite_signaling.rest.csv_table import csv_text
from farsite_signaling.wire.edge_api import EdgeStatus

LOG_BYTES = 4 * 1024 * 1024
DOCTOR_SECONDS = 90.0
_LIBRARIES = ("aiohttp", "aiortc", "cryptography", "pydantic", "uvloop", "websockets", "zeroconf")
_COLUMNS = (
    "id", "managed", "state", "address", "http_port", "https_port", "model", "product", "version", "hostname", "found_by",
    "service_account", "log_in", "first_seen", "last_seen", "last_error",
)  # fmt: skip


@dataclass
class Bundle:
    """`files`: text by name, all of it redacted. `problems`: what could not be had, and why."""

    files: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def zipped(self) -> bytes:
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in self.files.items():
                archive.writestr(f"farsite-edge-debug/{name}", text)
        return target.getvalue()


async def make_bundle(settings: EdgeSettings, *, anonymous: bool = False) -> Bundle:
    """Whether the edge host runs or not, whatever its database is like. Writes nothing."""
    stored = await asyncio.to_thread(read_stored, settings.data_dir)
    bundle = Bundle(problems=list(stored.problems))
    status = await _had(bundle, "status", _status(settings))
    report = await _had(bundle, "doctor", _doctor(settings))
    texts = {
        "versions.json": _json(_versions()),
        "settings.json": _json(_settings(settings)),
        "status.json": _json(status),
        "doctor.txt": report or "",
        "files.txt": _files(settings.data_dir),
        "database.json": _json({"quick_check": stored.check, "rows": stored.counts}),
        "devices.csv": _table(stored.devices),
        "tasks.json": _json(stored.tasks),
        "audit.json": _json(stored.audit),
        "edge.log": _logs(settings.data_dir, bundle),
    }
    redact = Redactor(_secrets(settings, stored), _names(settings, stored, status) if anonymous else None)
    bundle.problems = [redact(text) for text in bundle.problems]
    bundle.files = {name: redact(text) for name, text in texts.items()}
    bundle.files = {"README.txt": _readme(bundle, anonymous=anonymous)} | bundle.files
    return bundle


async def _had(bundle: Bundle, name: str, work: Any) -> Any:
    try:
        return await work
    except Exception as error:  # whatever is wrong here is what the bundle is for
        bundle.problems.append(f"{name}: {error.__class__.__name__}: {error}"[:500])
        return None


async def _status(settings: EdgeSettings) -> dict[str, Any]:
    status = await AdminCaller(settings.data_dir).call("GET", "/status", EdgeStatus)
    return status.model_dump(mode="json")


async def _doctor(settings: EdgeSettings) -> str:
    async with asyncio.timeout(DOCTOR_SECONDS):
        return "\n".join(lines(await examine(settings)))


def _versions() -> dict[str, Any]:
    def version(name: str) -> str | None:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None

    return {
        "farsite": __version__,
        "python": sys.version,
        "platform": platform.platform(),
        "sqlite": sqlite3.sqlite_version,
        "openssl": ssl.OPENSSL_VERSION,
        "libraries": {name: version(name) for name in _LIBRARIES},
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _settings(settings: EdgeSettings) -> dict[str, Any]:
    values = settings.model_dump(mode="json")
    secret = [name for name in values if isinstance(getattr(settings, name), SecretStr)]
    return values | dict.fromkeys(secret, HIDDEN)


def _files(folder: Path) -> str:
    """Names, sizes and rights: who cannot read a key finds it here."""
    rows = []
    try:
        for path in sorted(folder.iterdir()):
            about = path.lstat()
            changed = datetime.fromtimestamp(about.st_mtime, UTC)
            rows.append(f"{about.st_mode:o} {about.st_size:>12} {changed:%Y-%m-%d %H:%M:%S} {path.name}")
    except OSError as error:
        rows.append(str(error))
    return "\n".join([str(folder), *rows])


def _table(devices: list[dict[str, Any]]) -> str:
    return csv_text(_COLUMNS, ([one.get(name) for name in _COLUMNS] for one in devices))


def _logs(folder: Path, bundle: Bundle) -> str:
    text = ""
    for path in log_files(folder):
        try:
            text += path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            bundle.problems.append(f"{path.name}: {error.strerror}")
    return text[-LOG_BYTES:]


def _secrets(settings: EdgeSettings, stored: Stored) -> set[str]:
    given = [
        value
        for name in type(settings).model_fields
        if isinstance(value := getattr(settings, name), SecretStr)
    ]
    return stored.secrets | {one.get_secret_value() for one in given}


def _names(settings: EdgeSettings, stored: Stored, status: dict[str, Any] | None) -> dict[str, str]:
    names, told = OtherNames(), status or {}
    site = [
        ("edge", told.get("name")),
        ("edge", settings.name),
        ("edge", told.get("id")),
        ("organization", told.get("organization")),
        ("cloud", told.get("cloud_url")),
        ("host", socket.gethostname()),
    ]
    return names.of_site(site) | names.of_devices(stored.devices)


def _readme(bundle: Bundle, *, anonymous: bool) -> str:
    inside = [f"  {name:<16} {_SAID[name]}" for name in bundle.files]
    hidden = "Passwords, tokens and keys are taken out" + (
        "; serial numbers, addresses and names are replaced by made-up ones." if anonymous else "."
    )
    missing = ["", "Could not be had:", *(f"  {one}" for one in bundle.problems)] if bundle.problems else []
    return "\n".join(["Debug bundle of a Farsite edge host.", hidden, "", *inside, *missing, ""])


def _json(value: object) -> str:
    encode: Callable[[object], str] = str
    return json.dumps(value, indent=1, ensure_ascii=False, default=encode)


_SAID = {
    "versions.json": "Farsite, Python and the libraries it works with",
    "settings.json": "its settings",
    "status.json": "what it says of itself; null when it does not run",
    "doctor.txt": "farsite edge doctor",
    "files.txt": "the files of its data folder: rights, sizes, times",
    "database.json": "SQLite's check, and how many rows each table has",
    "devices.csv": "the devices it knows",
    "tasks.json": "the newest tasks with their devices and steps",
    "audit.json": "the newest audit rows",
    "edge.log": "the end of its log",
}
