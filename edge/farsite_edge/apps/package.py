"""Reads what an app package (.eap) says of itself, without unpacking it.

A package is a gzip tar with `manifest.json` (ACAP 3 and newer) or `package.conf` at its top; signing adds a signature
behind the end of it (ACAP documentation, package signing). The file is hostile: it is read as a stream, with limits on
members, bytes and unpacked size, and nothing of it is ever written anywhere.
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from farsite_edge.vapix.text import clean
from farsite_signaling.wire.os_versions import parse, version_tuple

MIB = 1024 * 1024
MAX_FILE = 1024 * MIB
MAX_UNPACKED = 2048 * MIB
MAX_MEMBERS = 20_000
MAX_FACTS = MIB
BLOCK = 256 * 1024
ANY_ARCHITECTURE = frozenset({"", "all", "any", "noarch", "generic"})
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LINE = re.compile(r"""^\s*([A-Z0-9_]{1,40})=(["']?)(.{0,500}?)\2\s*$""")
# Manifest schema -> AXIS OS it came with (vapix.md, section 7).
_SCHEMA_OS = {
    "1.3": "10.9", "1.3.1": "11.0", "1.4": "11.7", "1.5": "11.8", "1.6": "11.9", "1.7": "11.10", "1.7.1": "12.0",
    "1.8": "12.6", "1.9": "12.8", "1.10": "12.10", "2.0": "12.10", "1.11": "12.11", "2.1": "12.11",
}  # fmt: skip


class BadPackage(Exception):
    """Says why a file cannot be used."""


@dataclass(frozen=True)
class PackageFacts:
    """`requires` is the oldest AXIS OS, as far as the package says; `until` the newest; empty: not said."""

    name: str
    version: str
    architecture: str = ""
    title: str = ""
    vendor: str = ""
    requires: str = ""
    until: str = ""
    signed: bool = False


def read_package(path: Path) -> tuple[str, PackageFacts]:
    """SHA-256 of the whole file and its facts; every byte is read. Takes time: run it in a thread. Raises `BadPackage`,
    `OSError`."""
    if path.stat().st_size > MAX_FILE:
        raise BadPackage(f"It has more than the {MAX_FILE // MIB} MiB a package may have.")
    with path.open("rb") as file:
        stream = _Inflated(file)
        found = _facts_in(stream)
        stream.drain()
    if found is None:
        raise BadPackage("There is neither manifest.json nor package.conf at its top: it is no app.")
    facts = _from_manifest(found[0]) if found[0] is not None else _from_conf(found[1] or b"")
    return stream.digest, PackageFacts(**facts, signed=stream.trailing > 0)


class _Inflated:
    """The unpacked bytes as a stream tarfile can read; counts what follows the end of the gzip data."""

    def __init__(self, file: BinaryIO) -> None:
        self._sha = hashlib.sha256()
        self.trailing = 0
        self._parts = self._inflate(file)
        self._buffer = b""

    @property
    def digest(self) -> str:
        return self._sha.hexdigest()

    def read(self, size: int = -1) -> bytes:
        wanted = size if 0 <= size <= MIB else MIB
        while len(self._buffer) < wanted and (part := next(self._parts, b"")):
            self._buffer += part
        data, self._buffer = self._buffer[:wanted], self._buffer[wanted:]
        return data

    def drain(self) -> None:
        for _ in self._parts:
            pass

    def _inflate(self, file: BinaryIO) -> Iterator[bytes]:
        unpack, total, first = zlib.decompressobj(wbits=31), 0, True
        while block := file.read(BLOCK):
            if first and not block.startswith(b"\x1f\x8b"):
                raise BadPackage("It is no app package.")
            first = False
            self._sha.update(block)
            if unpack.eof:
                self.trailing += len(block)
                continue
            while block and not unpack.eof:
                part = _inflate(unpack, block)
                total += len(part)
                if total > MAX_UNPACKED:
                    raise BadPackage("It unpacks to more than any app has: refused as a decompression bomb.")
                yield part
                block = unpack.unconsumed_tail
            self.trailing += len(unpack.unused_data)
        if first:
            raise BadPackage("It is empty.")
        if not unpack.eof:
            raise BadPackage("It is truncated: the end of the container is missing. Copy the file again.")


def _inflate(unpack: zlib._Decompress, block: bytes) -> bytes:
    try:
        return unpack.decompress(block, BLOCK)
    except zlib.error:
        raise BadPackage("Its container is damaged (wrong checksum or data). Copy the file again.") from None


def _facts_in(stream: _Inflated) -> tuple[bytes | None, bytes | None] | None:
    manifest = conf = None
    try:
        with tarfile.open(fileobj=cast("BinaryIO", stream), mode="r|") as archive:
            for number, member in enumerate(archive):
                if number >= MAX_MEMBERS:
                    raise BadPackage(f"It has more than {MAX_MEMBERS} files: refused.")
                _check_member(member)
                name = member.name.removeprefix("./")
                if name == "manifest.json":
                    manifest = _content(archive, member)
                elif name == "package.conf":
                    conf = _content(archive, member)
    except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError, RecursionError):
        raise BadPackage("There is no readable archive in it.") from None
    return None if manifest is None and conf is None else (manifest, conf)


