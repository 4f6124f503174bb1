"""Certificates of edge hosts revoked, and the same edge host claimed again: on its machine, or on another one."""

from __future__ import annotations

import asyncio

import pytest

from farsite_signaling.identity import Identity, generate_key, make_request
from farsite_signaling.identity.renewals import sign_renewal
from farsite_signaling.wire.hub import Bye, SessionAnnounced, SessionEnded, Welcome
from farsite_signaling.wire.rights import Role

pytestmark = pytest.mark.both_databases


async def _code(world, edge_id, person=None) -> str:
    return (await (person or world.owner).ok("POST", f"~/edge-hosts/{edge_id}/setup-code"))["code"]


async def _claim(world, code, key=None):
    key = key or generate_key()
    reply = await world.stranger("POST", "/claims", {"code": code, "csr": make_request(key, "edge")})
    return reply, Identity.from_pem(key, reply.body["certificate"]) if reply.status == 201 else None


async def _revoke(world, edge_id, confirmed="true"):
    return await world.owner("DELETE", f"~/edge-hosts/{edge_id}/certificate?risk_confirmed={confirmed}")


async def _last(peer) -> Bye:
    while not isinstance(message := await peer.receive(), Bye):
        assert message is not None
    return message


async def test_claimed_again_it_is_the_same_edge_host(world):
    folder = await world.folder("Europe")
    edge_id, old = await world.edge(name="Harbour", folder=folder)
    before = await world.owner.ok("GET", f"~/edge-hosts/{edge_id}")
    peer, client = await world.connect(old), await world.client()
    ticket = await world.owner.ok("POST", f"~/edge-hosts/{edge_id}/sessions", {"client": client.urn})
    await peer.expect(SessionAnnounced)
    world.clock.advance(minutes=1)
    reply, new = await _claim(world, await _code(world, edge_id))
    assert (reply.body["edge_id"], reply.body["edge_name"], new.urn) == (edge_id, "Harbour", old.urn)
    assert (await peer.expect(SessionEnded)).session == ticket["session"]
    assert (await _last(peer)).code == "certificate_revoked"
    refused = (await world.connect(old)).seen[-1]
    assert (refused.code, refused.retry) == ("certificate_revoked", False)
    assert isinstance((await world.connect(new)).seen[-1], Welcome)
    [after] = (await world.owner.ok("GET", "~/edge-hosts"))["edge_hosts"]
    for name in ("id", "name", "folder_id", "claimed_at"):
        assert after[name] == before[name]
    [_, row] = sorted(await world.audit("edge_host.claimed"), key=lambda row: row["seq"])
    assert row["details"]["again"] is True


async def test_a_revoked_certificate_opens_nothing(world):
    key = generate_key()
    _, old = await _claim(world, await world.setup_code(), key)
    edge_id = (await world.owner.ok("GET", "~/edge-hosts"))["edge_hosts"][0]["id"]
    peer = await world.connect(old)
    assert (await _revoke(world, edge_id, "false")).code == "confirmation_needed"
    assert (await _revoke(world, edge_id)).status == 204
    assert (await _last(peer)).code == "certificate_revoked"
    assert (await world.connect(old)).seen[-1].code == "certificate_revoked"
    csr = make_request(key, "edge")
    proof = sign_renewal(old, csr, world.clock().timestamp())
    renewal = {"certificate": old.certificate_pem, "csr": csr, "proof": proof}
    assert (await world.stranger("POST", "/edge/renewals", renewal)).code == "certificate_revoked"
    shown = await world.owner.ok("GET", f"~/edge-hosts/{edge_id}")
    assert (shown["online"], shown["certificate_expires_at"]) == (False, None)
    # Within the minutes by which certificates begin early, also by the same key.
    reply, new = await _claim(world, await _code(world, edge_id), key)
    assert reply.status == 201
    assert isinstance((await world.connect(new)).seen[-1], Welcome)
    assert (await world.connect(old)).seen[-1].code == "certificate_revoked"
    rows = await world.audit("edge_host.certificate_revoked")
    assert [(row["target"], row["outcome"]) for row in rows] == [(old.urn, "allowed"), (old.urn, "refused")]


async def test_of_racing_claims_one_is_the_edge_host(world):
    edge_id, _ = await world.edge()
    code = await _code(world, edge_id)
    replies = await asyncio.gather(*(_claim(world, code) for _ in range(10)))
    [winner] = [identity for reply, identity in replies if reply.status == 201]
    assert {reply.code for reply, _ in replies if reply.status != 201} == {"setup_code_used"}
    assert isinstance((await world.connect(winner)).seen[-1], Welcome)
    assert len((await world.owner.ok("GET", "~/edge-hosts"))["edge_hosts"]) == 1


async def test_a_removed_edge_host_does_not_come_back(world):
    edge_id, _ = await world.edge()
    code = await _code(world, edge_id)
    await world.owner.ok("DELETE", f"~/edge-hosts/{edge_id}?risk_confirmed=true")
    reply, _ = await _claim(world, code)
    assert (reply.status, reply.code) == (404, "setup_code_invalid"), reply.text
    assert (await world.owner("POST", f"~/edge-hosts/{edge_id}/setup-code")).status == 404


async def test_only_within_reach_and_by_those_who_may(world):
    edge_id, _ = await world.edge()
    other = await world.other_organization()
    assert (await other("POST", f"~/edge-hosts/{edge_id}/setup-code")).status == 404
    assert (await other("DELETE", f"~/edge-hosts/{edge_id}/certificate?risk_confirmed=true")).status == 404
    for role in (Role.OPERATOR, Role.VIEWER):
        person = await world.member(role)
        assert (await person("POST", f"~/edge-hosts/{edge_id}/setup-code")).status == 403
        assert (await person("DELETE", f"~/edge-hosts/{edge_id}/certificate")).status == 403
    admin = await world.member(Role.ADMIN)
    assert await _code(world, edge_id, admin)
