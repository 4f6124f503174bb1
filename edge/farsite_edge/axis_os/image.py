"""Reads what an AXIS OS image says of itself, without unpacking it.

The container is a packed tar with a member `info.json` near its beginning. The file is hostile until the device has
checked its signature: it is read as a stream, with limits on members, bytes and unpacked size.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from farsite_edge.axis_os.container import MIB, BadImage, unpacked
from farsite_edge.vapix.text import clean
from farsite_signaling.wire.os_versions import parse
from farsite_signaling.wire.refusals import plain

MAX_FILE = 2048 * MIB
MAX_HEAD = 64 * MIB  # unpacked, until info.json has been met
MAX_MEMBERS = 16
MAX_INFO = MIB


class _Product(BaseModel):
    model_config = ConfigDict(extra="ignore")

    number: str = Field(alias="ProdNbr", max_length=200)
    hardware: str = Field(default="", alias="HardwareID", max_length=200)


class ImageInfo(BaseModel):
    """`info.json`."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    release: str = Field(alias="Release", max_length=100)
    part_number: str = Field(default="", alias="PartNbr", max_length=100)
    upgradeable_from: list[str] = Field(default_factory=list, alias="UpgradeableFrom", max_length=1000)
    products: list[_Product] = Field(alias="Products", min_length=1, max_length=1000)

    @property
    def models(self) -> list[str]:
        return list(dict.fromkeys(clean(product.number) for product in self.products))


def read_image(path: Path) -> tuple[str, ImageInfo]:
    """SHA-256 of the whole file and its `info.json`; every byte is read and the container's checksum checked.
    Takes seconds: run it in a thread. Raises `BadImage`, `OSError`."""
    size = path.stat().st_size
    if size > MAX_FILE:
        raise BadImage(f"It has more than the {MAX_FILE // MIB} MiB an image may have.")
    with path.open("rb") as file:
        digest = hashlib.sha256()
        info = _info(unpacked(file))
        file.seek(0)
        total = sum(len(part) for part in unpacked(file, digest.update))
    if total == 0:
        raise BadImage("It is empty.")
    return digest.hexdigest(), info


class Head:
    """A stream tarfile can read, which ends after `MAX_HEAD` bytes."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._buffer = b""
        self._left = MAX_HEAD

    def read(self, size: int = -1) -> bytes:
        wanted = min(size if size >= 0 else MAX_HEAD, MAX_HEAD)
        pieces, have = [self._buffer], len(self._buffer)
        while have < wanted and (part := next(self._parts, b"")):
            pieces.append(part)
            have += len(part)
        data = b"".join(pieces)
        self._buffer = data[wanted:]
        self._left -= min(wanted, len(data))
        if self._left < 0:
            raise BadImage("There is no info.json near its beginning: it is no AXIS OS image.")
        return data[:wanted]


def _info(parts: Iterator[bytes]) -> ImageInfo:
    try:
        with tarfile.open(fileobj=cast("BinaryIO", Head(parts)), mode="r|") as archive:
            return _parse(_info_bytes(archive))
    except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError, RecursionError):
        raise BadImage("It is no AXIS OS image: there is no readable archive in it.") from None


def _info_bytes(archive: tarfile.TarFile) -> bytes:
    for _ in range(MAX_MEMBERS):
        member = archive.next()
        if member is None:
            break
        if member.name.removeprefix("./") == "info.json":
            return _content(archive, member)
    raise BadImage("There is no info.json near its beginning: it is no AXIS OS image.")


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if not member.isreg() or not 0 < member.size <= MAX_INFO:
        raise BadImage("Its info.json is not a small regular file: refused.")
    file = archive.extractfile(member)
    content = file.read(MAX_INFO) if file is not None else b""
    if len(content) != member.size:
        raise BadImage("It is truncated inside info.json. Copy the file again.")
    return content


def _parse(content: bytes) -> ImageInfo:
    try:
        info = ImageInfo.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = clean(".".join(str(part) for part in first["loc"]), 60)
        raise BadImage(f"Its info.json is not understood ({where}: {plain(first['msg'])}).") from None
    if not parse(info.release):
        raise BadImage("Its info.json names no version.")
    return info
