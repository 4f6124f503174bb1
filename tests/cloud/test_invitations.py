from __future__ import annotations

import asyncio

import pytest

from farsite_signaling.wire.rights import Role

pytestmark = pytest.mark.both_databases

ANN, BOB = "ann@example.com", "bob@example.com"
PASSWORD = "a good long password"


async def _invite(world, *emails, role="admin", **more):
    return await world.owner("POST", "~/invitations", {"emails": list(emails), "role": role, **more})


async def _accept(person):
    [waiting] = (await person.ok("GET", "/me/invitations"))["invitations"]
    return await person("POST", f"/me/invitations/{waiting['id']}/accept")


async def _join(world, code: str, **more):
    body = {"code": code, "password": PASSWORD, "name": "Ann"} | more
    return await world.stranger("POST", "/auth/join", body)


async def test_many_are_invited_at_once_and_mailed(world):
    reply = await _invite(world, ANN, "BOB@example.com", ANN)
    assert reply.status == 201
    assert [one["email"] for one in reply.body["invitations"]] == [ANN, BOB]
    assert {mail.recipient for mail in await world.mails()} == {ANN, BOB}
    [mail] = await world.mails(ANN)
    assert "invites you to" in mail.content.subject and "farsite account join" in mail.content.text
    [row] = await world.audit("user.invited")
    assert row["details"]["role"] == "admin"


async def test_invited_members_start_as_viewers_until_the_organization_says_otherwise(world):
    ann, bob = await world.account(ANN), await world.account(BOB)
    await _invite(world, ANN, BOB)
    assert (await _accept(ann)).body["role"] == "viewer"
    await world.owner.ok("PATCH", "~", {"invited_start_as_viewers": False})
    assert (await _accept(bob)).body["role"] == "admin"
    ann.org = world.owner.org
    assert (await ann.ok("GET", "~"))["role"] == "viewer"


async def test_operators_and_viewers_get_the_folders_that_were_chosen(world):
    own, far = await world.folder("Own"), await world.folder("Far")
    ann = await world.account(ANN)
    assert (await _invite(world, ANN, role="operator")).code == "invalid_request"
    assert (await _invite(world, ANN, role="operator", folder_ids=["x"])).status == 404
    assert (await _invite(world, ANN, role="admin", folder_ids=[own])).code == "invalid_request"
    assert (await _invite(world, ANN, role="owner")).code == "invalid_request"
    assert (await _invite(world, ANN, role="operator", folder_ids=[own, far])).status == 201
    await world.owner("DELETE", f"~/folders/{far}")
    assert (await _accept(ann)).status == 200
    ann.org = world.owner.org
    assert [folder["id"] for folder in (await ann.ok("GET", "~/folders"))["folders"]] == [own]


async def test_only_the_invited_address_accepts(world):
    """Security rule 13: nobody joins by the looks of an address."""
    bob, relative = await world.account(BOB), await world.account("ann@sub.example.com")
    invitation = (await _invite(world, ANN)).body["invitations"][0]["id"]
    for person in (bob, relative):
        assert (await person.ok("GET", "/me/invitations"))["invitations"] == []
        assert (await person("POST", f"/me/invitations/{invitation}/accept")).status == 404


async def test_an_address_without_an_account_signs_up_with_the_code(world):
    await _invite(world, ANN, role="viewer", all_folders=True)
    code = await world.mailed_code(ANN)
    joined = await _join(world, code)
    assert (joined.status, joined.body["email"]) == (201, ANN)
    signed_in = await world.stranger.ok("POST", "/auth/sign-in", {"email": ANN, "password": PASSWORD})
    world.stranger.token = signed_in["token"]
    [organization] = (await world.stranger.ok("GET", "/organizations"))["organizations"]
    assert (organization["id"], organization["role"]) == (world.owner.org, "viewer")
    world.stranger.token = None
    assert (await _join(world, code)).code == "code_invalid"
    [row] = await world.audit("invitation.accepted")
    assert row["details"]["invited_by"] == "owner@example.com"


