"""What people do about themselves: another name, another address, declining, leaving."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from farsite_cloud.accounts.service import find_account
from farsite_signaling.wire.hub import Bye, SessionAnnounced, SessionEnded
from farsite_signaling.wire.rights import Role

pytestmark = pytest.mark.both_databases

ANN, NEW, BOB = "ann@example.com", "ann.new@example.com", "bob@example.com"
PASSWORD = "a good long password"


async def _ask(person, email=NEW, **more):
    return await person("POST", "/me/email", {"email": email, "password": PASSWORD} | more)


async def _confirm(person, code):
    return await person("POST", "/me/email/confirm", {"code": code})


async def test_a_name_is_changed(world):
    ann = await world.account(ANN)
    assert (await ann.ok("PATCH", "/me", {"name": "Ann Ω"}))["name"] == "Ann Ω"
    assert (await ann.ok("GET", "/me"))["account"]["name"] == "Ann Ω"
    for bad in ({"name": " "}, {"name": "x" * 101}, {"name": "a\0b"}, {"email": NEW}, {}):
        assert (await ann("PATCH", "/me", bad)).code == "invalid_request"


async def test_an_address_counts_once_its_mail_was_read(world):
    ann = await world.account(ANN, PASSWORD)
    assert (await _ask(ann, "Ann.New@Example.com")).status == 204
    assert (await ann.ok("GET", "/me"))["account"]["email"] == ANN
    code = await world.mailed_code(NEW)
    assert (await _confirm(ann, code)).body["email"] == NEW
    assert (await ann.ok("GET", "/me"))["account"]["email"] == NEW
    assert (await _confirm(ann, code)).code == "code_invalid"
    [told] = await world.mails(ANN)
    assert NEW in told.content.text and "operator" in told.content.text
    body = {"email": NEW, "password": PASSWORD}
    await world.stranger.ok("POST", "/auth/sign-in", body)
    assert (await world.stranger("POST", "/auth/sign-in", body | {"email": ANN})).code == "sign_in_failed"


async def test_an_address_takes_the_password(world):
    ann = await world.account(ANN, PASSWORD)
    assert (await _ask(ann, password="wrong")).code == "sign_in_failed"
    assert (await _ask(ann, ANN)).code == "conflict"
    assert (await _ask(ann, "no address")).code == "invalid_request"
    assert await world.mails(NEW) == []


async def test_a_code_is_for_who_asked_and_for_an_hour(world):
    ann, bob = await world.account(ANN, PASSWORD), await world.account(BOB)
    await _ask(ann)
    code = await world.mailed_code(NEW)
    assert (await _confirm(bob, code)).code == "code_invalid"
    for path, more in (("/auth/reset", {}), ("/auth/confirm", {"name": "Ann"})):
        body = {"code": code, "password": PASSWORD} | more
        assert (await world.stranger("POST", path, body)).code == "code_invalid"
    world.clock.advance(hours=1)
    assert (await _confirm(ann, code)).code == "code_invalid"


async def test_nobody_learns_or_takes_anothers_address(world):
    ann, _ = await world.account(ANN, PASSWORD), await world.account(BOB)
    assert (await _ask(ann, BOB)).status == (await _ask(ann, NEW)).status == 204
    [mail] = await world.mails(BOB)
    assert "already" in mail.content.subject
    code = await world.mailed_code(NEW)
    # Somebody signs up with it meanwhile.
    await world.account(NEW)
    assert (await _confirm(ann, code)).code == "conflict"
    assert (await ann.ok("GET", "/me"))["account"]["email"] == ANN


async def test_what_was_mailed_to_the_old_address_opens_nothing(world):
    ann = await world.account(ANN, PASSWORD)
    await world.stranger.ok("POST", "/auth/forgot", {"email": ANN})
    reset = await world.mailed_code(ANN)
    await _ask(ann)
    await _confirm(ann, await world.mailed_code(NEW))
    body = {"code": reset, "password": PASSWORD}
    assert (await world.stranger("POST", "/auth/reset", body)).code == "code_invalid"


async def test_the_members_see_the_new_address_and_the_log_both(world):
    ann = await world.member(Role.VIEWER, email=ANN)
    hashed = await world.services.passwords.hash(PASSWORD)
    async with world.services.database.writing() as session:
        (await find_account(session, ANN)).password_hash = hashed
    await _ask(ann)
    await _confirm(ann, await world.mailed_code(NEW))
    assert (await world.owner.ok("GET", f"~/users/{ann.account_id}"))["email"] == NEW
    [row] = await world.audit("account.email_changed")
    assert (row["details"]["from"], row["details"]["to"]) == (ANN, NEW)


async def test_support_is_given_to_an_address(world):
    ann, until = await world.account(ANN, PASSWORD), world.clock() + timedelta(hours=1)
    body = {"email": ANN, "role": "viewer", "until": until.isoformat(), "all_folders": True}
    await world.owner.ok("POST", "~/support-access", body)
    ann.org = world.owner.org
    edge_id, identity = await world.edge()
    edge, client = await world.connect(identity), await world.client(ann)
    ticket = await ann.ok("POST", f"~/edge-hosts/{edge_id}/sessions", {"client": client.urn})
    await edge.expect(SessionAnnounced)
    await _ask(ann)
    await _confirm(ann, await world.mailed_code(NEW))
    assert (await edge.expect(SessionEnded)).session == ticket["session"]
    assert (await ann("GET", "~/edge-hosts")).status == 404


async def test_an_invitation_is_declined(world):
    ann, bob = await world.account(ANN), await world.account(BOB)
    await world.owner.ok("POST", "~/invitations", {"emails": [ANN], "role": "admin"})
    [waiting] = (await ann.ok("GET", "/me/invitations"))["invitations"]
    path = f"/me/invitations/{waiting['id']}/decline"
    assert (await bob("POST", path)).status == 404
    assert (await ann("POST", path)).status == 204
    assert (await ann("POST", path)).status == 404
    assert (await ann.ok("GET", "/me/invitations"))["invitations"] == []
    assert (await world.owner.ok("GET", "~/invitations"))["invitations"] == []
    [row] = await world.audit("invitation.declined")
    assert (row["actor"], row["details"]["invited_by"]) == (ANN, "owner@example.com")


@pytest.mark.parametrize("role", [Role.VIEWER, Role.ADMIN])
async def test_members_leave_by_themselves(world, role):
    ann = await world.member(role)
    edge_id, identity = await world.edge()
    edge, client = await world.connect(identity), await world.client(ann)
    connected = await world.connect(client)
    ticket = await ann.ok("POST", f"~/edge-hosts/{edge_id}/sessions", {"client": client.urn})
    await edge.expect(SessionAnnounced)
    assert (await ann("DELETE", f"/me/organizations/{ann.org}")).status == 204
    assert (await edge.expect(SessionEnded)).session == ticket["session"]
    while not isinstance(message := await connected.receive(), Bye):
        assert message is not None
    assert message.code == "certificate_revoked"
    assert (await ann("GET", "~/edge-hosts")).status == 404
    assert (await ann("DELETE", f"/me/organizations/{ann.org}")).status == 404
    [row] = await world.audit("user.left")
    assert (row["target"], row["details"]["role"]) == (f"{role}-{ann.org[-6:]}@example.com", role)


async def test_the_last_owner_does_not_leave(world):
    mine = f"/me/organizations/{world.owner.org}"
    refused = await world.owner("DELETE", mine)
    assert refused.code == "conflict" and "only owner" in refused.body["detail"]
    heir = await world.member(Role.OWNER)
    replies = await asyncio.gather(world.owner("DELETE", mine), heir("DELETE", mine))
    assert sorted(reply.status for reply in replies) == [204, 409]


async def test_another_organization_is_not_left(world):
    other = await world.other_organization()
    for org in (other.org, "nowhere"):
        assert (await world.owner("DELETE", f"/me/organizations/{org}")).code == "not_found"
