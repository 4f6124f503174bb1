"""Whoever loses a right at the very moment they use it: on PostgreSQL, where writers do not take turns by themselves."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text

from farsite_cloud.accounts.service import find_account
from farsite_cloud.accounts.tokens import revoke_all
from farsite_cloud.organizations.service import lock
from farsite_cloud.testing import OWNER_EMAIL, OWNER_PASSWORD
from farsite_signaling.identity import generate_key, make_request
from farsite_signaling.wire.rights import Role

WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


@pytest.fixture
async def world(world_in, new_database):
    async with new_database() as url:
        yield await world_in(None, database=url)


async def _until_it_waits(world) -> None:
    async with asyncio.timeout(10):
        while True:
            async with world.services.database.reading() as session:
                if await session.scalar(text(WAITING)):
                    return


LOSSES = {
    "membership": ("DELETE FROM memberships WHERE account_id = :account", 404),
    "role": ("UPDATE memberships SET role = 'viewer' WHERE account_id = :account", 403),
    "token": ("UPDATE tokens SET revoked_at = now() WHERE account_id = :account", 401),
}


@pytest.mark.parametrize(
    ("loss", "what"),
    [
        ("membership", "session"),
        ("token", "session"),
        ("role", "code"),
        ("membership", "certificate"),
        ("role", "invitation"),
        ("membership", "support"),
        ("token", "program"),
        ("role", "program's token"),
    ],
)
async def test_nothing_is_granted_on_what_is_being_taken_away(world, loss, what):
    admin = await world.member(Role.ADMIN)
    edge_id, identity = await world.edge()
    await world.connect(identity)
    client = await world.client(admin)
    program = await world.owner.ok("POST", "~/service-accounts", {"name": "p", "role": "admin"})
    until = (world.clock() + timedelta(hours=1)).isoformat()
    path, body = {
        "invitation": ("~/invitations", {"emails": ["mallory@example.com"], "role": "admin"}),
        "support": ("~/support-access", {"email": "m@example.com", "role": "admin", "until": until}),
        "program": ("~/service-accounts", {"name": "mine", "role": "admin"}),
        "program's token": (f"~/service-accounts/{program['id']}/tokens", {"name": "mine"}),
        "session": (f"~/edge-hosts/{edge_id}/sessions", {"client": client.urn}),
        "code": ("~/setup-codes", {"name": "x"}),
        "certificate": ("~/client-certificates", {"csr": make_request(generate_key(), "c"), "name": "y"}),
    }[what]
    statement, status = LOSSES[loss]
    async with asyncio.TaskGroup() as group, world.services.database.writing() as session:
        await lock(session, world.owner.org)
        await session.execute(text(statement), {"account": admin.account_id})
        asking = group.create_task(admin("POST", path, body))
        await _until_it_waits(world)
    assert asking.result().status == status, asking.result().text


async def test_two_owners_who_unmake_each_other_leave_one(world):
    other = await world.member(Role.OWNER)
    first, second = await asyncio.gather(
        world.owner("PATCH", f"~/users/{other.account_id}", {"role": "viewer", "all_folders": True}),
        other("PATCH", f"~/users/{world.owner.account_id}", {"role": "viewer", "all_folders": True}),
    )
    assert sorted([first.status, second.status])[0] == 200
    async with world.services.database.reading() as session:
        left = await session.scalar(text("SELECT count(*) FROM memberships WHERE role = 'owner'"))
    assert left >= 1


async def test_folders_moved_into_each_other_at_once_make_no_circle(world):
    one, two = await world.folder("One"), await world.folder("Two")
    replies = await asyncio.gather(
        world.owner("PATCH", f"~/folders/{one}", {"parent_id": two}),
        world.owner("PATCH", f"~/folders/{two}", {"parent_id": one}),
    )
    assert sorted(reply.status for reply in replies) == [200, 409]


OWN = {
    "access token": (
        "POST",
        "/me/tokens",
        {"name": "mine", "scopes": ["user.manage"], "expires_in_days": 90},
    ),
    "password": (
        "POST",
        "/me/password",
        {"current_password": OWNER_PASSWORD, "password": "mallory's password"},
    ),
    "factor": ("POST", "/me/mfa/secret", {"password": OWNER_PASSWORD}),
    "organization": ("POST", "/organizations", {"name": "Mine"}),
}


@pytest.mark.parametrize("what", OWN)
async def test_nothing_is_made_with_a_sign_in_that_is_being_ended(world, what):
    """A stolen sign-in, while its owner signs everybody out: what it makes would outlive it."""
    method, path, body = OWN[what]
    async with asyncio.TaskGroup() as group, world.services.database.writing() as session:
        account = await find_account(session, OWNER_EMAIL)
        await session.refresh(account, with_for_update={"key_share": True})
        asking = group.create_task(world.owner(method, path, body))
        await _until_it_waits(world)
        await revoke_all(session, account.id, world.clock())
    assert asking.result().status == 401, asking.result().text
