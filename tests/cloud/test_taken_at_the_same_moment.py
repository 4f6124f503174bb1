"""Whoever has less than they give, or loses what they have at the very moment they use it."""

from __future__ import annotations

import asyncio

import pyotp
import pytest
from sqlalchemy import text

from farsite_cloud.organizations.service import lock
from farsite_cloud.testing import OWNER_EMAIL, OWNER_PASSWORD
from farsite_signaling.wire.rights import Role, rights_of
from tests.cloud.test_grant_races import _until_it_waits

pytestmark = pytest.mark.both_databases
CREDENTIALS = {"email": OWNER_EMAIL, "password": OWNER_PASSWORD}


async def _script(world, *scopes: str):
    body = {"name": "script", "scopes": list(scopes), "expires_in_days": 7}
    made = await world.owner.ok("POST", "/me/tokens", body)
    return type(world.owner)(world.http, world.running.url, world.owner.org, made["token"])


async def test_a_narrow_token_makes_nobody_stronger_than_itself(world):
    viewer = await world.member(Role.VIEWER)
    script = await _script(world, "user.manage", "user.read", "organization.read")
    invitation = {"emails": ["mallory@example.com"], "role": "admin"}
    for method, path, body in [
        ("POST", "~/invitations", invitation),
        ("POST", "~/invitations", invitation | {"role": "viewer", "all_folders": True}),
        ("PATCH", f"~/users/{viewer.account_id}", {"role": "admin"}),
    ]:
        reply = await script(method, path, body)
        assert (reply.status, reply.code) == (403, "forbidden"), reply.text
        assert "access token" in reply.body["detail"]
    assert (await world.owner.ok("GET", "~/invitations"))["invitations"] == []
    own = await _script(world, "organization.own", "user.manage", "organization.read")
    transfer = await own("POST", "~/transfer", {"account_id": viewer.account_id})
    provider = await own("PUT", "~/identity-provider", {"issuer": "https://idp.example", "client_id": "x"})
    assert [(one.status, one.code) for one in (transfer, provider)] == [(403, "forbidden")] * 2
    # What takes away is not held up.
    assert (await script("DELETE", f"~/users/{viewer.account_id}")).status == 204


async def test_a_token_with_all_that_it_gives_may(world):
    script = await _script(world, *(str(right) for right in rights_of(Role.ADMIN)))
    body = {"emails": ["ann@example.com"], "role": "admin"}
    assert (await script("POST", "~/invitations", body)).status == 201


async def test_a_password_that_is_changed_while_it_is_compared_opens_nothing(world, monkeypatch):
    passwords = world.services.passwords
    verify, other = type(passwords).verify, await world.signed_in(OWNER_EMAIL)

    async def meanwhile(self, kept, password):
        right = await verify(self, kept, password)
        monkeypatch.undo()
        change = {"current_password": OWNER_PASSWORD, "password": "another good password"}
        assert (await world.owner("POST", "/me/password", change)).status == 204
        return right

    monkeypatch.setattr(type(passwords), "verify", meanwhile)
    late = await world.stranger("POST", "/auth/sign-in", CREDENTIALS)
    assert (late.status, late.code) == (401, "sign_in_failed")
    assert (await other("GET", "/me")).status == 401
    sessions = (await world.owner.ok("GET", "/me/sessions"))["sessions"]
    assert [one["current"] for one in sessions] == [True]


async def test_a_second_factor_that_is_turned_on_meanwhile_is_asked_for(world, monkeypatch):
    passwords = world.services.passwords
    made = await world.owner.ok("POST", "/me/mfa/secret", {"password": OWNER_PASSWORD})
    verify = type(passwords).verify

    async def meanwhile(self, kept, password):
        right = await verify(self, kept, password)
        monkeypatch.undo()
        code = pyotp.TOTP(made["secret"]).at(world.clock())
        await world.owner.ok("POST", "/me/mfa/enable", {"code": code})
        return right

    monkeypatch.setattr(type(passwords), "verify", meanwhile)
    late = await world.stranger("POST", "/auth/sign-in", CREDENTIALS)
    assert (late.status, late.code) == (401, "sign_in_failed")
    assert (await world.stranger("POST", "/auth/sign-in", CREDENTIALS)).code == "mfa_required"