async def test_a_code_does_not_take_over_an_account(world):
    await world.account(ANN, "her own old password")
    await _invite(world, ANN)
    reply = await _join(world, await world.mailed_code(ANN))
    assert (reply.status, reply.code) == (409, "conflict")
    old = {"email": ANN, "password": "her own old password"}
    assert (await world.stranger("POST", "/auth/sign-in", old)).status == 200


async def test_of_many_that_use_one_code_one_joins(world):
    await _invite(world, ANN)
    code = await world.mailed_code(ANN)
    replies = await asyncio.gather(*(_join(world, code) for _ in range(8)))
    assert sorted(reply.status for reply in replies)[0] == 201
    assert sum(reply.status == 201 for reply in replies) == 1
    assert len((await world.owner.ok("GET", "~/users"))["users"]) == 2


async def test_resending_renews_and_voids_the_old_code(world):
    await _invite(world, ANN)
    old = await world.mailed_code(ANN)
    world.clock.advance(days=8)
    world.owner = await world.signed_in("owner@example.com", world.owner.org)
    [pending] = (await world.owner.ok("GET", "~/invitations"))["invitations"]
    assert pending["expired"] is True
    assert (await _join(world, old)).code == "code_invalid"
    renewed = await world.owner.ok("POST", f"~/invitations/{pending['id']}/resend")
    assert renewed["expired"] is False
    assert (await _join(world, old)).code == "code_invalid"
    assert (await _join(world, await world.mailed_code(ANN))).status == 201
    assert (await world.owner.ok("GET", "~/invitations"))["invitations"] == []


async def test_revoked_and_expired_ones_cannot_be_accepted(world):
    ann = await world.account(ANN)
    invitation = (await _invite(world, ANN)).body["invitations"][0]["id"]
    assert (await world.owner("DELETE", f"~/invitations/{invitation}")).status == 204
    assert (await ann("POST", f"/me/invitations/{invitation}/accept")).status == 404
    assert (await _join(world, await world.mailed_code(ANN))).code == "code_invalid"
    invitation = (await _invite(world, ANN)).body["invitations"][0]["id"]
    world.clock.advance(days=7)
    ann = await world.signed_in(ANN)
    assert (await ann.ok("GET", "/me/invitations"))["invitations"] == []
    assert (await ann("POST", f"/me/invitations/{invitation}/accept")).status == 404


async def test_members_are_not_invited_again(world):
    viewer = await world.member(Role.VIEWER, email=ANN)
    reply = await _invite(world, ANN, BOB)
    assert (reply.body["members"], [one["email"] for one in reply.body["invitations"]]) == ([ANN], [BOB])
    assert viewer.account_id
    assert await world.mails(ANN) == []


async def test_other_organizations_invitations_are_out_of_sight(world):
    other = await world.other_organization()
    invitation = (await _invite(world, ANN)).body["invitations"][0]["id"]
    assert (await other.ok("GET", "~/invitations"))["invitations"] == []
    assert (await other("POST", f"~/invitations/{invitation}/resend")).status == 404
    assert (await other("DELETE", f"~/invitations/{invitation}")).status == 404


async def test_an_invitation_is_refused_whole(world):
    reply = await _invite(world, ANN, "no address")
    assert reply.code == "invalid_request"
    assert (await world.owner.ok("GET", "~/invitations"))["invitations"] == []
    assert (await _invite(world, *[f"n{n}@example.com" for n in range(101)])).code == "invalid_request"
    assert await world.mails() == []


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.VIEWER])
async def test_only_those_who_manage_users_invite(world, role):
    person = await world.member(role)
    refused = await person("POST", "~/invitations", {"emails": [ANN], "role": "viewer", "all_folders": True})
    assert (refused.status, refused.body["right"]) == (403, "user.manage")


async def test_mailing_invitations_without_end_is_limited(world):
    for start in (0, 100):
        reply = await _invite(world, *[f"n{start + n}@example.com" for n in range(100)])
        assert reply.status == 201
    limited = await _invite(world, "one-more@example.com")
    assert (limited.status, limited.code) == (429, "rate_limited")
