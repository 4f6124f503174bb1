"""Who was let in is remembered for a moment, and forgotten at once when anything it follows from changes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from farsite_cloud.access import Access
from farsite_cloud.accounts.tokens import Caller, digest_of, note_use, revoke
from farsite_cloud.api import authorize as authorizing
from farsite_signaling.wire.rights import Role

pytestmark = pytest.mark.both_databases


@pytest.fixture
def asked(monkeypatch):
    """Tokens that the database was asked about, from `world.services.access.forget()` on."""
    found = []
    find = authorizing.find_caller

    async def noting(session, secret, now, stay):
        found.append(secret)
        return await find(session, secret, now, stay)

    monkeypatch.setattr(authorizing, "find_caller", noting)
    return found


async def _remembered(person, path="~/folders"):
    """Twice, so that the second time nobody is asked."""
    for _ in range(2):
        assert (await person("GET", path)).status == 200


async def test_reading_asks_once_and_writing_asks_always(world, asked):
    world.services.access.forget()
    await _remembered(world.owner)
    await _remembered(world.owner, "~/users")
    assert asked == [world.owner.token]
    await world.folder("Site")
    # Where writers do not take turns by themselves, once more when it is their turn.
    assert len(asked) == (2 if world.services.database.kind == "sqlite" else 3)


async def test_a_sign_out_counts_at_once(world):
    other = await world.signed_in("owner@example.com", world.owner.org)
    await _remembered(other)
    await _remembered(world.owner)
    assert (await other("POST", "/auth/sign-out")).status == 204
    assert (await other("GET", "~/folders")).status == 401
    await _remembered(world.owner)


async def test_a_revoked_access_token_is_refused_at_once(world):
    body = {"name": "script", "scopes": ["device.read", "organization.read"], "expires_in_days": 7}
    made = await world.owner.ok("POST", "/me/tokens", body)
    script = replace(world.owner, token=made["token"])
    await _remembered(script)
    assert (await world.owner("DELETE", f"/me/tokens/{made['id']}")).status == 204
    assert (await script("GET", "~/folders")).status == 401


async def test_a_role_change_counts_at_once(world):
    ann = await world.member(Role.ADMIN, email="ann@example.com")
    await _remembered(ann, "~/audit")
    change = {"role": "viewer", "all_folders": True}
    await world.owner.ok("PATCH", f"~/users/{ann.account_id}", change)
    assert (await ann("GET", "~/audit")).code == "forbidden"


async def test_fewer_folders_count_at_once(world):
    first, second = await world.folder("First"), await world.folder("Second")
    bob = await world.member(Role.OPERATOR, email="bob@example.com", folders=[first, second])
    await _remembered(bob)
    await world.owner.ok("PATCH", f"~/users/{bob.account_id}", {"folder_ids": [second]})
    assert [folder["id"] for folder in (await bob.ok("GET", "~/folders"))["folders"]] == [second]


async def test_a_removed_user_is_out_at_once(world):
    ann = await world.member(Role.VIEWER, email="ann@example.com")
    await _remembered(ann)
    assert (await world.owner("DELETE", f"~/users/{ann.account_id}")).status == 204
    assert (await ann("GET", "~/folders")).status == 404


async def test_what_the_organization_asks_for_counts_at_once(world):
    ann = await world.member(Role.VIEWER, email="ann@example.com")
    await _remembered(ann)
    async with world.services.database.writing() as session:
        await session.execute(text("UPDATE organizations SET require_mfa = true"))
    assert (await ann("GET", "~/folders")).code == "mfa_setup_required"


async def test_support_ends_on_time(world):
    ann = await world.account("ann@example.com")
    ends = world.clock() + timedelta(hours=2)
    body = {"email": "ann@example.com", "role": "admin", "until": ends.isoformat(), "reason": "broken"}
    await world.owner.ok("POST", "~/support-access", body)
    ann.org = world.owner.org
    await _remembered(ann)
    world.clock.now = ends
    assert (await ann("GET", "~/folders")).status == 404


async def test_a_sign_in_expires_on_time(world):
    await _remembered(world.owner)
    world.clock.advance(days=15)
    assert (await world.owner("GET", "~/folders")).code == "token_expired"


async def test_a_change_that_fails_is_forgotten_too(world, asked):
    world.services.access.forget()
    await _remembered(world.owner)
    with pytest.raises(ZeroDivisionError):
        async with world.services.database.writing() as session:
            await revoke(session, "nobody's", world.clock())
            raise ZeroDivisionError
    await _remembered(world.owner)
    assert len(asked) == 2


async def test_noting_when_a_token_was_used_forgets_nothing(world, asked):
    world.services.access.forget()
    await _remembered(world.owner)
    async with world.services.database.writing() as session:
        await note_use(session, "any", world.clock(), "10.0.0.1")
    await _remembered(world.owner)
    assert len(asked) == 1


async def test_whoever_reads_while_it_changes_keeps_nothing(world, asked, monkeypatch):
    """Read before the change, remembered after it: that would undo a revocation."""
    reading, go_on = asyncio.Event(), asyncio.Event()
    find = authorizing.find_caller

    async def slowly(session, secret, now, stay):
        caller = await find(session, secret, now, stay)
        reading.set()
        await go_on.wait()
        return caller

    monkeypatch.setattr(authorizing, "find_caller", slowly)
    other = await world.signed_in("owner@example.com", world.owner.org)
    async with asyncio.TaskGroup() as group:
        early = group.create_task(other("GET", "~/folders"), name="early")
        await reading.wait()
        monkeypatch.setattr(authorizing, "find_caller", find)
        assert (await other("POST", "/auth/sign-out")).status == 204
        go_on.set()
    assert early.result().status == 200
    assert (await other("GET", "~/folders")).status == 401


def test_nothing_is_remembered_for_long(clock, monkeypatch):
    access = Access()
    access.keeper(digest_of("secret"))(
        Caller("a", "ann@example.com", "Ann", "t", expires_at=clock() + timedelta(days=1))
    )
    assert access.look(digest_of("secret"), clock()) is not None
    assert access.look(digest_of("another"), clock()) is None
    later = time.monotonic() + 5
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert access.look(digest_of("secret"), clock()) is None
