from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from farsite_cloud.support.sweep import cut_one
from farsite_signaling.wire.hub import Bye, SessionAnnounced, SessionEnded
from farsite_signaling.wire.rights import Role

ANN = "ann@example.com"


def _body(world, email=ANN, role="operator", **more):
    until = (world.clock() + timedelta(hours=2)).isoformat()
    choice = {} if role == "admin" else {"all_folders": True}
    return {"email": email, "role": role, "until": until, "reason": "broken camera"} | choice | more


async def _live(world, person):
    """Edge host, client and a session of theirs, all connected."""
    edge_id, edge_identity = await world.edge()
    client_identity = await world.client(person)
    edge, client = await world.connect(edge_identity), await world.connect(client_identity)
    ticket = await person.ok("POST", f"~/edge-hosts/{edge_id}/sessions", {"client": client_identity.urn})
    await edge.expect(SessionAnnounced)
    return edge, client, ticket


@pytest.mark.both_databases
async def test_whoever_is_let_in_sees_it_and_is_seen(world):
    ann = await world.account(ANN)
    granted = await world.owner.ok("POST", "~/support-access", _body(world))
    assert granted["active"] and granted["granted_by"] == "owner@example.com"
    [own] = (await ann.ok("GET", "/organizations"))["organizations"]
    assert (own["role"], own["support_until"]) == ("operator", granted["until"])
    ann.org = world.owner.org
    assert (await ann.ok("GET", "~"))["support_until"] == granted["until"]
    await world.client(ann)
    [enrolled] = await world.audit("client.enrolled")
    assert enrolled["actor"] == f"{ANN} (support)"
    [row] = await world.audit("support.granted")
    assert (row["target"], row["details"]["role"]) == (ANN, "operator")
    members = (await world.owner.ok("GET", "~/users"))["users"]
    assert [user["email"] for user in members] == ["owner@example.com"]
    [mail] = await world.mails(ANN)
    assert "until" in mail.content.text and "broken camera" in mail.content.text


@pytest.mark.both_databases
async def test_live_sessions_are_cut_when_it_runs_out_without_anybody_asking(world):
    ann = await world.supporter(Role.OPERATOR, minutes=30)
    edge, client, ticket = await _live(world, ann)
    assert ticket["expires_at"] == (await ann.ok("GET", "~"))["support_until"]
    world.clock.advance(minutes=30)
    async with asyncio.timeout(5):
        assert (await edge.expect(SessionEnded)).session == ticket["session"]
        assert (await client.expect(SessionEnded)).session == ticket["session"]
        assert (await client.expect(Bye)).code == "certificate_revoked"
    assert (await ann("GET", "~/edge-hosts")).status == 404
    assert (await ann.ok("GET", "/organizations"))["organizations"] == []
    [row] = await world.audit("support.expired")
    assert row["actor"] == "farsite"


async def test_it_is_ended_before_its_time(world):
    ann = await world.supporter(Role.ADMIN)
    edge, _, ticket = await _live(world, ann)
    [access] = (await world.owner.ok("GET", "~/support-access"))["support"]
    assert (await world.owner("DELETE", f"~/support-access/{access['id']}")).status == 204
    assert (await ann("GET", "~/edge-hosts")).status == 404
    async with asyncio.timeout(5):
        assert (await edge.expect(SessionEnded)).session == ticket["session"]
    [listed] = (await world.owner.ok("GET", "~/support-access"))["support"]
    assert (listed["active"], listed["ended_by"]) == (False, "owner@example.com")
    again = await world.owner("DELETE", f"~/support-access/{access['id']}")
    assert (again.status, again.code) == (409, "conflict")
    assert await world.audit("support.expired") == []


@pytest.mark.both_databases
async def test_whoever_has_it_gives_it_up(world):
    ann = await world.supporter(Role.ADMIN)
    edge, _, ticket = await _live(world, ann)
    assert (await world.owner("DELETE", f"/me/support/{ann.org}")).code == "not_found", "a member has none"
    assert (await ann("DELETE", f"/me/support/{ann.org}")).status == 204
    assert (await ann("GET", "~/edge-hosts")).status == 404
    async with asyncio.timeout(5):
        assert (await edge.expect(SessionEnded)).session == ticket["session"]
    [listed] = (await world.owner.ok("GET", "~/support-access"))["support"]
    assert listed["active"] is False and listed["ended_by"] == listed["email"]
    [row] = await world.audit("support.given_up")
    assert (row["actor"], row["details"]["granted_by"]) == (listed["email"], "owner@example.com")
    assert (await ann("DELETE", f"/me/support/{ann.org}")).code == "not_found"