@pytest.mark.parametrize("what", ["transfer", "role", "remove"])
async def test_an_owner_who_waits_while_being_demoted_is_one_no_more(world, database_kind, what):
    if database_kind == "sqlite":
        return  # one writer at a time: whoever is asked has the database to themselves
    second, viewer = await world.member(Role.OWNER), await world.member(Role.VIEWER)
    path, method, body = {
        "transfer": ("~/transfer", "POST", {"account_id": viewer.account_id}),
        "role": (f"~/users/{viewer.account_id}", "PATCH", {"role": "admin"}),
        "remove": (f"~/users/{viewer.account_id}", "DELETE", None),
    }[what]
    demote = "UPDATE memberships SET role = 'viewer' WHERE account_id = :account"
    async with asyncio.TaskGroup() as group, world.services.database.writing() as session:
        await lock(session, world.owner.org)
        await session.execute(text(demote), {"account": second.account_id})
        asking = group.create_task(second(method, path, body))
        await _until_it_waits(world)
    assert asking.result().status == 403, asking.result().text
    users = (await world.owner.ok("GET", "~/users"))["users"]
    roles = {one["account_id"]: one["role"] for one in users}
    assert (roles[second.account_id], roles[viewer.account_id]) == ("viewer", "viewer")


OWNERS = {
    "rules": ("PATCH", "~", {"invited_start_as_viewers": False}),
    "deletion": ("POST", "~/deletion", {"name": "My organization"}),
    "provider": ("DELETE", "~/identity-provider", None),
    "edge host": ("PATCH", "~/edge-hosts/{edge}", {"name": "Mine"}),
    "removal": ("DELETE", "~/edge-hosts/{edge}?risk_confirmed=true", None),
    "certificate": ("DELETE", "~/edge-hosts/{edge}/certificate?risk_confirmed=true", None),
    "folder": ("POST", "~/folders", {"name": "Mine"}),
    "folder's place": ("PATCH", "~/folders/{folder}", {"name": "Mine"}),
    "folder's end": ("DELETE", "~/folders/{folder}", None),
    "notices": ("PUT", "~/notice-settings", {"offline_after_minutes": 60}),
}


@pytest.mark.parametrize("what", OWNERS)
async def test_an_owner_who_is_one_no_more_changes_nothing(world, database_kind, what):
    if database_kind == "sqlite":
        return  # as above
    second, folder = await world.member(Role.OWNER), await world.folder("Folder")
    edge_id, _ = await world.edge()
    method, path, body = OWNERS[what]
    path = path.format(edge=edge_id, folder=folder)
    demote = "UPDATE memberships SET role = 'viewer' WHERE account_id = :account"
    async with asyncio.TaskGroup() as group, world.services.database.writing() as session:
        await lock(session, world.owner.org)
        await session.execute(text(demote), {"account": second.account_id})
        asking = group.create_task(second(method, path, body))
        await _until_it_waits(world)
    assert (asking.result().status, asking.result().code) == (403, "forbidden"), asking.result().text


async def test_an_invitation_is_accepted_once_however_often_it_is(world):
    await world.owner.ok("POST", "~/invitations", {"emails": ["ann@example.com"], "role": "admin"})
    ann = await world.account("ann@example.com")
    [waiting] = (await ann.ok("GET", "/me/invitations"))["invitations"]
    path = f"/me/invitations/{waiting['id']}/accept"
    replies = await asyncio.gather(*(ann("POST", path) for _ in range(8)))
    assert sorted(reply.status for reply in replies)[0] == 200
    assert [reply.status for reply in replies].count(200) == 1
    assert all(reply.status in (200, 400, 404, 409) for reply in replies), [reply.text for reply in replies]
    accepted = [row["outcome"] for row in await world.audit("invitation.accepted")]
    assert accepted.count("allowed") == 1


async def test_a_recovery_code_is_used_once_however_often_it_is(world):
    made = await world.owner.ok("POST", "/me/mfa/secret", {"password": OWNER_PASSWORD})
    enabled = await world.owner.ok(
        "POST", "/me/mfa/enable", {"code": pyotp.TOTP(made["secret"]).at(world.clock())}
    )
    body = CREDENTIALS | {"code": enabled["codes"][0]}
    replies = await asyncio.gather(*(world.stranger("POST", "/auth/sign-in", body) for _ in range(4)))
    assert [reply.status for reply in replies].count(200) == 1
