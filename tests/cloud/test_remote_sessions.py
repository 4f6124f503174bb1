from __future__ import annotations

import asyncio

import pytest

from farsite_cloud.organizations.service import find_organization
from farsite_cloud.testing import OWNER_EMAIL
from farsite_signaling.identity import load_public_key, verify_grant
from farsite_signaling.wire.envelope import Envelope
from farsite_signaling.wire.hub import (
    EnvelopeMessage,
    SessionAnnounced,
    SessionEnded,
    SessionsHeld,
    Undeliverable,
)
from farsite_signaling.wire.rights import Role, rights_of
from tests.cloud.cluster_rig import until

pytestmark = pytest.mark.both_databases


def _envelope(sender, recipient: str) -> EnvelopeMessage:
    return EnvelopeMessage(
        envelope=Envelope(
            id="e1",
            sender=sender.urn,
            recipient=recipient,
            payload="cGF5bG9hZA",
            signature="c2ln",
            certificate=sender.certificate_pem,
        )
    )


async def _open(world, edge_id: str, client, person=None):
    return await (person or world.owner)("POST", f"~/edge-hosts/{edge_id}/sessions", {"client": client.urn})


async def test_a_ticket_holds_a_grant_and_the_edge_host_knows_first(world):
    operator = await world.member(Role.OPERATOR)
    edge_id, edge_identity = await world.edge()
    edge, client = await world.connect(edge_identity), await world.client(operator)
    reply = await _open(world, edge_id, client, operator)
    assert reply.status == 201, reply.text
    announced = await edge.expect(SessionAnnounced)
    assert (announced.session, announced.client) == (reply.body["session"], client.urn)
    grant_key = load_public_key(await _grant_key(world))
    now = world.clock().timestamp()
    grant = verify_grant(
        reply.body["grant"], grant_key, audience=edge_identity.urn, subject=client.urn, now=now
    )
    assert (grant.role, grant.rights, grant.devices) == (Role.OPERATOR, rights_of(Role.OPERATOR), None)
    assert (grant.exp - now, grant.until - now) == (300, 12 * 3600)
    assert grant.sid == reply.body["session"]
    assert reply.body["edge"] == edge_identity.urn
    assert reply.body["hub_url"] == world.running.hub_url


async def _grant_key(world) -> str:
    async with world.services.database.reading() as session:
        organization = await find_organization(session, world.owner.org)
        return organization.grant_public_key


async def test_an_edge_host_that_is_not_connected_is_offline(world):
    edge_id, _ = await world.edge()
    refused = await _open(world, edge_id, await world.client())
    assert (refused.status, refused.code) == (409, "edge_offline")
    [row] = await world.audit("session.granted")
    assert (row["outcome"], row["details"]["code"]) == ("refused", "edge_offline")


async def test_a_session_is_for_a_client_of_the_caller_only(world):
    edge_id, identity = await world.edge()
    await world.connect(identity)
    admin = await world.member(Role.ADMIN)
    theirs = await world.client(admin)
    assert (await _open(world, edge_id, theirs)).status == 404
    assert (await _open(world, edge_id, identity)).status == 404
    reply = await world.owner("POST", f"~/edge-hosts/{edge_id}/sessions", {"client": "urn:farsite:x"})
    assert reply.code == "certificate_invalid"


async def test_envelopes_pass_between_the_two_of_a_live_session_only(world):
    edge_id, edge_identity = await world.edge()
    _, other_identity = await world.edge(name="Other site")
    client_identity = await world.client()
    edge, other = await world.connect(edge_identity), await world.connect(other_identity)
    client = await world.connect(client_identity)
    message = _envelope(client_identity, edge_identity.urn)
    await client.send(message)
    assert (await client.expect(Undeliverable)).code == "session_ended"
    ticket = (await _open(world, edge_id, client_identity)).body
    await edge.expect(SessionAnnounced)
    await client.send(message)
    assert await edge.receive() == message
    await edge.send(_envelope(edge_identity, client_identity.urn))
    assert isinstance(await client.receive(), EnvelopeMessage)
    await client.send(_envelope(client_identity, other_identity.urn))
    assert (await client.expect(Undeliverable)).code == "session_ended"
    await edge.send(_envelope(edge_identity, other_identity.urn))
    assert (await edge.expect(Undeliverable)).code == "session_ended"
    assert (await world.owner("DELETE", f"~/sessions/{ticket['session']}")).status == 204
    assert (await client.expect(SessionEnded)).session == ticket["session"]
    assert (await edge.expect(SessionEnded)).session == ticket["session"]
    await client.send(message)
    assert (await client.expect(Undeliverable)).code == "session_ended"
    assert other.socket.closed is False


