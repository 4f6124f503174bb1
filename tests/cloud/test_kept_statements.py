"""Statements that are made once for each shape: whoever runs one gets what is his, and with today's values."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum

import pytest
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Date,
    Enum,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    func,
    insert,
    select,
)

from farsite_cloud.database import Scope
from farsite_cloud.database.base import UtcDateTime
from farsite_cloud.database.kept import OWN, among_named, named, numbered, padded, run
from farsite_cloud.folders.models import Folder
from farsite_cloud.ids import new_id
from farsite_signaling.wire.errors import FarsiteError

pytestmark = pytest.mark.both_databases


@pytest.fixture
async def mine(world):
    """The second of two organizations with folders ZA to ZE."""
    for org in (world.owner.org, (await world.owner.ok("POST", "/organizations", {"name": "Other"}))["id"]):
        async with world.services.database.writing() as session:
            scope = Scope(session, org)
            for name in "ABCDE":
                now = world.clock()
                scope.add(
                    Folder(id=new_id(now), name=f"Z{name} {org}", parent_id=None, created_at=now, revision=1)
                )
    return org


async def _read(world, org, shape, make, values=None):
    async with world.services.database.reading() as session:
        return await Scope(session, org).kept_rows(shape, make, values)


async def test_each_organization_gets_its_own(world, mine):
    made = []

    def make(scope):
        made.append(scope)
        columns = (Folder.name, Folder.created_at)
        return (
            scope.select(Folder)
            .with_only_columns(*columns)
            .where(Folder.name > named("from"))
            .order_by(Folder.name)
        )

    for org in (mine, world.owner.org, mine):
        found = await _read(world, org, "folders of a test", make, {"from": "ZB zzz"})
        assert [row.name for row in found] == [f"Z{name} {org}" for name in "CDE"]
        assert {row.created_at for row in found} == {world.clock()}
        assert {row.created_at.utcoffset() for row in found} == {timedelta(0)}
    assert len({id(scope) for scope in made}) == 1, "it knows nobody"
    assert not await _read(world, mine, "folders of a test", make, {"from": "ZF"})


@pytest.mark.parametrize("number", [0, 1, 2, 3, 5])
async def test_lists_of_other_lengths_find_the_same(world, mine, number):
    names = [f"Z{name} {mine}" for name in "ABCDE"[:number]]

    def make(scope):
        columns = scope.select(Folder).with_only_columns(Folder.name)
        return columns.where(among_named(Folder.name, "name", number)).order_by(Folder.name)

    shape = ("folders of another test", padded(number))
    found = await _read(world, mine, shape, make, numbered("name", names))
    assert [row.name for row in found] == names


async def test_values_are_not_kept(world, mine):
    """Nobody's may ever be used for somebody else."""

    def make(scope):
        return scope.select(Folder).with_only_columns(Folder.id).where(Folder.name == "A")

    with pytest.raises(TypeError, match="holds no values"):
        await _read(world, mine, "a folder by name", make)


async def test_a_statement_of_no_organization_is_refused(world, mine):
    async with world.services.database.reading() as session:
        with pytest.raises(TypeError, match="one organization"):
            await run(session, "everybody's", lambda: select(Folder.id), {})


async def test_a_shape_that_leaves_something_out_is_noticed(world, mine):
    """By all tests: the number is part of the statement, and would be used for whoever asks for another one."""
    for limit in (1, 2):

        def make(scope, limit=limit):
            return scope.select(Folder).with_only_columns(Folder.id).limit(limit)

        if limit == 1:
            assert len(await _read(world, mine, "some folders", make)) == 1
        else:
            with pytest.raises(AssertionError, match="some folders"):
                await _read(world, mine, "some folders", make)


async def test_whose_rows_they_are_is_not_for_the_asking(world, mine):
    def make(scope):
        return scope.select(Folder).with_only_columns(Folder.organization_id)

    found = await _read(world, mine, "whose folders", make, {OWN: world.owner.org})
    assert {row.organization_id for row in found} == {mine}


class Mood(StrEnum):
    GOOD = "good"


THINGS = Table(
    "things_of_every_type",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("organization_id", String(64)),
    Column("flag", Boolean),
    Column("day", Date),
    Column("at", UtcDateTime),
    Column("facts", JSON),
    Column("mood", Enum(Mood)),
    Column("share", Float),
    Column("data", LargeBinary),
)
VALUES = {
    "flag": True,
    "day": date(2024, 2, 29),
    "at": datetime(2024, 2, 29, 23, 59, 59, 123456, tzinfo=UTC),
    "facts": {"list": [1, None, "ü"], "nothing": None},
    "mood": Mood.GOOD,
    "share": 0.25,
    "data": b"\0\xff",
}
EQUAL = [name for name in VALUES if name != "facts"]


@pytest.fixture
async def things(world):
    """Three rows: with values, with other ones, with none."""
    other = {
        "flag": False,
        "day": date(1999, 12, 31),
        "at": datetime(1999, 12, 31, tzinfo=timezone(timedelta(hours=2))),
        "facts": [],
        "share": -1.0,
        "data": b"",
    }
    async with world.services.database.writing() as session:
        await session.run_sync(lambda inner: THINGS.create(inner.connection()))
        for number, values in enumerate((VALUES, other, dict.fromkeys(VALUES)), 1):
            await session.execute(insert(THINGS).values(id=number, organization_id=world.owner.org, **values))


def _every(scope):
    return select(THINGS).where(THINGS.c.organization_id == scope.organization_id).order_by(THINGS.c.id)


async def test_every_type_is_read_as_ever(world, things):
    found = await _read(world, world.owner.org, "things", _every)
    async with world.services.database.reading() as session:
        wanted = (await session.execute(select(THINGS).order_by(THINGS.c.id))).all()
    assert [tuple(row) for row in found] == [tuple(row) for row in wanted]
    assert {name: getattr(found[0], name) for name in VALUES} == VALUES
    assert [type(value) for value in found[1]] == [type(value) for value in wanted[1]]
    assert set(found[2][2:]) == {None}


@pytest.mark.parametrize("name", EQUAL)
async def test_values_of_every_type_are_found(world, things, name):
    column = THINGS.c[name]

    def make(scope):
        return _every(scope).where(column == named("value", column.type))

    found = await _read(world, world.owner.org, ("things by", name), make, {"value": VALUES[name]})
    assert [row.id for row in found] == [1]
    assert not await _read(world, world.owner.org, ("things by", name), make, {"value": None})


async def test_a_time_is_found_wherever_it_was_told(world, things):
    def make(scope):
        return _every(scope).where(THINGS.c.at <= named("until", UtcDateTime))

    until = datetime(2000, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=5)))
    assert [row.id for row in await _read(world, world.owner.org, "old", make, {"until": until})] == [2]
    with pytest.raises(ValueError, match="without its zone"):
        await _read(world, world.owner.org, "old", make, {"until": datetime(2000, 1, 1)})  # noqa: DTZ001


async def test_what_fails_is_told_as_ever(world, mine):
    def make(scope):
        broken = func.no_such_function(Folder.name).label("broken")
        return scope.select(Folder).with_only_columns(broken)

    with pytest.raises(FarsiteError) as caught:
        await _read(world, mine, "no such function", make)
    assert caught.value.code == "storage_failed"
    assert (await world.owner.ok("GET", "~/folders"))["folders"]
