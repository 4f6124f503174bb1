"""Packages as files: good ones, damaged ones, and those made to do harm."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from farsite_edge.apps import AppFolder, BadPackage, package, read_package
from farsite_edge.apps.package import app_version
from farsite_edge.vapix.applications import ListApplications
from farsite_edge.vapix.request import Answer
from farsite_signaling.wire.apps_api import AppStatus
from tests.edge.apps.packages import eap, manifest, member

RECORDED = Path(__file__).parent / "recorded"


def test_what_a_package_says(tmp_path: Path) -> None:
    path = eap(tmp_path, "vmd", "4.5-2", "aarch64", signed=True, schema="1.7.1")
    digest, facts = read_package(path)
    assert (facts.name, facts.version, facts.architecture) == ("vmd", "4.5-2", "aarch64")
    assert (facts.requires, facts.signed, len(digest)) == ("12.0", True, 64)
    _, plain = read_package(eap(tmp_path, "other", "1.0", "armv7hf", signed=False))
    assert (plain.requires, plain.signed) == ("", False)


def test_an_old_package_has_only_a_conf(tmp_path: Path) -> None:
    conf = b"""PACKAGENAME="Motion"
APPTYPE="armv7hf"
APPNAME="vmd"
APPMAJORVERSION="4"
APPMINORVERSION="4"
APPMICROVERSION="5"
"""
    path = tmp_path / "old.eap"
    path.write_bytes(gzip.compress(tarred(member("package.conf", conf))))
    _, facts = read_package(path)
    assert (facts.name, facts.title, facts.version, facts.architecture) == (
        "vmd",
        "Motion",
        "4.4-5",
        "armv7hf",
    )


def tarred(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def squeezed(content: bytes) -> bytes:
    """The same at any time, as what names a test has to be."""
    return gzip.compress(content, mtime=0)


def linked(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def device_file() -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo("null")
    info.type = tarfile.CHRTYPE
    return info, b""


GOOD = member("manifest.json", manifest("vmd", "1.0", "aarch64"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"PK\x03\x04 a zip", "no app package"),
        (squeezed(b"not a tar" * 200), "no readable archive"),
        (squeezed(tarred(member("lib/x", b"1"))), "neither manifest.json nor package.conf"),
        (squeezed(tarred(GOOD, member("a", b"x" * 3000)))[:-40], "truncated"),
        (squeezed(tarred(GOOD, member("../../etc/passwd", b"x"))), "outside the app's folder"),
        (squeezed(tarred(GOOD, member("/etc/passwd", b"x"))), "outside the app's folder"),
        (squeezed(tarred(GOOD, member("a\\..\\b", b"x"))), "outside the app's folder"),
        (squeezed(tarred(GOOD, linked("lib/a", "../../../etc"))), "leads outside"),
        (squeezed(tarred(GOOD, linked("lib/a", "/etc/shadow"))), "leads outside"),
        (squeezed(tarred(GOOD, linked("a", "../x", tarfile.LNKTYPE))), "leads outside"),
        (squeezed(tarred(GOOD, device_file())), "device file"),
        (squeezed(tarred(member("manifest.json", b"{"))), "not understood"),
        (squeezed(tarred(member("manifest.json", manifest("../x", "1.0", "all")))), "names no app"),
        (squeezed(tarred(member("manifest.json", manifest("vmd", "none", "all")))), "names no version"),
        (
            squeezed(tarred(member("manifest.json", b" " * (2 * 1024 * 1024)))),
            "not a small regular file",
        ),
    ],
)
def test_bad_ones(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "bad.eap"
    path.write_bytes(content)
    with pytest.raises(BadPackage, match=said):
        read_package(path)


def test_links_within_are_good(tmp_path: Path) -> None:
    path = tmp_path / "good.eap"
    path.write_bytes(
        gzip.compress(tarred(GOOD, linked("lib/libx.so", "libx.so.1"), linked("html/a", "../lib/a")))
    )
    assert read_package(path)[1].name == "vmd"


def test_a_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "MAX_UNPACKED", 4 * 1024 * 1024)
    monkeypatch.setattr(package, "MAX_MEMBERS", 50)
    path = tmp_path / "bomb.eap"
    path.write_bytes(gzip.compress(tarred(GOOD, member("zeros", bytes(8 * 1024 * 1024)))))
    assert path.stat().st_size < 64 * 1024
    with pytest.raises(BadPackage, match="bomb"):
        read_package(path)
    path.write_bytes(gzip.compress(tarred(GOOD, *[member(f"f{number}", b"") for number in range(80)])))
    with pytest.raises(BadPackage, match="more than 50 files"):
        read_package(path)


async def test_the_folder(tmp_path: Path) -> None:
    eap(tmp_path, "vmd", "4.5-2", "aarch64")
    (tmp_path / "broken.eap").write_bytes(b"nonsense")
    (tmp_path / "note.txt").write_text("not one")
    (tmp_path / "link.eap").symlink_to(tmp_path / "vmd_4.5-2_aarch64.eap")
    folder = AppFolder(tmp_path)
    assert {one.file: one.problem for one in await folder.packages()} == {
        "broken.eap": "It is no app package.",
        "vmd_4.5-2_aarch64.eap": None,
    }
    (usable,) = await folder.usable()
    assert b"".join([block async for block in usable.blocks()]) == usable.path.read_bytes()
    usable.path.unlink()
    assert await folder.usable() == []


def test_versions() -> None:
    assert app_version("4.4-5") == (4, 4, 5) < app_version("4.10.1") < app_version("5")
    assert app_version("1.0") == app_version("1") and app_version("none") == ()


def test_recorded_lists() -> None:
    """Answers of real devices (Kane610/axis, AXIS OS 9.80 and older)."""
    request = ListApplications()
    found = {}
    for file in sorted(RECORDED.glob("*.xml")):
        for app in request.parse(Answer(200, file.read_bytes())):
            found[app.name] = app
    assert found["vmd"].version and found["vmd"].status is AppStatus.RUNNING
    assert all(app.signed is None and not app.bundled for app in found.values())