async def test_a_session_ends_by_itself_after_twelve_hours(world):
    edge_id, edge_identity = await world.edge()
    client_identity = await world.client()
    edge, client = await world.connect(edge_identity), await world.connect(client_identity)
    await _open(world, edge_id, client_identity)
    await edge.expect(SessionAnnounced)
    world.clock.advance(hours=12)
    await client.send(_envelope(client_identity, edge_identity.urn))
    assert (await client.expect(Undeliverable)).code == "session_ended"


async def test_organizations_never_reach_one_another(world):
    other = await world.other_organization()
    edge_id, edge_identity = await world.edge()
    theirs = await world.client(other)
    await world.connect(edge_identity)
    client = await world.connect(theirs)
    assert (await _open(world, edge_id, theirs)).status == 404
    assert (await _open(world, edge_id, theirs, other)).status == 404
    await client.send(_envelope(theirs, edge_identity.urn))
    assert (await client.expect(Undeliverable)).code == "session_ended"


async def test_others_sessions_are_ended_by_those_who_manage_edge_hosts(world):
    viewer = await world.member(Role.VIEWER)
    edge_id, identity = await world.edge()
    await world.connect(identity)
    ticket = (await _open(world, edge_id, await world.client())).body
    refused = await viewer("DELETE", f"~/sessions/{ticket['session']}")
    assert (refused.status, refused.body["right"]) == (403, "edge.manage")
    own = (await _open(world, edge_id, await world.client(viewer), viewer)).body
    assert (await world.owner("DELETE", f"~/sessions/{own['session']}")).status == 204
    assert (await world.owner("DELETE", "~/sessions/none")).status == 404


async def test_sessions_are_audited(world):
    edge_id, identity = await world.edge()
    await world.connect(identity)
    client = await world.client()
    ticket = (await _open(world, edge_id, client)).body
    await world.owner("DELETE", f"~/sessions/{ticket['session']}")
    [granted] = await world.audit("session.granted")
    assert (granted["session"], granted["target"]) == (ticket["session"], identity.urn)
    assert granted["details"]["client"] == client.urn
    [ended] = await world.audit("session.ended")
    assert ended["session"] == ticket["session"]
    [enrolled] = await world.audit("client.enrolled")
    assert enrolled["target"] == client.urn


async def test_signing_out_ends_the_sessions_of_that_sign_in_only(world):
    edge_id, edge_identity = await world.edge()
    client_identity = await world.client()
    edge, client = await world.connect(edge_identity), await world.connect(client_identity)
    elsewhere = await world.signed_in(OWNER_EMAIL, world.owner.org)
    other = (await _open(world, edge_id, client_identity, elsewhere)).body
    mine = (await _open(world, edge_id, client_identity)).body
    for _ in range(2):
        await edge.expect(SessionAnnounced)
    assert (await world.owner("POST", "/auth/sign-out")).status == 204
    told = await edge.expect(SessionEnded)
    assert (told.session, told.code) == (mine["session"], "session_ended")
    assert (await client.expect(SessionEnded)).session == mine["session"]
    assert (await world.owner("GET", "/me")).code == "unauthenticated"
    [row] = await world.audit("account.sign_out", elsewhere)
    assert row["details"]["sessions_ended"] == 1
    assert (await elsewhere("DELETE", f"~/sessions/{other['session']}")).status == 204
    assert (await edge.expect(SessionEnded)).session == other["session"]


