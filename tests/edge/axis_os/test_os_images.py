"""Images of the operator's folder: good ones are found, every other file is refused with the reason."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from farsite_edge.axis_os import container, image
from farsite_edge.axis_os.container import BadImage
from farsite_edge.axis_os.folder import ImageFolder, for_model
from farsite_edge.axis_os.image import read_image
from farsite_edge.simulator.image import make_image
from farsite_edge.store import Database
from farsite_signaling.wire.edge_tasks import OsImage

INFO = {"Release": "12.10.1", "Products": [{"ProdNbr": "P3265-V"}]}


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[ImageFolder]:
    async with Database(tmp_path / "edge.db") as database:
        yield ImageFolder(tmp_path / "images", database)


def archive(*members: tuple[tarfile.TarInfo, bytes], packed: bool = True) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member, data in members:
            tar.addfile(member, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), 1) if packed else buffer.getvalue()


def member(name: str, data: bytes = b"", **attributes: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return info, data


def with_info(content: object) -> bytes:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return archive(member("header", b"x"), member("info.json", data))


async def only(folder: ImageFolder, data: bytes) -> OsImage:
    folder.folder.mkdir(exist_ok=True)
    (folder.folder / "one.bin").write_bytes(data)
    return (await folder.images())[0]


async def test_what_an_image_says_of_itself_counts_not_its_name(folder: ImageFolder) -> None:
    folder.folder.mkdir()
    make_image(
        folder.folder / "Q9999_1_2_3.bin", ["P3265-V", "M3215-LVE"], "12.10.1", upgradeable_from=["11.11"]
    )
    found = (await folder.images())[0]
    assert (found.version, found.models, found.problem) == ("12.10.1", ["P3265-V", "M3215-LVE"], None)
    assert found.upgradeable_from == ["11.11"] and len(found.id) == 64
    assert list(for_model(await folder.usable(), "axis p3265-v")) == ["12.10.1"]
    assert for_model(await folder.usable(), "Q9999") == {}


async def test_a_file_is_read_once_and_again_when_it_changes(
    folder: ImageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.folder.mkdir()
    file = make_image(folder.folder / "a.bin", ["P3265-V"], "12.10.1")
    first = (await folder.images())[0]
    monkeypatch.setattr("farsite_edge.axis_os.folder.read_image", None)
    assert (await folder.images())[0] == first
    monkeypatch.undo()
    make_image(file, ["P3265-V"], "12.10.2", size=9999)
    assert (await folder.images())[0].version == "12.10.2"
    file.unlink()
    assert await folder.images() == []


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"not an image", "no AXIS OS image"),
        (os.urandom(5000), "no AXIS OS image"),
        (b"\x28\xb5\x2f\xfd" + bytes(100), "truncated"),
        (gzip.compress(b""), "no readable archive"),
        (gzip.compress(os.urandom(5000)), "no readable archive"),
        (gzip.compress(bytes(5000)), "no info.json"),
        (with_info(INFO)[:-20], "truncated"),
        (with_info(INFO)[:-8] + bytes(8), "damaged"),
        (archive(member("header", b"x")), "no info.json"),
        (archive(*(member(f"m{n}") for n in range(40)), member("info.json", b"{}")), "no info.json"),
        (with_info(b"\xff{"), "not understood"),
        (with_info([]), "not understood"),
        (with_info({"Release": "12.1"}), "Products"),
        (with_info(INFO | {"Release": "../../etc"}), "no version"),
        (with_info(INFO | {"Products": []}), "Products"),
        (with_info(INFO | {"Products": [{"ProdNbr": "P"}] * 1001}), "Products"),
        (with_info(b" " * (image.MAX_INFO + 1)), "small regular file"),
        (archive(member("info.json", type=tarfile.SYMTYPE, linkname="/etc/passwd")), "small regular file"),
        (archive(member("../info.json", b"{}")), "no info.json"),
        (archive(member("/info.json", b"{}")), "no info.json"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "file",
)
async def test_what_is_refused(folder: ImageFolder, data: bytes, reason: str) -> None:
    found = await only(folder, data)
    assert found.problem is not None and reason in found.problem
    assert await folder.usable() == []


async def test_a_link_is_not_followed(folder: ImageFolder, tmp_path: Path) -> None:
    outside = make_image(tmp_path / "outside.img", ["P3265-V"], "12.10.1")
    folder.folder.mkdir()
    (folder.folder / "link.bin").symlink_to(outside)
    (folder.folder / "folder.bin").mkdir()
    os.mkfifo(folder.folder / "pipe.bin")
    assert await folder.images() == []


def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small limits stand for large files: what unpacks to more than they say is refused while it is read."""
    monkeypatch.setattr(image, "MAX_HEAD", 2**20)
    monkeypatch.setattr(container, "MAX_UNPACKED", 2**22)
    bomb = tmp_path / "bomb.bin"
    bomb.write_bytes(archive(member("header", bytes(2**21)), member("info.json", json.dumps(INFO).encode())))
    with pytest.raises(BadImage, match="near its beginning"):
        read_image(bomb)
    bomb.write_bytes(archive(member("info.json", json.dumps(INFO).encode()), member("rest", bytes(2**23))))
    with pytest.raises(BadImage, match="bomb"):
        read_image(bomb)


