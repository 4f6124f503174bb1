"""`farsite cloud backup` of a running cloud, and `restore` into an empty folder."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from farsite_client.cloud import CloudClient
from farsite_cloud.cli import cloud as commands
from farsite_cloud.testing import OWNER_EMAIL, OWNER_PASSWORD, run_cloud

runner = CliRunner()


def _ran(*arguments: object) -> tuple[int, str]:
    result = runner.invoke(commands, [str(one) for one in arguments])
    return result.exit_code, result.output


@asynccontextmanager
async def _signed_in(url: str) -> AsyncIterator[CloudClient]:
    async with CloudClient(url) as client:
        client.token = (await client.sign_in(OWNER_EMAIL, OWNER_PASSWORD)).token
        yield client


async def _folders(url: str) -> set[str]:
    async with _signed_in(url) as client:
        (organization,) = await client.organizations()
        return {folder.name for folder in await client.folders(organization.id)}


async def test_what_was_there_when_it_was_made_is_back(tmp_path: Path) -> None:
    file = tmp_path / "cloud.tar.gz"
    async with run_cloud(tmp_path / "one") as cloud, _signed_in(cloud.url) as client:
        (organization,) = await client.organizations()
        await client.create_folder(organization.id, "Before")
        code, out = _ran("backup", file, "--data-dir", tmp_path / "one", "--json")
        assert (code, json.loads(out)["has_key"]) == (0, True)
        await client.create_folder(organization.id, "After")
    assert file.stat().st_mode & 0o077 == 0 and not file.with_name("cloud.tar.gz.part").exists()
    code, out = _ran("restore", file, "--data-dir", tmp_path / "two")
    assert code == 0 and "farsite up" in out
    assert (tmp_path / "two" / "master.key").stat().st_mode & 0o077 == 0
    async with run_cloud(tmp_path / "two") as cloud:
        found = await _folders(cloud.url)
        assert "Before" in found and "After" not in found


async def test_no_cloud_is_written_over(tmp_path: Path) -> None:
    file = tmp_path / "cloud.tar.gz"
    async with run_cloud(tmp_path / "one"):
        assert _ran("backup", file, "--data-dir", tmp_path / "one")[0] == 0
    code, out = _ran("restore", file, "--data-dir", tmp_path / "one")
    assert code == 1 and "[conflict]" in out


def test_there_is_something_to_back_up(tmp_path: Path) -> None:
    code, out = _ran("backup", tmp_path / "x.tar.gz", "--data-dir", tmp_path)
    assert code == 1 and "--data-dir" in out and not list(tmp_path.iterdir())


@pytest.mark.parametrize("what", ["missing", "torn", "text", "outside", "link"])
def test_what_is_no_backup_is_refused_and_leaves_nothing(tmp_path: Path, what: str) -> None:
    file, folder = tmp_path / "cloud.tar.gz", tmp_path / "data"
    match what:
        case "torn":
            _archive(file, "manifest.json", b"{}" * 5000)
            file.write_bytes(file.read_bytes()[:40])
        case "text":
            file.write_text("no archive")
        case "outside":
            _archive(file, "../outside", b"x")
        case "link":
            _archive(file, "master.key", b"", link="/etc/passwd")
    code, out = _ran("restore", file, "--data-dir", folder)
    assert code == 1 and "[invalid_request]" in out, out
    assert not list(folder.iterdir()) and not (tmp_path / "outside").exists()


def _archive(file: Path, name: str, data: bytes, link: str = "") -> None:
    with tarfile.open(file, "w:gz") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        if link:
            entry.type, entry.linkname = tarfile.SYMTYPE, link
        archive.addfile(entry, io.BytesIO(data))
