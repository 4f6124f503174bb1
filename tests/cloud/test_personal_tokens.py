from __future__ import annotations

from dataclasses import replace

import pytest

from farsite_signaling.identity import load_public_key, verify_grant
from farsite_signaling.wire.hub import SessionAnnounced, SessionEnded
from farsite_signaling.wire.rights import Role

VIEW = ["edge.read", "remote.access", "device.read"]


async def _token(person, *scopes: str, **more):
    return await person.ok("POST", "/me/tokens", {"name": "script", "scopes": list(scopes), **more})


@pytest.mark.both_databases
async def test_a_token_is_shown_once_listed_and_revoked(world):
    made = await _token(world.owner, "edge.read")
    assert made["token"].startswith("fsp_")
    [listed] = (await world.owner.ok("GET", "/me/tokens"))["tokens"]
    assert listed == {key: value for key, value in made.items() if key != "token"}
    script = replace(world.owner, token=made["token"])
    await script.ok("GET", "~/edge-hosts")
    assert (await world.owner("DELETE", f"/me/tokens/{made['id']}")).status == 204
    assert (await script("GET", "~/edge-hosts")).code == "unauthenticated"
    assert (await world.owner("DELETE", f"/me/tokens/{made['id']}")).status == 404
    assert len(await world.audit("account.token_created")) == 1
    outcomes = [row["outcome"] for row in await world.audit("account.token_revoked")]
    assert outcomes == ["refused", "allowed"]


async def test_tokens_expire_when_they_said(world):
    made = await _token(world.owner, "edge.read", expires_in_days=30)
    script = replace(world.owner, token=made["token"])
    world.clock.advance(days=29)
    await script.ok("GET", "~/edge-hosts")
    world.clock.advance(days=1)
    assert (await script("GET", "~/edge-hosts")).code == "token_expired"


async def test_a_token_never_has_more_than_the_role(world):
    viewer = await world.member(Role.VIEWER)
    script = replace(viewer, token=(await _token(viewer, "edge.claim", "edge.read"))["token"])
    refused = await script("POST", "~/setup-codes", {"name": "x"})
    assert (refused.status, refused.body["right"]) == (403, "edge.claim")
    await script.ok("GET", "~/edge-hosts")


async def test_a_sessions_grant_has_the_scopes_only_and_ends_with_the_token(world):
    edge_id, edge_identity = await world.edge()
    edge, client = await world.connect(edge_identity), await world.client()
    made = await _token(world.owner, *VIEW)
    script = replace(world.owner, token=made["token"])
    ticket = await script.ok("POST", f"~/edge-hosts/{edge_id}/sessions", {"client": client.urn})
    await edge.expect(SessionAnnounced)
    from farsite_cloud.organizations.service import find_organization

    async with world.services.database.reading() as session:
        organization = await find_organization(session, world.owner.org)
    key = load_public_key(organization.grant_public_key)
    now = world.clock().timestamp()
    grant = verify_grant(ticket["grant"], key, audience=edge_identity.urn, subject=client.urn, now=now)
    assert sorted(grant.rights) == sorted(VIEW)
    await world.owner("DELETE", f"/me/tokens/{made['id']}")
    assert (await edge.expect(SessionEnded)).session == ticket["session"]


@pytest.mark.parametrize(
    "body",
    [
        {"scopes": []},
        {"scopes": ["everything"]},
        {"expires_in_days": 0},
        {"expires_in_days": 367},
        {"name": ""},
    ],
)
async def test_malformed_ones_are_refused(world, body):
    reply = await world.owner("POST", "/me/tokens", {"name": "x", "scopes": ["edge.read"]} | body)
    assert reply.code == "invalid_request"


async def test_tokens_are_not_made_without_end(world):
    for _ in range(50):
        await _token(world.owner, "edge.read")
    reply = await world.owner("POST", "/me/tokens", {"name": "x", "scopes": ["edge.read"]})
    assert (reply.status, reply.code) == (409, "conflict")