async def test_a_live_session_gets_a_fresh_ticket_and_the_edge_host_fresh_servers(world):
    edge_id, edge_identity = await world.edge()
    edge, client = await world.connect(edge_identity), await world.client()
    first = (await _open(world, edge_id, client)).body
    await edge.expect(SessionAnnounced)
    world.clock.advance(hours=1)
    reply = await world.owner("POST", f"~/sessions/{first['session']}/renewal")
    assert reply.status == 201, reply.text
    assert (reply.body["session"], reply.body["edge"]) == (first["session"], edge_identity.urn)
    announced = await edge.expect(SessionAnnounced)
    assert (announced.session, announced.client) == (first["session"], client.urn)
    now = world.clock().timestamp()
    grant = verify_grant(
        reply.body["grant"],
        load_public_key(await _grant_key(world)),
        audience=edge_identity.urn,
        subject=client.urn,
        now=now,
    )
    # It opens links anew, but the session does not get longer.
    assert (grant.exp - now, grant.until - now, grant.sid) == (300, 11 * 3600, first["session"])
    [row] = await world.audit("session.renewed")
    assert (row["session"], row["target"]) == (first["session"], edge_identity.urn)


async def test_only_ones_own_live_sessions_are_renewed(world):
    edge_id, identity = await world.edge()
    edge = await world.connect(identity)
    admin = await world.member(Role.ADMIN)
    client = await world.client()
    ticket = (await _open(world, edge_id, client)).body
    path = f"~/sessions/{ticket['session']}/renewal"
    assert (await admin("POST", path)).status == 404
    assert (await world.owner("POST", "~/sessions/none/renewal")).status == 404
    await edge.socket.close()
    while world.services.peers.online(identity.urn):
        await asyncio.sleep(0.01)
    away = await world.owner("POST", path)
    assert away.code == "edge_offline"
    back = await world.connect(identity)
    assert (await world.owner("POST", path)).status == 201
    await back.expect(SessionAnnounced)
    await world.owner("DELETE", f"~/sessions/{ticket['session']}")
    ended = await world.owner("POST", path)
    assert ended.code == "session_ended"


async def test_a_session_that_is_over_is_not_renewed(world):
    edge_id, identity = await world.edge()
    await world.connect(identity)
    ticket = (await _open(world, edge_id, await world.client())).body
    world.clock.advance(hours=12)
    again = await world.signed_in(OWNER_EMAIL, world.owner.org)
    assert (await again("POST", f"~/sessions/{ticket['session']}/renewal")).code == "session_ended"


async def test_an_edge_host_that_was_away_learns_which_sessions_ended(world):
    viewer = await world.member(Role.VIEWER)
    edge_id, identity = await world.edge()
    other_id, other_identity = await world.edge(name="Other")
    edge, other = await world.connect(identity), await world.connect(other_identity)
    mine = (await _open(world, edge_id, await world.client())).body["session"]
    theirs = (await _open(world, edge_id, await world.client(viewer), viewer)).body["session"]
    elsewhere = (await _open(world, other_id, await world.client())).body["session"]
    for _ in range(2):
        await edge.expect(SessionAnnounced)
    await other.expect(SessionAnnounced)
    await edge.socket.close()
    await until(lambda: not world.services.peers.online(identity.urn))
    assert (await world.owner("DELETE", f"~/users/{viewer.account_id}")).status == 204
    back = await world.connect(identity)
    await back.send(SessionsHeld(sessions=[mine, theirs, elsewhere, "made-up"]))
    ended = [(await back.expect(SessionEnded)).session for _ in range(3)]
    assert ended == [theirs, elsewhere, "made-up"], "its own live one stays"
    world.clock.advance(hours=12)
    await back.send(SessionsHeld(sessions=[mine]))
    assert (await back.expect(SessionEnded)).session == mine
    client = await world.connect(await world.client())
    await client.send(SessionsHeld(sessions=[elsewhere]))
    await client.send(_envelope(client.identity, identity.urn))
    assert isinstance(await client.receive(), Undeliverable), "clients are told nothing"