@pytest.mark.both_databases
async def test_two_processes_cut_once_and_one_takes_over_from_the_other(world, monkeypatch):
    ann = await world.supporter(Role.OPERATOR, minutes=30)
    edge, _, ticket = await _live(world, ann)
    peers, lost = world.services.peers, []

    async def die(*message):
        lost.append(message)
        raise RuntimeError("the process died here")

    monkeypatch.setattr(type(peers), "notify", die)
    world.clock.advance(minutes=30)
    async with asyncio.timeout(5):
        while not lost:
            await asyncio.sleep(0.05)
    monkeypatch.undo()
    assert await cut_one(world.services) is False, "the lease is somebody else's"
    world.clock.advance(seconds=11)
    async with asyncio.timeout(5):
        assert (await edge.expect(SessionEnded)).session == ticket["session"]
    await asyncio.gather(*(cut_one(world.services) for _ in range(4)))
    assert len(await world.audit("support.expired")) == 1


async def test_its_end_is_moved(world):
    ann = await world.supporter(Role.VIEWER, hours=1)
    [access] = (await world.owner.ok("GET", "~/support-access"))["support"]
    path = f"~/support-access/{access['id']}"
    later = (world.clock() + timedelta(hours=3)).isoformat()
    tag = (await world.owner("GET", path)).headers["ETag"]
    moved = await world.owner("PATCH", path, {"until": later}, headers={"If-Match": tag})
    assert moved.status == 200
    stale = await world.owner("PATCH", path, {"until": later}, headers={"If-Match": tag})
    assert (stale.status, stale.code) == (412, "precondition_failed")
    world.clock.advance(hours=2)
    await ann.ok("GET", "~/edge-hosts")
    world.clock.advance(hours=1)
    assert (await ann("GET", "~/edge-hosts")).status == 404
    assert (await world.owner("PATCH", path, {"until": later})).code == "conflict"


async def test_somebody_without_an_account_makes_one_first(world_in, tmp_path):
    world = await world_in(tmp_path, sign_up="invited")
    await world.owner.ok("POST", "~/support-access", _body(world))
    await world.stranger.ok("POST", "/auth/sign-up", {"email": ANN})
    body = {"code": await world.mailed_code(ANN), "password": "a good long password", "name": "Ann"}
    await world.stranger.ok("POST", "/auth/confirm", body)
    ann = await world.signed_in(ANN, world.owner.org)
    await ann.ok("GET", "~/edge-hosts")


@pytest.mark.parametrize(
    "more",
    [
        {"role": "owner"},
        {"all_folders": False},
        {"folder_ids": ["nowhere"], "all_folders": False},
        {"email": "owner@example.com"},
        {"email": "no address"},
        {"until": "2001-01-01T00:00:00Z"},
        {"until": "2101-01-01T00:00:00Z"},
        {"until": "tomorrow"},
        {"until": "2030-01-01T00:00:00"},
    ],
    ids=str,
)
async def test_what_cannot_be_granted(world, more):
    reply = await world.owner("POST", "~/support-access", _body(world) | more)
    assert reply.status in (400, 404, 409), reply.text
    assert (await world.owner.ok("GET", "~/support-access"))["support"] == []


async def test_an_address_is_let_in_once_at_a_time(world):
    await world.owner.ok("POST", "~/support-access", _body(world))
    assert (await world.owner("POST", "~/support-access", _body(world))).code == "conflict"


async def test_support_lets_nobody_in(world):
    ann = await world.supporter(Role.ADMIN)
    for path, body in [
        ("~/support-access", _body(world, "mallory@example.com")),
        ("~/invitations", {"emails": ["mallory@example.com"], "role": "admin"}),
        ("~/service-accounts", {"name": "backdoor", "role": "admin"}),
    ]:
        reply = await ann("POST", path, body)
        assert (reply.status, reply.body["right"]) == (403, "user.manage"), path


async def test_signing_out_ends_the_sessions_of_support(world):
    ann = await world.supporter(Role.OPERATOR)
    edge, _, ticket = await _live(world, ann)
    await ann.ok("POST", "/auth/sign-out")
    assert (await edge.expect(SessionEnded)).session == ticket["session"]