@pytest.mark.parametrize("threads", [0, 2], ids=["one-frame", "threads"])
async def test_containers_of_axis_os_13(folder: ImageFolder, threads: int) -> None:
    tar = archive(member("info.json", json.dumps(INFO | {"Release": "13.0.4"}).encode()), packed=False)
    packed = zstandard.ZstdCompressor(level=3, threads=threads, write_checksum=True).compress(tar)
    found = await only(folder, packed + b"appended signature")
    assert (found.problem, found.version, found.models) == (None, "13.0.4", ["P3265-V"])


@pytest.mark.parametrize("content_size", [True, False])
def test_several_frames_are_one_container(tmp_path: Path, content_size: bool) -> None:
    tar = archive(member("info.json", json.dumps(INFO).encode()), packed=False)
    pack = zstandard.ZstdCompressor(write_content_size=content_size).compress
    file = tmp_path / "a.bin"
    skippable = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
    file.write_bytes(skippable + pack(tar[:700]) + pack(tar[700:]))
    assert read_image(file)[1].release == "12.10.1"


def test_damaged_zstd_containers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tar = archive(
        member("info.json", json.dumps(INFO).encode()), member("rest", os.urandom(400_000)), packed=False
    )
    packed = zstandard.ZstdCompressor(write_checksum=True).compress(tar)
    file = tmp_path / "a.bin"
    file.write_bytes(packed[:-2])
    with pytest.raises(BadImage, match="truncated"):
        read_image(file)
    file.write_bytes(packed[:-2] + b"xx")
    with pytest.raises(BadImage, match="damaged"):
        read_image(file)
    monkeypatch.setattr(container, "MAX_UNPACKED", 2**22)
    bomb = archive(member("info.json", json.dumps(INFO).encode()), member("rest", bytes(2**23)), packed=False)
    file.write_bytes(zstandard.ZstdCompressor(level=19).compress(bomb))
    with pytest.raises(BadImage, match="bomb"):
        read_image(file)


def test_a_header_that_claims_gigabytes_allocates_nothing(tmp_path: Path) -> None:
    """PAX and GNU long-name headers are read into memory whole: the stream ends before."""
    header, _ = member("x", type=tarfile.GNUTYPE_LONGNAME)
    header.size = 8 * 2**30
    data = gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
    (tmp_path / "a.bin").write_bytes(data)
    with pytest.raises(BadImage):
        read_image(tmp_path / "a.bin")


_GOOD = with_info(INFO)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_garbage_never_raises_anything_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    raw = bytearray(gzip.decompress(_GOOD))
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path_factory.mktemp("images") / "a.bin"
    file.write_bytes(gzip.compress(bytes(raw[: data.draw(st.integers(0, len(raw)))]), 1))
    try:
        read_image(file)
    except BadImage as error:
        assert str(error)
