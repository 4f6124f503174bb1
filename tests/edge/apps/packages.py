"""App packages made for tests."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path


def manifest(name: str, version: str, architecture: str, schema: str = "1.0") -> bytes:
    setup = {
        "appName": name,
        "friendlyName": name.title(),
        "vendor": "Acme",
        "version": version,
        "architecture": architecture,
    }
    return json.dumps({"schemaVersion": schema, "acapPackageConf": {"setup": setup}}).encode()


def member(name: str, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info, content


def eap(
    folder: Path, name: str, version: str, architecture: str, *, signed: bool = True, schema: str = "1.0"
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for info, content in (
            member("manifest.json", manifest(name, version, architecture, schema)),
            member(name, b"\x7fELF" + version.encode() * 5000),
        ):
            archive.addfile(info, io.BytesIO(content))
    path = folder / f"{name}_{version}_{architecture}.eap"
    path.write_bytes(gzip.compress(file.getvalue()) + (b"a signature" if signed else b""))
    return path
