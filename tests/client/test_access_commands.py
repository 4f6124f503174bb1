"""`farsite support|service-accounts|tokens|orgs delete|restore|export|account delete` against a real cloud."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from farsite_client.cli.choosing import end_of
from farsite_client.cloud import CloudClient
from farsite_cloud.testing import OWNER_EMAIL, OWNER_PASSWORD, run_cloud
from farsite_signaling.wire.errors import FarsiteError

pytestmark = pytest.mark.timeout(240)
LOGIN = {"FARSITE_CLIENT_PASSWORD": OWNER_PASSWORD}


async def _done(cli: Any, *arguments: str, **more: str) -> Any:
    ran = await cli(*arguments, "--json", **more)
    assert ran.code == 0, ran.err + ran.out
    return json.loads(ran.out) if ran.out else None


async def test_programs_and_support_by_command(cli: Any, tmp_path: Path) -> None:
    async with run_cloud() as cloud:
        await _done(cli, "login", cloud.url, "--email", OWNER_EMAIL, **LOGIN)
        await _done(cli, "folders", "create", "Paris")
        made = await _done(
            cli, "service-accounts", "create", "backup", "--role", "operator", "--folder", "Paris"
        )
        token = await _done(cli, "service-accounts", "tokens", "create", "backup", "nightly", "--days", "7")
        home = {"FARSITE_CLIENT_HOME": str(tmp_path / "program")}
        program = await _done(cli, "login", cloud.url, "--token-stdin", stdin=token["token"] + "\n", **home)
        assert program["email"] == made["actor"]
        assert await _done(cli, "folders", "list", **home)
        await _done(cli, "service-accounts", "disable", "backup")
        assert (await cli("edges", **home)).code == 3
        await _done(cli, "service-accounts", "enable", "backup")
        fresh = await _done(
            cli, "service-accounts", "tokens", "rotate", "backup", token["id"], "--overlap", "2"
        )
        assert {one["id"] for one in await _done(cli, "service-accounts", "tokens", "list", "backup")} == {
            token["id"],
            fresh["id"],
        }
        await _done(cli, "service-accounts", "tokens", "revoke", "backup", fresh["id"])
        await _done(cli, "service-accounts", "change", "backup", "--name", "archive", "--role", "admin")
        table = await cli("service-accounts", "list")
        assert "archive" in table.out and "admin" in table.out
        await _done(cli, "service-accounts", "remove", "archive")
        granted = await _done(cli, "support", "grant", "ann@example.com", "--for", "8h", "--folder", "Paris")
        assert granted["active"] is True
        await _done(cli, "support", "extend", "ann@example.com", "--for", "1d")
        assert "Paris" in (await cli("support", "list")).out
        await _done(cli, "support", "end", "ann@example.com")
        assert (await _done(cli, "support", "list")) == []
        assert "ended by" in (await cli("support", "list", "--all")).out


async def test_an_end_by_command(cli: Any, tmp_path: Path) -> None:
    async with run_cloud() as cloud:
        await _done(cli, "login", cloud.url, "--email", OWNER_EMAIL, **LOGIN)
        scoped = await _done(cli, "tokens", "create", "x", "--scope", "edge.read", "--this-organization")
        assert scoped["organization_id"] is not None
        rotated = await _done(cli, "tokens", "rotate", scoped["id"])
        async with CloudClient(cloud.url, rotated["token"]) as client:
            assert len(await client.organizations()) == 1
        file = tmp_path / "all.zip"
        exported = await _done(cli, "orgs", "export", "-o", str(file))
        assert exported["size"] == file.stat().st_size and file.stat().st_mode & 0o077 == 0
        assert "manifest.json" in zipfile.ZipFile(file).namelist()
        assert [one["id"] for one in await _done(cli, "orgs", "exports")] == [exported["id"]]
        assert (await cli("orgs", "delete", "wrong name")).code == 1
        assert (await _done(cli, "orgs", "delete", "My organization"))["deletes_at"] is not None
        assert "deleted at" in (await cli("orgs", "list")).out
        assert (await _done(cli, "orgs", "restore"))["deletes_at"] is None
        last = await cli("account", "delete", "--yes", **LOGIN)
        assert last.code == 1 and "only owner" in last.err
        assert (await cli("account", "delete", stdin="n\n", **LOGIN)).code == 1


def test_ends_are_spans_or_moments() -> None:
    now = datetime(2026, 5, 1, 12, tzinfo=UTC)
    assert end_of("90m", now) == now + timedelta(minutes=90)
    assert end_of("3d", now) == now + timedelta(days=3)
    assert end_of("2026-05-01T18:00+00:00") == datetime(2026, 5, 1, 18, tzinfo=UTC)
    for wrong in ("soon", "8", "8w", "-3d", "٣d"):
        with pytest.raises(FarsiteError, match="no time"):
            end_of(wrong)
