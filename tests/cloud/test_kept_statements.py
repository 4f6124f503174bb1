"""Statements that are made once for each shape: whoever runs one gets what is his, and with today's values."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from farsite_cloud.database import Scope
from farsite_cloud.database.kept import among_named, named, numbered, padded, run
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
    assert len(made) == 1
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


async def test_what_fails_is_told_as_ever(world, mine):
    def make(scope):
        broken = func.no_such_function(Folder.name).label("broken")
        return scope.select(Folder).with_only_columns(broken)

    with pytest.raises(FarsiteError) as caught:
        await _read(world, mine, "no such function", make)
    assert caught.value.code == "storage_failed"
    assert (await world.owner.ok("GET", "~/folders"))["folders"]
