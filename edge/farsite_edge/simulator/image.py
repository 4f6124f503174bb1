"""Makes images that simulated devices take: the container of a real one, with nothing in it that runs."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, cast

from farsite_edge.axis_os.container import unpacked
from farsite_edge.axis_os.image import MAX_INFO, Head

SIGNATURE = "signature"
_HEAD = 16


def make_image(
    file: Path,
    models: Sequence[str],
    version: str,
    *,
    size: int = 64 * 1024,
    signed: bool = True,
    upgradeable_from: Sequence[str] = (),
    zstd: bool = False,
) -> Path:
    """`size` bytes of payload that cannot be compressed; `zstd`: the container of AXIS OS 13."""
    info = {
        "Release": version,
        "BuildNbr": "1",
        "PartNbr": "0000000001",
        "SigningDomain": "farsite-simulator",
        "UpgradeableFrom": list(upgradeable_from),
        "Products": [{"ProdNbr": model, "HardwareID": "000"} for model in models],
    }
    content = json.dumps(info).encode()
    members = {"header": b"simulated", "info.json": content}
    if signed:
        members[SIGNATURE] = _signature(content)
    members["payload"] = os.urandom(size)
    with _packed(file, zstd) as packed, tarfile.open(fileobj=packed, mode="w|") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file


def _packed(file: Path, zstd: bool) -> IO[bytes]:
    if not zstd:
        return cast("IO[bytes]", gzip.open(file, "wb", compresslevel=1))
    import zstandard

    return cast("IO[bytes]", zstandard.open(file, "wb"))


def is_signed(file: Path) -> bool:
    """Whether the image was made here and its info.json is the one it was made with."""
    found: dict[str, bytes] = {}
    with file.open("rb") as opened, tarfile.open(fileobj=Head(unpacked(opened)), mode="r|") as archive:  # type: ignore[call-overload]
        for member in (archive.next() for _ in range(_HEAD)):
            if member is None or len(found) == 2:
                break
            if member.name in ("info.json", SIGNATURE) and member.isreg() and member.size <= MAX_INFO:
                content = archive.extractfile(member)
                found[member.name] = content.read() if content is not None else b""
    return found.get(SIGNATURE) == _signature(found.get("info.json", b""))


def _signature(info: bytes) -> bytes:
    return hashlib.sha256(b"farsite-simulator" + info).hexdigest().encode()
