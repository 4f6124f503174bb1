"""One key, one creation: also when the second request does not wait for the first one's answer."""

from __future__ import annotations

import asyncio

import pytest

from farsite_cloud.api import idempotency
from farsite_cloud.folders.service import Folders

pytestmark = pytest.mark.both_databases
KEY = {"Idempotency-Key": "one"}


@pytest.fixture
def at_work(monkeypatch):
    """The first creation has begun (`begun`) and goes on when told to (`go_on`)."""
    begun, go_on, create = asyncio.Event(), asyncio.Event(), Folders.create

    async def slowly(self, body, now):
        begun.set()
        await go_on.wait()
        return await create(self, body, now)

    monkeypatch.setattr(Folders, "create", slowly)
    return begun, go_on


async def _names(world) -> list[str]:
    return [folder["name"] for folder in (await world.owner.ok("GET", "~/folders"))["folders"]]


async def test_the_second_waits_and_is_told_what_the_first_was(world, at_work):
    begun, go_on = at_work
    async with asyncio.TaskGroup() as group:
        first = group.create_task(world.owner("POST", "~/folders", {"name": "Site"}, headers=KEY), name="1")
        await begun.wait()
        second = group.create_task(world.owner("POST", "~/folders", {"name": "Site"}, headers=KEY), name="2")
        # Let it come as far as it can.
        await world.owner.ok("GET", "~/folders")
        go_on.set()
    assert first.result().status == second.result().status == 201
    assert first.result().body == second.result().body
    assert (await _names(world)).count("Site") == 1


async def test_many_at_once_make_one(world):
    body = {"name": "Site"}
    replies = await asyncio.gather(*(world.owner("POST", "~/folders", body, headers=KEY) for _ in range(8)))
    assert [reply.status for reply in replies] == [201] * 8, [reply.text for reply in replies]
    assert len({reply.body["id"] for reply in replies}) == 1
    assert (await _names(world)).count("Site") == 1


async def test_another_request_with_the_key_is_refused_after_the_first(world, at_work):
    begun, go_on = at_work
    async with asyncio.TaskGroup() as group:
        first = group.create_task(world.owner("POST", "~/folders", {"name": "Site"}, headers=KEY), name="1")
        await begun.wait()
        other = group.create_task(world.owner("POST", "~/folders", {"name": "Other"}, headers=KEY), name="2")
        await world.owner.ok("GET", "~/folders")
        go_on.set()
    assert first.result().status == 201
    assert (other.result().status, other.result().code) == (409, "conflict")


async def test_whoever_waits_too_long_is_told_when_to_come_back(world, at_work, monkeypatch, database_kind):
    monkeypatch.setattr(idempotency, "_WAIT", 0.0)
    begun, go_on = at_work
    body = {"name": "Site"}
    async with asyncio.TaskGroup() as group:
        first = group.create_task(world.owner("POST", "~/folders", body, headers=KEY), name="1")
        await begun.wait()
        second = group.create_task(world.owner("POST", "~/folders", body, headers=KEY), name="2")
        if database_kind == "postgresql":
            refused = await second
            assert (refused.status, refused.code) == (409, "in_progress")
            assert refused.headers["Retry-After"] == "1"
        go_on.set()
    # SQLite has one writer at a time: there the second waits for the database.
    assert second.result().status == (201 if database_kind == "sqlite" else 409)
    again = await world.owner("POST", "~/folders", body, headers=KEY)
    assert again.body == first.result().body


async def test_when_the_first_fails_the_second_is_the_first(world, monkeypatch):
    tries, create = [], Folders.create

    async def failing_once(self, body, now):
        tries.append(1)
        if len(tries) == 1:
            await asyncio.sleep(0.05)
            raise RuntimeError("broken")
        return await create(self, body, now)

    monkeypatch.setattr(Folders, "create", failing_once)
    replies = await asyncio.gather(
        *(world.owner("POST", "~/folders", {"name": "Site"}, headers=KEY) for _ in range(2))
    )
    assert sorted(reply.status for reply in replies) == [201, 500]
    assert (await _names(world)).count("Site") == 1