def _check_member(member: tarfile.TarInfo) -> None:
    """Nothing is unpacked here, but the device does: a package that reaches out of its folder is not passed on."""
    parts = PurePosixPath(member.name)
    if parts.is_absolute() or ".." in parts.parts or "\\" in member.name:
        raise BadPackage(
            f"The file {clean(member.name, 60)!r} in it would be outside the app's folder: refused."
        )
    if member.isdev():
        raise BadPackage(f"{clean(member.name, 60)!r} in it is a device file: refused.")
    if member.issym() or member.islnk():
        base = parts.parent if member.issym() else PurePosixPath()
        if PurePosixPath(member.linkname).is_absolute() or _climbs(base / member.linkname):
            raise BadPackage(
                f"The link {clean(member.name, 60)!r} in it leads outside the app's folder: refused."
            )


def _climbs(path: PurePosixPath) -> bool:
    depth = 0
    for part in path.parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if not member.isreg() or not 0 < member.size <= MAX_FACTS:
        raise BadPackage(f"Its {clean(member.name, 30)} is not a small regular file: refused.")
    file = archive.extractfile(member)
    content = file.read(MAX_FACTS) if file is not None else b""
    if len(content) != member.size:
        raise BadPackage("It is truncated. Copy the file again.")
    return content


def _from_manifest(content: bytes) -> dict[str, str]:
    try:
        document = json.loads(content)
        setup = document["acapPackageConf"]["setup"]
        text = {
            name: clean(setup.get(name), 100)
            for name in ("appName", "friendlyName", "vendor", "version", "architecture")
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BadPackage("Its manifest.json is not understood.") from None
    requires, until = _os_range(document, setup)
    return _checked({
        "name": text["appName"], "title": text["friendlyName"], "vendor": text["vendor"], "version": text["version"],
        "architecture": text["architecture"], "requires": requires, "until": until,
    })  # fmt: skip


def _os_range(document: dict[str, Any], setup: dict[str, Any]) -> tuple[str, str]:
    """What the manifest says itself (schema 2), else what its schema came with."""
    ranges = setup.get("compatibleOsVersions")
    if isinstance(ranges, list) and ranges and all(isinstance(one, dict) for one in ranges[:20]):
        lows = [clean(one.get("min"), 32) for one in ranges[:20]]
        highs = [clean(one.get("max"), 32) for one in ranges[:20]]
        low = min(lows, key=version_tuple) if all(parse(one) for one in lows) else ""
        return low, max(highs, key=version_tuple) if all(parse(one) for one in highs) else ""
    return _SCHEMA_OS.get(clean(document.get("schemaVersion"), 16), ""), ""


def _from_conf(content: bytes) -> dict[str, str]:
    values: dict[str, str] = {}
    for line in content.decode("utf-8", "replace").splitlines()[:500]:
        if match := _LINE.match(line):
            values[match[1]] = clean(match[3], 100)
    numbers = [values.get(f"APP{part}VERSION", "") for part in ("MAJOR", "MINOR")]
    micro = values.get("APPMICROVERSION", "")
    version = ".".join(part for part in numbers if part) + (f"-{micro}" if micro else "")
    return _checked({
        "name": values.get("APPNAME", ""), "title": values.get("PACKAGENAME", ""), "vendor": values.get("VENDOR", ""),
        "version": version, "architecture": values.get("APPTYPE", ""), "requires": "", "until": "",
    })  # fmt: skip


def _checked(facts: dict[str, str]) -> dict[str, str]:
    if not _NAME.fullmatch(facts["name"]):
        raise BadPackage("It names no app, or one by a name that cannot be.")
    if not app_version(facts["version"]):
        raise BadPackage("It names no version.")
    return facts


def app_version(text: str) -> tuple[int, ...]:
    """Versions of apps (`4.4-5`, `1.26.205`) are compared by their groups of digits; none: empty."""
    numbers = [int(part) for part in re.findall(r"[0-9]{1,9}", text)[:8]]
    while numbers and numbers[-1] == 0 and len(numbers) > 1:
        numbers.pop()
    return tuple(numbers)
