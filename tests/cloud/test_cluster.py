"""Several processes of one cloud: whatever happens at one of them holds at all."""

from __future__ import annotations

import asyncio

import pytest

from farsite_cloud.cluster import redis
from farsite_cloud.mail.letters import Content
from farsite_cloud.mail.mailer import Mailer
from farsite_cloud.mail.queue import put
from farsite_signaling.wire.envelope import Envelope
from farsite_signaling.wire.errors import ErrorCode
from farsite_signaling.wire.hub import (
    Bye,
    EnvelopeMessage,
    SessionAnnounced,
    SessionEnded,
    Undeliverable,
)
from farsite_signaling.wire.rights import Role
from tests.cloud.cluster_rig import two_clouds, until


@pytest.fixture
async def two(tmp_path, clock, monkeypatch, new_database, redis_url):
    # Bounds that a busy machine keeps: what happens beyond them is `test_outages.py`'s.
    monkeypatch.setattr(redis, "SECONDS", 10.0)
    async with new_database() as url:
        settings = {"database": url, "database_timeout": 10, "redis": redis_url}
        async with two_clouds(tmp_path, clock, monkeypatch, **settings) as two:
            yield two


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


async def test_a_session_across_processes(two):
    edge_id, edge_identity = await two.a.edge()
    edge = await two.a.connect(edge_identity)
    await two.online_at_b(edge_identity.urn)
    assert (await two.b.owner.ok("GET", f"~/edge-hosts/{edge_id}"))["online"] is True
    client_identity = await two.b.client()
    client = await two.b.connect(client_identity)
    await until(lambda: two.a.services.peers.online(client_identity.urn))
    path = f"~/edge-hosts/{edge_id}/sessions"
    ticket = await two.b.owner.ok("POST", path, {"client": client_identity.urn})
    assert (await edge.expect(SessionAnnounced)).session == ticket["session"]
    there, back = _envelope(client_identity, edge_identity.urn), _envelope(edge_identity, client_identity.urn)
    await client.send(there)
    assert await edge.receive() == there
    await edge.send(back)
    assert await client.receive() == back
    assert (await two.a.owner("DELETE", f"~/sessions/{ticket['session']}")).status == 204
    assert (await edge.expect(SessionEnded)).session == ticket["session"]
    assert (await client.expect(SessionEnded)).session == ticket["session"]
    await client.send(there)
    assert (await client.expect(Undeliverable)).code == "session_ended"


async def test_one_removed_at_another_process_is_cut_off(two):
    admin = await two.a.member(Role.ADMIN)
    edge_id, edge_identity = await two.a.edge()
    edge = await two.a.connect(edge_identity)
    client_identity = await two.a.client(admin)
    client = await two.a.connect(client_identity)
    await two.online_at_b(edge_identity.urn)
    await two.online_at_b(client_identity.urn)
    assert (await two.b.owner("DELETE", f"~/users/{admin.account_id}")).status == 204
    assert (await client.expect(Bye)).code == "certificate_revoked"
    assert (await two.b.owner("DELETE", f"~/edge-hosts/{edge_id}?risk_confirmed=true")).status == 204
    assert (await edge.expect(Bye)).code == "certificate_revoked"
    await two.online_at_b(edge_identity.urn, False)


async def test_signing_out_at_one_is_signing_out_at_all(two):
    assert (await two.b.owner("GET", "/me")).status == 200
    assert (await two.a.owner("POST", "/auth/sign-out")).status == 204
    assert (await two.b.owner("GET", "/me")).code == "unauthenticated"


async def test_the_newest_connection_counts_wherever_it_is(two):
    _, identity = await two.a.edge()
    older = await two.a.connect(identity)
    await two.online_at_b(identity.urn)
    newer = await two.b.connect(identity)
    assert (await older.expect(Bye)).code == "replaced"
    newest = await two.a.connect(identity)
    assert (await newer.expect(Bye)).code == "replaced"
    await newest.socket.close()
    await two.online_at_b(identity.urn, False)
    await until(lambda: not two.a.services.peers.online(identity.urn))


async def test_guesses_are_counted_together(two):
    claim = {"code": "0000-0000-0000", "csr": "x"}
    for number in range(5):
        world = (two.a, two.b)[number % 2]
        assert (await world.stranger("POST", "/claims", claim)).code == "setup_code_invalid"
    assert (await two.a.stranger("POST", "/claims", claim)).code == "rate_limited"
    limited = await two.b.stranger("POST", "/claims", claim)
    assert (limited.code, limited.headers["Retry-After"]) == ("rate_limited", "1")
    two.a.clock.advance(seconds=1)
    assert (await two.b.stranger("POST", "/claims", claim)).code == "setup_code_invalid"
    assert (await two.a.stranger("POST", "/claims", claim)).headers["Retry-After"] == "2"


async def test_parallel_guesses_at_several_processes_do_not_slip_through_together(two):
    body = {"email": "owner@example.com", "password": "wrong password"}
    worlds = [two.a, two.b] * 5
    replies = await asyncio.gather(*(world.stranger("POST", "/auth/sign-in", body) for world in worlds))
    codes = sorted(str(reply.code) for reply in replies)
    assert codes == ["rate_limited"] * 5 + ["sign_in_failed"] * 5


class SlowPost:
    """Takes mails, all at the same time."""

    name = "post"

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def send(self, mail) -> None:
        self.sent.append(mail.recipient)
        await asyncio.sleep(0)


async def test_two_processes_send_a_mail_once(two):
    wanted = [f"{number}@example.com" for number in range(30)]
    services = two.a.services
    async with services.database.writing() as session:
        for recipient in wanted:
            put(session, recipient, Content("Hello", "text"), services.vault, two.a.clock())
    post = SlowPost()
    parts = [(world.services.database, world.services.vault, world.clock, post) for world in (two.a, two.b)]
    async with Mailer(*parts[0]), Mailer(*parts[1]):
        await until(lambda: len(post.sent) >= len(wanted))
    assert sorted(post.sent) == sorted(wanted)


async def test_a_process_that_leaves_takes_its_peers_along(two):
    _, identity = await two.b.edge()
    peer = await two.b.connect(identity)
    await until(lambda: two.a.services.peers.online(identity.urn))
    await two.b.running.cloud.hub.close()
    assert (await peer.expect(Bye)).code == ErrorCode.UNAVAILABLE
    await until(lambda: not two.a.services.peers.online(identity.urn))


async def test_other_processes_forget_who_may_do_what_before_whoever_changed_it_is_told(two):
    await until(lambda: not two.a.services.peers.partial and not two.b.services.peers.partial)
    ann = await two.a.member(Role.ADMIN, email="ann@example.com")
    there = two.at_b(ann)
    for _ in range(2):
        await there.ok("GET", "~/audit")
    change = {"role": "viewer", "all_folders": True}
    await two.a.owner.ok("PATCH", f"~/users/{ann.account_id}", change)
    assert (await there("GET", "~/audit")).code == "forbidden"
    await there.ok("GET", "~/folders")
    assert (await ann("POST", "/auth/sign-out")).status == 204
    assert (await there("GET", "~/folders")).status == 401
