"""`farsite cloud move-database`: all of a cloud's data from SQLite to PostgreSQL and back, or none of it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
import sqlalchemy as sa

from farsite_cloud.cli import cloud as commands
from farsite_cloud.database import Database
from farsite_cloud.database.schema import downgrade
from farsite_cloud.database.sqlite import FILE, sqlite_url
from farsite_cloud.models import metadata
from farsite_cloud.moving import carrying, quiet
from farsite_cloud.moving.job import Move
from farsite_cloud.moving.misfits import misfit
from farsite_cloud.moving.tables import PAGE_BYTES, Page, Sum, TableRows, next_length
from farsite_cloud.settings import load_settings
from farsite_cloud.testing import OWNER_EMAIL, OWNER_PASSWORD, _prepare, run_cloud
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from tests.cloud.conftest import MovableClock, World
from tests.cloud.filled import Generated, everything, fill

Everything = dict[str, list[tuple[Any, ...]]]


@pytest.fixture
async def target(new_database) -> AsyncIterator[str]:
    """A PostgreSQL database with this release's tables and no row: making them takes most of a move's time."""
    async with new_database() as url:
        yield url


@pytest.fixture
def ran(monkeypatch):
    """Beside a running loop, as a process would."""
    from typer.testing import CliRunner

    async def run(*arguments: object, **environment: str) -> tuple[int, str]:
        words = [str(one) for one in arguments]
        result = await asyncio.to_thread(CliRunner().invoke, commands, words, env=environment)
        return result.exit_code, result.output

    return run


@asynccontextmanager
async def _world(folder: Path, **settings: Any) -> AsyncIterator[World]:
    clock = MovableClock()
    folder.mkdir(exist_ok=True)
    if "database" not in settings and not (folder / FILE).exists():
        await _prepare(folder)
    async with run_cloud(folder, clock=clock, **settings) as running, aiohttp.ClientSession() as http:
        here = f"127.0.0.1:{running.cloud.port}"
        running.url, running.hub_url = f"http://{here}", f"ws://{here}/hub"
        world = World(running, clock, http)
        await world.prepare()
        yield world


async def _contents(address: Any) -> Everything:
    database = Database(address)
    try:
        async with database.reading() as session:
            return await everything(session)
    finally:
        await database.aclose()


async def _tables(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"))
    finally:
        await connection.close()


async def _rows(url: str) -> int:
    return sum(map(len, (await _contents(url)).values()))


async def _small(folder: Path) -> None:
    """A cloud with what its first start makes, stopped."""
    folder.mkdir(exist_ok=True)
    await _prepare(folder)
    async with run_cloud(folder):
        pass


async def test_there_and_back_every_row_of_every_table_is_as_it_was(tmp_path, empty_database, ran):
    folder = tmp_path / "cloud"
    public = {"public_url": "https://cloud.example.com"}
    async with _world(folder, **public) as world:
        await fill(world)
    database = Database(sqlite_url(folder))
    async with database.writing() as session:
        await Generated().add(session)
    await database.aclose()
    before = await _contents(sqlite_url(folder))
    assert all(len(rows) >= 2 for rows in before.values())

    code, out = await ran("move-database", "--to", empty_database, "--data-dir", folder)
    assert code == 0, out
    assert "Next: set database (FARSITE_DATABASE) to it" in out and str(folder / "master.key") in out
    assert await _contents(empty_database) == before
    code, out = await ran("doctor", "--data-dir", folder, "--json")
    assert "was moved to PostgreSQL" in out and code == 1
    with pytest.raises(FarsiteError, match=r"set database .* --take-back"):
        async with run_cloud(folder):
            pass

    (folder / FILE).rename(tmp_path / "former.db")
    back = ["move-database", "--to", "sqlite", "--data-dir", folder, "--json"]
    code, out = await ran(*back, FARSITE_DATABASE=empty_database)
    assert code == 0, out
    events = [json.loads(line) for line in out.splitlines()]
    assert events[-1]["event"] == "moved" and "away" in events[-1]["next"]
    assert events[-1]["tables"] == {name: len(rows) for name, rows in before.items()}
    assert [one["name"] for one in events if one["event"] == "copy"] == [
        t.name for t in metadata.sorted_tables
    ]
    assert await _contents(sqlite_url(folder)) == before


async def test_the_cloud_goes_on_at_the_other_database(tmp_path, target, ran):
    async with _world(tmp_path) as world:
        edge_id, identity = await world.edge()
        organization = world.owner.org
    assert (await ran("move-database", "--to", target, "--data-dir", tmp_path))[0] == 0
    async with _world(tmp_path, database=target) as world:
        signed = await world.stranger.ok(
            "POST", "/auth/sign-in", {"email": OWNER_EMAIL, "password": OWNER_PASSWORD}
        )
        assert signed["token"] and world.owner.org == organization
        assert (await world.connect(identity)).seen[0].type == "welcome"
        await world.folder("Written there")
        result = await world.owner.ok("GET", "~/audit/verification")
        assert result["ok"], result
        (edge,) = (await world.owner.ok("GET", "~/edge-hosts"))["edge_hosts"]
        assert edge["id"] == edge_id


async def test_a_rehearsal_beside_a_running_cloud_changes_nothing(tmp_path, empty_database, ran):
    async with _world(tmp_path) as world:
        arguments = ["move-database", "--to", empty_database, "--data-dir", tmp_path]
        code, out = await ran(*arguments, "--dry-run")
        assert code == 0, out
        assert "Another cloud is running" in out and "Nothing was changed" in out
        assert await _tables(empty_database) == 0
        code, out = await ran(*arguments)
        assert code == 1 and "[storage_failed]" in out and "Stop it" in out
        await world.folder("Still at work")
    async with run_cloud(tmp_path):
        pass
    assert (await ran("move-database", "--dry-run", "--to", empty_database, "--data-dir", tmp_path))[0] == 0


async def test_a_rehearsal_of_the_way_back_leaves_no_file(tmp_path, target, ran, monkeypatch):
    monkeypatch.setattr(quiet, "PATIENCE", 0.2)
    async with _world(tmp_path, database=target):
        away = {"FARSITE_DATABASE": target}
        # The folder's own cloud and its connections are told; nothing is waited for.
        code, out = await ran("move-database", "--dry-run", "--to", "sqlite", "--data-dir", tmp_path, **away)
        assert code == 0 and "A cloud runs on the former database" in out, out
        assert not list(tmp_path.glob(f"{FILE}*"))


async def test_processes_elsewhere_are_noticed(tmp_path, target, ran, monkeypatch):
    """With data folders of their own there is no lock that both see."""
    one, other = tmp_path / "one", tmp_path / "other"
    monkeypatch.setattr(quiet, "PATIENCE", 0.2)
    async with _world(one, database=target):
        other.mkdir()
        (other / "master.key").write_bytes((one / "master.key").read_bytes())
        away = {"FARSITE_DATABASE": target}
        code, out = await ran("move-database", "--to", "sqlite", "--data-dir", other, **away)
        assert code == 1 and "[conflict]" in out and "Stop all its processes" in out
        assert not (other / FILE).exists()
        await _small(tmp_path / "third")
        code, out = await ran("move-database", "--to", target, "--data-dir", tmp_path / "third")
        assert code == 1 and "runs on the target" in out
    monkeypatch.undo()
    assert (await ran("move-database", "--to", "sqlite", "--data-dir", other, **away))[0] == 0
    async with run_cloud(other):
        pass


async def test_a_target_that_holds_anything_is_left_alone(tmp_path, target, ran):
    await _small(tmp_path / "one")
    await _small(tmp_path / "two")
    assert (await ran("move-database", "--to", target, "--data-dir", tmp_path / "one"))[0] == 0
    before = await _contents(target)
    code, out = await ran("move-database", "--to", target, "--data-dir", tmp_path / "two", "--json")
    problem = json.loads(out.splitlines()[-1])
    assert (code, problem["code"]) == (1, "conflict") and "accounts 1" in problem["detail"]
    assert await _contents(target) == before
    # The file that was moved away is in the way of the way back.
    away = {"FARSITE_DATABASE": target}
    code, out = await ran("move-database", "--to", "sqlite", "--data-dir", tmp_path / "one", **away)
    assert code == 1 and "farsite.db" in out and "[conflict]" in out
    async with run_cloud(tmp_path / "two"):
        pass


async def test_another_programs_database_is_no_target(tmp_path, empty_database, ran):
    await _small(tmp_path)
    connection = await asyncpg.connect(empty_database)
    await connection.execute("CREATE TABLE accounts (name text)")
    await connection.close()
    code, out = await ran("move-database", "--to", empty_database, "--data-dir", tmp_path)
    assert code == 1 and "another program (accounts)" in out
    async with run_cloud(tmp_path):
        pass


KILL_AT = """
import asyncio, os, signal, sys
from farsite_cloud.moving.job import Move
from farsite_cloud.settings import load_settings
folder, to, what, name = sys.argv[1:]
def tell(step):
    if (step.what, step.name) == (what, name):
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(Move(load_settings({"data_dir": folder}), to, rehearsal=False, tell=tell).run())
"""


async def test_killed_in_the_middle_nothing_is_there_and_it_starts_anew(tmp_path, empty_database, ran):
    async with _world(tmp_path) as world:
        await world.edge()
    before = await _contents(sqlite_url(tmp_path))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILL_AT, str(tmp_path), empty_database, "verify", "edge_host_work"
    )
    assert await process.wait() == -9
    assert await _tables(empty_database) == 0
    assert await _contents(sqlite_url(tmp_path)) == before
    async with run_cloud(tmp_path):
        pass
    assert (await ran("move-database", "--to", empty_database, "--data-dir", tmp_path))[0] == 0


async def test_killed_on_the_way_back_the_cloud_goes_on_where_it_was(tmp_path, target, ran, monkeypatch):
    async with _world(tmp_path, database=target):
        pass
    monkeypatch.setenv("FARSITE_DATABASE", target)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILL_AT, str(tmp_path), "sqlite", "verify", "edge_host_work"
    )
    assert await process.wait() == -9
    async with run_cloud(tmp_path, database=target):
        pass
    # What was begun is an empty file.
    assert (await ran("move-database", "--to", "sqlite", "--data-dir", tmp_path))[0] == 0
    with pytest.raises(FarsiteError, match="take the setting database"):
        async with run_cloud(tmp_path, database=target):
            pass


async def test_rows_that_change_on_the_way_stop_it(tmp_path, target, monkeypatch):
    await _small(tmp_path)
    add = TableRows.add

    async def lossy(self, session, page):
        if self.table.name == "folders":
            at = list(self.table.c).index(self.table.c.name)
            page = Page.of([(*row[:at], "another name", *row[at + 1 :]) for row in page.rows])
        await add(self, session, page)

    monkeypatch.setattr(TableRows, "add", lossy)
    with pytest.raises(FarsiteError, match="folders has 1 rows; 1 arrived, or not as they were") as caught:
        await _move(tmp_path, target)
    assert caught.value.code is ErrorCode.STORAGE_FAILED
    assert await _rows(target) == 0


async def _move(folder: Path, to: str):
    settings = load_settings({"data_dir": folder, "database_timeout": 10.0}, environ={})
    return await Move(settings, to, rehearsal=False, tell=lambda step: None).run()


async def test_a_log_that_was_broken_before_is_told_and_not_held_back(tmp_path, target):
    async with _world(tmp_path) as world:
        await world.folder("One")
        organization = world.owner.org
        async with world.services.database.writing() as session:
            await session.execute(sa.text("UPDATE audit_events SET actor = 'somebody else' WHERE seq = 1"))
    moved = await _move(tmp_path, target)
    assert any(organization in note and "did not verify before" in note for note in moved.notes)


async def test_a_log_that_breaks_on_the_way_stops_it(tmp_path, target, monkeypatch):
    await _small(tmp_path)
    compare = carrying._compare

    async def meddle(table, target, rows, expected):
        await compare(table, target, rows, expected)
        if table.table.name == "sessions":
            await target.execute(sa.text("UPDATE audit_events SET actor = 'somebody else'"))

    monkeypatch.setattr(carrying, "_compare", meddle)
    with pytest.raises(FarsiteError, match="does not verify at the target"):
        await _move(tmp_path, target)
    assert await _rows(target) == 0


async def test_what_postgresql_does_not_take_is_named(tmp_path, target):
    async with _world(tmp_path) as world, world.services.database.writing() as session:
        await session.execute(sa.text("UPDATE folders SET name = 'a' || char(0) || 'b'"))
    with pytest.raises(FarsiteError, match=r"name of row \S+ in folders holds a null character"):
        await _move(tmp_path, target)
    assert await _rows(target) == 0
    database = Database(sqlite_url(tmp_path))
    async with database.writing() as session:
        await session.execute(sa.text("UPDATE folders SET name = :long"), {"long": "x" * 500})
    await database.aclose()
    with pytest.raises(FarsiteError, match="has 500 characters, 100 are allowed"):
        await _move(tmp_path, target)


async def test_another_releases_database_is_brought_up_first(tmp_path, target, ran):
    await _small(tmp_path)
    database = Database(sqlite_url(tmp_path))
    await downgrade(database, "0012")
    await database.aclose()
    code, out = await ran("move-database", "--to", target, "--data-dir", tmp_path)
    assert code == 1 and "farsite cloud migrate" in out
    assert (await ran("migrate", "--data-dir", tmp_path))[0] == 0
    assert (await ran("move-database", "--to", target, "--data-dir", tmp_path))[0] == 0


async def test_without_the_key_that_belongs_to_it_nothing_is_begun(tmp_path, target, ran):
    await _small(tmp_path)
    (tmp_path / "master.key").write_bytes(bytes(32))
    code, out = await ran("move-database", "--to", target, "--data-dir", tmp_path)
    assert code == 1 and "[storage_failed]" in out and "master.key" in out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "--take-back"),
        (("--to", "sqlite", "--take-back"), 2, "--take-back"),
        (("--to", "mysql://x"), 1, "[invalid_request]"),
        (("--to", "sqlite"), 1, "SQLite already"),
        (("--to", "postgresql://nobody@127.0.0.1:1/x"), 1, "[unavailable]"),
        (("--take-back",), 1, "was not moved away"),
    ],
)
async def test_what_makes_no_sense_is_refused(tmp_path, ran, arguments, code, said):
    await _small(tmp_path)
    ended, out = await ran("move-database", *arguments, "--data-dir", tmp_path)
    assert (ended, said in out) == (code, True), out


async def test_no_cloud_there(tmp_path, ran):
    code, out = await ran("move-database", "--to", "postgresql://x/y", "--data-dir", tmp_path)
    assert code == 1 and "[not_found]" in out and not list(tmp_path.iterdir())


async def test_a_former_database_is_taken_back(tmp_path, target, ran):
    await _small(tmp_path)
    assert (await ran("move-database", "--to", target, "--data-dir", tmp_path))[0] == 0
    for command in ("outbox", "audit verify"):
        code, out = await ran(*command.split(), "--data-dir", tmp_path)
        assert code == 1 and "[conflict]" in out
    code, out = await ran("move-database", "--take-back", "--data-dir", tmp_path, "--json")
    assert code == 0 and json.loads(out)["event"] == "taken_back"
    async with run_cloud(tmp_path):
        pass


def test_nothing_counts_by_itself():
    """Keys are texts. A table with a counter of its own needs it set at the target when it is moved."""
    assert [table.name for table in metadata.sorted_tables if table.autoincrement_column is not None] == []


def test_pages_hold_as_much_as_there_is_room_for():
    def page(rows: int, size: int) -> Page:
        return Page([()] * rows, Sum(rows), size)

    assert next_length(page(16, 1000), 16) == 64
    assert next_length(page(16, PAGE_BYTES * 16), 16) == 1
    assert next_length(page(1, PAGE_BYTES * 16), 1) == 1
    assert next_length(page(64, PAGE_BYTES), 64) == 64
    assert next_length(page(2000, 1000), 2000) == 2000


def test_rows_are_summed_whatever_their_order():
    rows = [("a", 1, None), ("b", 2, b"\0"), ("c", 3, 1.5)]
    whole = Page.of(rows).sum
    assert whole == Page.of(rows[::-1]).sum == Page.of(rows[:1]).sum + Page.of(rows[1:]).sum
    assert whole != Page.of([*rows[:2], ("c", 3, 1.6)]).sum


def test_values_that_are_too_large_are_known():
    table = sa.Table("t", sa.MetaData(), sa.Column("i", sa.Integer), sa.Column("b", sa.BigInteger))
    assert misfit(table.c.i, 2**31) and not misfit(table.c.i, 2**31 - 1)
    assert misfit(table.c.b, 2**63) and not misfit(table.c.b, -(2**63))
