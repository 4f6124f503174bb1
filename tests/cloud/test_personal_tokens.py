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


async def test_a_token_is_for_one_organization_and_its_folders(world):
    second = (await world.owner.ok("POST", "/organizations", {"name": "Second"}))["id"]
    own = await world.folder("Own")
    edge_id, edge_identity = await world.edge(folder=own)
    far_id, _ = await world.edge(name="Far")
    where = {"organization_id": world.owner.org, "folder_ids": [own]}
    made = await _token(world.owner, *VIEW, "device.manage", "user.manage", **where)
    assert (made["organization_id"], made["folder_ids"]) == (world.owner.org, [own])
    script = replace(world.owner, token=made["token"])
    assert [edge["id"] for edge in (await script.ok("GET", "~/edge-hosts"))["edge_hosts"]] == [edge_id]
    assert (await script("GET", f"~/edge-hosts/{far_id}")).status == 404
    assert (await script("GET", "~/invitations")).status == 403
    assert [one["id"] for one in (await script.ok("GET", "/organizations"))["organizations"]] == [
        world.owner.org
    ]
    assert (await script("GET", f"/organizations/{second}")).status == 404
    edge, client = await world.connect(edge_identity), await world.client()
    ticket = await script.ok("POST", f"~/edge-hosts/{edge_id}/sessions", {"client": client.urn})
    await edge.expect(SessionAnnounced)
    # Moved out of the token's folders, though not out of its owner's.
    await world.owner.ok("PATCH", f"~/edge-hosts/{edge_id}", {"folder_id": await world.folder("Elsewhere")})
    assert (await edge.expect(SessionEnded)).session == ticket["session"]


async def test_a_token_is_not_for_what_its_owner_does_not_reach(world):
    own, far = await world.folder("Own"), await world.folder("Far")
    person = await world.member(Role.VIEWER, folders=[own])
    other = await world.other_organization()
    for where in (
        {"organization_id": person.org, "folder_ids": [far]},
        {"organization_id": other.org},
        {"organization_id": "nowhere"},
    ):
        body = {"name": "x", "scopes": ["edge.read"]} | where
        assert (await person("POST", "/me/tokens", body)).status == 404, where
    alone = {"name": "x", "scopes": ["edge.read"], "folder_ids": [own]}
    assert (await person("POST", "/me/tokens", alone)).code == "invalid_request"


async def test_a_token_says_when_it_was_last_used(world):
    made = await _token(world.owner, "edge.read")
    assert made["used_at"] is None
    script = replace(world.owner, token=made["token"])
    await script.ok("GET", "~/edge-hosts")
    await world.services.used.write(world.services.database)
    [listed] = (await world.owner.ok("GET", "/me/tokens"))["tokens"]
    assert (listed["used_at"][:19], listed["used_from"]) == (world.clock().isoformat()[:19], "127.0.0.1")
    world.clock.advance(seconds=30)
    await script.ok("GET", "~/edge-hosts")
    assert await world.services.used.write(world.services.database) is False, "once a minute is enough"


async def test_a_token_is_rotated(world):
    made = await _token(world.owner, "edge.read")
    script = replace(world.owner, token=made["token"])
    fresh = await world.owner.ok("POST", f"/me/tokens/{made['id']}/rotation", {"overlap_hours": 1})
    assert (fresh["name"], fresh["scopes"]) == (made["name"], made["scopes"])
    rotated = replace(world.owner, token=fresh["token"])
    await script.ok("GET", "~/edge-hosts")
    world.clock.advance(hours=1)
    assert (await script("GET", "~/edge-hosts")).code == "token_expired"
    await rotated.ok("GET", "~/edge-hosts")
    await world.owner.ok("POST", f"/me/tokens/{fresh['id']}/rotation", {})
    assert (await rotated("GET", "~/edge-hosts")).code == "unauthenticated"
    assert (await script("POST", f"/me/tokens/{made['id']}/rotation", {})).status in (401, 403)
