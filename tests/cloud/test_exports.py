"""Exports of all of an organization's data."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
import secrets
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from farsite_cloud.accounts.tokens import digest
from farsite_cloud.exports import making, service, worker
from farsite_cloud.exports.archive import CHUNK, Archive, csv_head, csv_lines, jsonl
from farsite_cloud.exports.tables import exported_tables
from farsite_signaling.wire.lifecycle_api import ExportManifest
from farsite_signaling.wire.rights import Role


async def _finished(world, export_id, state="done"):
    async with asyncio.timeout(20):
        while True:
            export = await world.owner.ok("GET", f"~/exports/{export_id}")
            if export["state"] in (state, "failed", "expired"):
                return export
            await asyncio.sleep(0.05)


async def _file(world, export_id) -> bytes:
    path = f"{world.running.url}/api/v1/organizations/{world.owner.org}/exports/{export_id}/file"
    headers = {"Authorization": f"Bearer {world.owner.token}"}
    async with world.http.get(path, headers=headers) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "application/zip"
        return await response.read()


def _rows(archive: zipfile.ZipFile, table: str) -> Iterator[dict[str, object]]:
    return (json.loads(line) for line in archive.read(f"{table}.jsonl").decode().splitlines())


@pytest.mark.both_databases
async def test_everything_is_in_the_file_but_secrets(world):
    folder = await world.folder("=cmd|'/c calc'!A1")
    code = await world.setup_code()
    await world.edge(folder=folder)
    await world.member(Role.VIEWER, folders=[folder])
    program = await world.service(Role.VIEWER)
    body = {"emails": ["invited@example.com"], "role": "viewer", "all_folders": True}
    await world.owner.ok("POST", "~/invitations", body)
    mailed = await world.mailed_code("invited@example.com")
    other = await world.other_organization()
    await world.edge(other, name="Foreign site")
    asked = await world.owner.ok("POST", "~/exports")
    export = await _finished(world, asked["id"])
    assert export["state"] == "done" and export["rows_done"] == export["rows_total"] > 5
    data = await _file(world, export["id"])
    assert (len(data), hashlib.sha256(data).hexdigest()) == (export["size"], export["sha256"])
    archive = zipfile.ZipFile(io.BytesIO(data))
    assert archive.testzip() is None
    manifest = ExportManifest.model_validate_json(archive.read("manifest.json"))
    assert (manifest.schema_version, manifest.organization_id) == (1, world.owner.org)
    for file in manifest.files:
        assert hashlib.sha256(archive.read(file.name)).hexdigest() == file.sha256
        if file.name.endswith(".csv"):
            rows = list(csv.DictReader(io.StringIO(archive.read(file.name).decode())))
            assert (len(rows), list(rows[0]) if rows else file.columns) == (file.rows, file.columns)
    assert {row["name"] for row in _rows(archive, "edge_hosts")} == {"Site"}
    assert {row["email"] for row in _rows(archive, "users")} >= {"owner@example.com"}
    assert any(row["name"].startswith("=cmd") for row in _rows(archive, "folders"))
    assert "'=cmd" in archive.read("folders.csv").decode()
    whole = b"".join(archive.read(name) for name in archive.namelist()).decode()
    assert "Foreign site" not in whole and other.org not in whole
    for secret in (code, mailed, program.token, world.owner.token, "PRIVATE KEY", "$argon2"):
        assert secret not in whole
        assert digest(secret) not in whole and digest(secret.replace("-", "")) not in whole


async def test_owners_only_and_of_their_own(world):
    asked = await world.owner.ok("POST", "~/exports")
    await _finished(world, asked["id"])
    admin, other = await world.member(Role.ADMIN), await world.other_organization()
    for path in ("~/exports", f"~/exports/{asked['id']}", f"~/exports/{asked['id']}/file"):
        assert (await admin("GET", path)).body["right"] == "organization.own"
    assert (await other("GET", f"~/exports/{asked['id']}/file")).status == 404
    [downloaded] = [row for row in await world.audit() if row["action"] == "export.requested"]
    assert downloaded["target"] == asked["id"]


async def test_it_expires_and_its_file_goes(world):
    asked = await world.owner.ok("POST", "~/exports")
    await _finished(world, asked["id"])
    world.clock.advance(days=3)
    assert (await world.owner("GET", f"~/exports/{asked['id']}/file")).status == 404
    assert (await _finished(world, asked["id"], "expired"))["state"] == "expired"
    async with world.services.database.reading() as session:
        from farsite_cloud.database import Scope
        from farsite_cloud.exports.models import ExportChunk

        scope = Scope(session, world.owner.org)
        assert await scope.count(scope.select(ExportChunk)) == 0


async def test_one_that_broke_off_is_begun_again_and_given_up_in_the_end(world, monkeypatch):
    broken = []

    async def breaks(self, *arguments, **more):
        broken.append(self)
        raise RuntimeError("the process died here")

    monkeypatch.setattr(making.Maker, "_manifest", breaks)
    asked = await world.owner.ok("POST", "~/exports")
    for number in range(1, service.MOST_ATTEMPTS + 1):
        async with asyncio.timeout(10):
            while len(broken) < number:
                await asyncio.sleep(0.02)
        assert await worker.export_one(world.services) is False, "the lease is somebody else's"
        if number == 2:
            assert (await world.owner("POST", "~/exports")).code == "conflict"
        world.clock.advance(minutes=1, seconds=1)
    failed = await _finished(world, asked["id"], "failed")
    assert failed["state"] == "failed" and "broke off" in failed["problem"]
    assert (await world.owner("GET", f"~/exports/{asked['id']}/file")).code == "conflict"
    monkeypatch.undo()
    again = await world.owner.ok("POST", "~/exports")
    assert (await _finished(world, again["id"]))["state"] == "done"


async def test_as_many_are_kept_as_may_be(world, monkeypatch):
    monkeypatch.setattr(service, "MOST_KEPT", 1)
    asked = await world.owner.ok("POST", "~/exports")
    await _finished(world, asked["id"])
    assert (await world.owner("POST", "~/exports")).code == "conflict"
    assert (await world.owner("DELETE", f"~/exports/{asked['id']}")).status == 204
    await world.owner.ok("POST", "~/exports")


@pytest.mark.both_databases
async def test_it_shows_one_moment_however_long_it_takes(world, monkeypatch):
    """A folder and its edge host, made after the export began, are both not in it."""
    from farsite_cloud.database import Scope

    original, made = making.Maker._users, []

    async def meanwhile(self, scope: Scope) -> None:
        if not made:
            made.append(await world.folder("Made meanwhile"))
            await world.edge(name="Claimed meanwhile", folder=made[0])
        await original(self, scope)

    monkeypatch.setattr(making.Maker, "_users", meanwhile)
    asked = await world.owner.ok("POST", "~/exports")
    export = await _finished(world, asked["id"])
    archive = zipfile.ZipFile(io.BytesIO(await _file(world, export["id"])))
    assert made and "meanwhile" not in "".join(
        archive.read(f"{n}.jsonl").decode() for n in ("folders", "edge_hosts")
    )


def test_secret_columns_of_every_table_stay():
    for table in exported_tables():
        assert not {"digest", "secret", "password_hash", "data"} & set(table.columns), table.name
        assert {"id", "organization_id"} <= set(table.columns), table.name


def test_why_a_device_failed_goes_along():
    tables = {table.name: table for table in exported_tables()}
    for name in ("campaign_devices", "campaign_orders", "edge_host_work"):
        assert "code" in tables[name].columns, name


def test_an_archive_comes_out_in_chunks():
    archive = Archive(datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC))
    archive.begin("a.jsonl")

    noise = secrets.token_bytes(3 * CHUNK)
    archive.write(noise)
    archive.end()
    chunks = archive.take()
    archive.close()
    chunks += archive.take(everything=True)
    assert all(len(chunk) == CHUNK for chunk in chunks[:-1])
    assert zipfile.ZipFile(io.BytesIO(b"".join(chunks))).read("a.jsonl") == noise


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, ""),
        (["a"], '"[""a""]"'),
        ("=1+1", "'=1+1"),
        (" @x", "' @x"),
        (-5, "-5"),
        ("line\nbreak", '"line\nbreak"'),
        ("\u202eevil 😀", "\u202eevil 😀"),
    ],
)
def test_cells_are_text(value, cell):
    assert csv_lines(["x"], [{"x": value}]).decode() == f"{cell}\r\n" or cell == ""
    assert json.loads(jsonl([{"x": value}])) == {"x": value}
    assert csv_head(["x"]) == b"x\r\n"
