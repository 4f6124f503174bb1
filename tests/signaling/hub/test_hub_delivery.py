"""Envelopes, notices, reports and presence between real clients and a real hub."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from farsite_signaling.hub import HubLimits
from farsite_signaling.hub.testing import MemoryOrganization
from farsite_signaling.peer.signaling import SignalingState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.hub import (
    AuditEntry,
    Bye,
    Ping,
    Pong,
    Report,
    ReportAccepted,
    SessionEnded,
    Undeliverable,
    Welcome,
)

BUSY = 3.0
"""What a busy machine may add to a bound, seconds."""


def report(name: str = "r1") -> Report:
    row = AuditEntry(
        id="a1", at=datetime.now(UTC), actor="anna", action="device.open", outcome="allowed", details={"n": 1}
    )
    return Report(
        id=name, version="1.0", remote_access=True, devices_managed=1, devices_discovered=2, audit=[row]
    )


async def test_envelope_arrives_unchanged(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any, make_envelope: Any
) -> None:
    server = await start_hub()
    client = await start_peer(server.url, organization.client())
    edge = await start_peer(server.url, organization.edge())
    sent = make_envelope(client.urn, edge.urn, "payload ü")
    await client.client.send(sent)
    assert await edge.receive() == sent


async def test_order_is_kept(organization: MemoryOrganization, start_hub: Any, start_peer: Any) -> None:
    server = await start_hub()
    client = await start_peer(server.url, organization.client())
    edge = await start_peer(server.url, organization.edge())
    for number in range(100):
        await client.send_envelope(edge.urn, str(number))
    assert [(await edge.receive()).envelope.payload for _ in range(100)] == [str(n) for n in range(100)]


async def test_absent_peer_is_reported(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any
) -> None:
    server = await start_hub()
    client = await start_peer(server.url, organization.client())
    await client.send_envelope(organization.edge().urn, name="lost")
    answer = await client.receive()
    assert isinstance(answer, Undeliverable)
    assert (answer.id, answer.code) == ("lost", "edge_offline")


async def test_forged_sender_is_forbidden(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any, make_envelope: Any
) -> None:
    server = await start_hub()
    client = await start_peer(server.url, organization.client())
    edge = await start_peer(server.url, organization.edge())
    await client.client.send(make_envelope(edge.urn, edge.urn, name="forged"))
    assert (await client.receive()).code == "forbidden"
    await client.send_envelope(edge.urn, "honest")
    assert (await edge.receive()).envelope.payload == "honest"


async def test_peer_of_another_organization_is_forbidden_present_or_not(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any
) -> None:
    """The answer does not tell whether the other peer exists."""
    server = await start_hub()
    client = await start_peer(server.url, organization.client())
    await client.send_envelope("urn:farsite:other:edge:e1")
    assert (await client.receive()).code == "forbidden"


async def test_failing_authorizer_delivers_nothing_and_breaks_nothing(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any
) -> None:
    server = await start_hub()
    client = await start_peer(server.url, organization.client())
    edge = await start_peer(server.url, organization.edge())
    await organization.until_presence((client.urn, True), (edge.urn, True))
    organization.failure = RuntimeError("database is down")
    await client.send_envelope(edge.urn, "lost")
    answer = await client.receive()
    assert (answer.code, "database" in answer.detail) == ("unavailable", False)
    organization.failure = None
    await client.send_envelope(edge.urn, "after")
    assert (await edge.receive()).envelope.payload == "after"


async def test_report_is_kept_before_it_is_accepted(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any
) -> None:
    server = await start_hub()
    edge = await start_peer(server.url, organization.edge())
    await edge.client.send(report())
    assert await edge.receive() == ReportAccepted(id="r1")
    assert [(name, kept.id) for name, kept in organization.reports] == [(edge.urn, "r1")]


async def test_report_that_cannot_be_kept_is_not_accepted(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any
) -> None:
    server = await start_hub()
    edge = await start_peer(server.url, organization.edge())
    await organization.until_presence((edge.urn, True))
    organization.failure = FarsiteError(ErrorCode.STORAGE_FAILED, "full")
    await edge.client.send(report("r1"))
    await edge.send_envelope(edge.urn, name="after")
    assert (await edge.receive()).id == "after"
    organization.failure = None
    await edge.client.send(report("r1"))
    assert await edge.receive() == ReportAccepted(id="r1")


async def test_notices_reach_connected_peers_only(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any
) -> None:
    server = await start_hub()
    edge = await start_peer(server.url, organization.edge())
    notice = SessionEnded(session="s1")
    assert await server.hub.notify(edge.urn, notice)
    assert await edge.receive() == notice
    assert not await server.hub.notify(organization.client().urn, notice)


async def test_disconnect_is_final_and_immediate(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any
) -> None:
    server = await start_hub()
    edge = await start_peer(server.url, organization.edge())
    await server.hub.notify(edge.urn, SessionEnded(session="s1"))
    assert await server.hub.disconnect(edge.urn, ErrorCode.CERTIFICATE_REVOKED, "Removed.", retry=False)
    assert not server.hub.online(edge.urn)
    assert (await edge.receive()).session == "s1", "what was queued before still arrives"
    error = await edge.until(SignalingState.REFUSED)
    assert error is not None and error.code is ErrorCode.CERTIFICATE_REVOKED
    assert not await server.hub.disconnect("urn:farsite:acme:edge:none", ErrorCode.CLOSED, "", retry=False)


async def test_newest_connection_of_a_name_wins(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any, raw_peer: Any
) -> None:
    server = await start_hub()
    identity = organization.edge()
    older = await raw_peer(server.url, identity)
    await older.prove()
    await older.hear_kind(Welcome)
    newer = await start_peer(server.url, identity)
    bye = await older.bye()
    assert (bye.code, bye.retry) == ("replaced", False)
    assert await server.hub.notify(identity.urn, SessionEnded(session="s1"))
    assert (await newer.receive()).session == "s1"
    assert organization.presence == [(identity.urn, True)], "nothing changed for the outside"


async def test_with_many_peers_the_hub_asks_for_rarer_pings(
    organization: MemoryOrganization, start_hub: Any, raw_peer: Any
) -> None:
    server = await start_hub(heartbeat=5.0, limits=HubLimits(pings_per_second=0.1))
    first, second = [await raw_peer(server.url, organization.edge(name)) for name in ("one", "two")]
    await first.prove()
    assert (await first.hear_kind(Welcome)).heartbeat == 5.0
    await second.prove()
    assert (await second.hear_kind(Welcome)).heartbeat == 10.0
    for peer, told in ((first, 20.0), (second, 20.0), (first, None)):
        await peer.say(Ping(token=7))
        assert await peer.hear_kind(Pong) == Pong(token=7, heartbeat=told)


async def test_half_open_connection_is_replaced_without_waiting(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any, start_relay: Any
) -> None:
    server = await start_hub(heartbeat=60.0)
    relay = await start_relay(server.port)
    identity = organization.edge()
    await start_peer(f"ws://127.0.0.1:{relay.port}/hub", identity)
    relay.blackhole()
    async with asyncio.timeout(30):  # silence alone would be noticed after minutes
        newer = await start_peer(server.url, identity)
        assert await server.hub.notify(identity.urn, SessionEnded(session="s1"))
        assert (await newer.receive()).session == "s1"
    assert server.hub.counts["replaced"] == 1
    assert len(server.hub) == 1


@pytest.mark.parametrize("heartbeat", [0.2, 0.4])
async def test_half_open_is_noticed_by_the_hub(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any, start_relay: Any, heartbeat: float
) -> None:
    """At most 2.5 heartbeats (`wire.heartbeat`, whose own tests are exact): 10 s with the default of 4 s."""
    server = await start_hub(heartbeat=heartbeat)
    relay = await start_relay(server.port)
    edge = await start_peer(f"ws://127.0.0.1:{relay.port}/hub", organization.edge())
    await organization.until_presence((edge.urn, True))
    loop = asyncio.get_running_loop()
    await asyncio.sleep(3 * heartbeat)
    assert server.hub.online(edge.urn), "a healthy connection stays"
    began = loop.time()
    relay.blackhole()
    await organization.until_presence((edge.urn, False))
    assert loop.time() - began < 2.5 * heartbeat + BUSY


async def test_slow_reader_is_cut_and_others_flow(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any, raw_peer: Any
) -> None:
    server = await start_hub(limits=HubLimits(messages_per_second=1e6, burst=10**6))
    slow = await raw_peer(server.url, organization.edge("slow"), max_queue=1)
    await slow.prove()
    await slow.hear_kind(Welcome)
    client = await start_peer(server.url, organization.client())
    good = await start_peer(server.url, organization.edge("good"))
    sent = 0
    while server.hub.online(slow.identity.urn):
        await client.send_envelope(slow.identity.urn, "x" * 60_000)
        await client.send_envelope(good.urn, str(sent))
        assert (await good.receive()).envelope.payload == str(sent)
        sent += 1
        assert sent < 1000, "the slow reader was never cut"
    await organization.until_presence((slow.identity.urn, False))
    assert server.hub.online(client.urn) and server.hub.online(good.urn)


async def test_peer_that_takes_nothing_is_cut_after_the_send_timeout(
    organization: MemoryOrganization, start_hub: Any, raw_peer: Any, start_relay: Any
) -> None:
    server = await start_hub(heartbeat=60.0, limits=HubLimits(send_timeout=0.2, queued_bytes=10**9))
    peer = await raw_peer(server.url, organization.edge(), max_queue=1)
    await peer.prove()
    await peer.hear_kind(Welcome)
    await organization.until_presence((peer.identity.urn, True))
    for _ in range(200):
        await server.hub.notify(peer.identity.urn, SessionEnded(session="s", detail="x" * 60_000))
    await organization.until_presence((peer.identity.urn, False))


async def test_flood_is_rate_limited(organization: MemoryOrganization, start_hub: Any, raw_peer: Any) -> None:
    server = await start_hub(limits=HubLimits(messages_per_second=1, burst=10))
    peer = await raw_peer(server.url, organization.edge())
    await peer.prove()
    for token in range(20):
        await peer.say(Ping(token=token))
    bye = await peer.bye()
    assert (bye.code, bye.retry) == ("rate_limited", True)


async def test_flood_of_websocket_pings_is_rate_limited(
    organization: MemoryOrganization, start_hub: Any, raw_peer: Any
) -> None:
    server = await start_hub(limits=HubLimits(messages_per_second=1, burst=10))
    peer = await raw_peer(server.url, organization.edge())
    await peer.prove()
    await peer.hear_kind(Welcome)
    for number in range(20):
        await peer.socket.ping(str(number))
    assert (await peer.bye()).code == "rate_limited"


async def test_presence_is_told_once_per_change(
    organization: MemoryOrganization, start_hub: Any, raw_peer: Any
) -> None:
    server = await start_hub()
    identity = organization.edge()
    for _ in range(3):
        peer = await raw_peer(server.url, identity)
        await peer.prove()
        await peer.hear_kind(Welcome)
        await organization.until_presence((identity.urn, True))
        await peer.socket.close()
        await organization.until_presence((identity.urn, False))
    assert organization.presence == 3 * [(identity.urn, True), (identity.urn, False)]


async def test_presence_that_could_not_be_told_is_told_later(
    organization: MemoryOrganization, start_hub: Any, raw_peer: Any
) -> None:
    server = await start_hub(heartbeat=0.4, limits=HubLimits(presence_retry=0.1))
    peer = await raw_peer(server.url, organization.edge())
    await peer.prove()
    await peer.hear_kind(Welcome)
    await organization.until_presence((peer.identity.urn, True))
    organization.failure = RuntimeError("database is down")
    await peer.socket.close()
    while server.hub.online(peer.identity.urn):
        await asyncio.sleep(0)
    organization.failure = None
    await organization.until_presence((peer.identity.urn, False))
    assert organization.presence == [(peer.identity.urn, True), (peer.identity.urn, False)]


async def test_slow_presence_does_not_hold_up_messages(
    organization: MemoryOrganization, start_hub: Any, raw_peer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    async def slow(name: str, online: bool) -> None:
        asked.set()
        await answer.wait()

    monkeypatch.setattr(organization, "presence_changed", slow)
    server = await start_hub()
    peer = await raw_peer(server.url, organization.edge())
    await peer.prove()
    await asked.wait()
    await peer.say(Ping(token=1))
    assert (await peer.hear_kind(Pong)).token == 1
    answer.set()


async def test_closing_sends_everybody_away_with_a_time_to_return(
    organization: MemoryOrganization, start_hub: Any, raw_peer: Any
) -> None:
    server = await start_hub(limits=HubLimits(return_rate=1.0))
    peers = [await raw_peer(server.url, organization.edge(f"e{number}")) for number in range(20)]
    for peer in peers:
        await peer.prove()
        await peer.hear_kind(Welcome)
    async with asyncio.timeout(10):
        _, *byes = await asyncio.gather(server.hub.close(), *(peer.hear_kind(Bye) for peer in peers))
    assert all(bye.retry and 0 <= bye.retry_after <= 8 for bye in byes)
    spread = [bye.retry_after for bye in byes]
    assert max(spread) - min(spread) > 2
    assert len(organization.presence) == 40, "everybody went offline, once"


async def test_closing_does_not_wait_for_silent_peers(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any, start_relay: Any
) -> None:
    server = await start_hub(heartbeat=60.0, limits=HubLimits(close_timeout=0.3))
    relay = await start_relay(server.port)
    edge = await start_peer(f"ws://127.0.0.1:{relay.port}/hub", organization.edge())
    relay.blackhole()
    async with asyncio.timeout(30):  # its heartbeat would take minutes
        await server.hub.close()
    await organization.until_presence((edge.urn, False))
