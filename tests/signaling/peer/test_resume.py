"""Tunnels that lose their link and go on over another one: real links on loopback, cut in every way."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from farsite_signaling.peer.dialer import Dialer, RouterRedial, open_link
from farsite_signaling.peer.negotiation import Purpose
from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.peer.tunnel import Tunnel, TunnelState
from farsite_signaling.wire.cloud_api import SessionTicket
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.hub import SessionEnded, Undeliverable
from farsite_signaling.wire.ids import AccountId, ClientId, ClientName, OrgId
from farsite_signaling.wire.stream import ApiTarget

LOCAL = PeerOptions(addresses=("127.0.0.1",), open_timeout=10.0, resume_timeout=20.0)
CUT = FarsiteError(ErrorCode.PEER_UNREACHABLE, "Cut by the test.")
StartSite = Callable[..., Awaitable[Any]]
BUSY = 3.0
"""What a busy machine may add to a bound, seconds."""
pytestmark = pytest.mark.timeout(90)


@pytest.fixture
async def site(start_site: StartSite) -> Any:
    return await start_site(edge=LOCAL, client=LOCAL)


async def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for something that has no event of its own."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


def cut(tunnel: Tunnel) -> None:
    link: Any = tunnel._link
    if link is not None:
        link.fail(CUT)


class Transfer:
    """Random bytes to the echoing edge host and back, all the time."""

    def __init__(self, tunnel: Tunnel, size: int) -> None:
        self._tunnel = tunnel
        self._data = random.Random(size).randbytes(size)
        self.received = 0

    async def run(self) -> None:
        reader, writer = await self._tunnel.open_stream(ApiTarget())
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write(writer), name="write")
            back = group.create_task(self._read(reader), name="read")
        assert back.result() == hashlib.sha256(self._data).hexdigest()
        writer.close()

    async def _write(self, writer: asyncio.StreamWriter) -> None:
        for start in range(0, len(self._data), 65536):
            writer.write(self._data[start : start + 65536])
            await writer.drain()
        writer.write_eof()

    async def _read(self, reader: asyncio.StreamReader) -> str:
        digest = hashlib.sha256()
        while data := await reader.read(65536):
            self.received += len(data)
            digest.update(data)
        assert self.received == len(self._data)
        return digest.hexdigest()


async def test_streams_go_on_over_another_link_from_either_side(site: Any) -> None:
    async with await site.dial() as tunnel, asyncio.TaskGroup() as group:
        transfer = Transfer(tunnel, 4 << 20)
        group.create_task(transfer.run(), name="transfer")
        for number in range(4):
            already = transfer.received
            await until(lambda already=already: transfer.received > already + 200_000)  # type: ignore[misc]
            cut(tunnel if number % 2 else site.opened[0])
            await until(lambda number=number: tunnel.status().moves > number)  # type: ignore[misc]
    status = tunnel.status()
    assert status.moves == 4
    assert "reconnected" in (status.last_move or "")
    assert len(site.opened) == 1
    assert site.refused == []


async def test_a_blackhole_is_noticed_and_left_within_eight_seconds(site: Any) -> None:
    async with await site.dial() as tunnel:
        reader, writer = await tunnel.open_stream(ApiTarget())
        writer.write(b"before")
        assert await reader.readexactly(6) == b"before"
        for end in (tunnel, site.opened[0]):
            end._link._ice.abort()
        started = time.monotonic()
        writer.write(b"after")
        assert await reader.readexactly(5) == b"after"
        assert time.monotonic() - started < 8 + BUSY
        writer.close()


async def test_an_address_that_is_gone_costs_no_waiting(site: Any) -> None:
    async with await site.dial() as tunnel:
        reader, writer = await tunnel.open_stream(ApiTarget())
        tunnel.doubt(frozenset({"127.0.0.1"}))
        assert tunnel.state is TunnelState.DETACHED
        assert tunnel.status().path == "none"
        assert "127.0.0.1 is gone" in tunnel.status().reason
        writer.write(b"after")
        assert await reader.readexactly(5) == b"after"
        writer.close()


async def test_a_link_in_doubt_that_answers_is_kept(site: Any) -> None:
    async with await site.dial() as tunnel:
        pinged = tunnel.status().bytes_received
        tunnel.doubt()
        await until(lambda: tunnel.status().bytes_received > pinged)
        await asyncio.sleep(2.2)  # longer than the peer has to answer
        assert (tunnel.state, tunnel.status().moves) == (TunnelState.OPEN, 0)


async def test_a_link_in_doubt_that_does_not_answer_is_left_within_three_seconds(site: Any) -> None:
    async with await site.dial() as tunnel:
        for end in (tunnel, site.opened[0]):
            end._link._ice.abort()
        started = time.monotonic()
        tunnel.doubt()
        site.opened[0].doubt()
        while tunnel.state is TunnelState.OPEN:
            await tunnel.changed()
        assert time.monotonic() - started < 4  # without doubts it is six
        await until(lambda: tunnel.status().moves == 1)


async def test_streams_wait_for_an_edge_host_that_is_offline_for_a_while(site: Any) -> None:
    async with await site.dial() as tunnel:
        reader, writer = await tunnel.open_stream(ApiTarget())
        site.wire.to_edge = lambda message: Undeliverable(id=message.envelope.id, code="edge_offline")
        cut(tunnel)
        await until(lambda: len(site.wire.seen_by_edge) > 3)
        site.wire.to_edge = lambda message: message
        writer.write(b"after")
        assert await reader.readexactly(5) == b"after"
        writer.close()


async def test_after_the_resume_time_the_tunnel_ends_on_both_sides(start_site: StartSite) -> None:
    options = replace(LOCAL, resume_timeout=0.5)
    site = await start_site(edge=options, client=options)
    async with await site.dial() as tunnel:
        site.wire.to_edge = lambda message: None
        cut(tunnel)
        error = await tunnel.wait_closed()
        assert error is not None and error.code is ErrorCode.PEER_UNREACHABLE
        await site.closed.get()
        assert site.listener.tunnels == []


async def test_the_keepers_own_failure_is_counted_and_survived(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    another, failures = Dialer.another, [AssertionError("injected"), OSError("injected")]

    async def fail_first(self: Dialer, use: Any) -> None:
        if failures:
            raise failures.pop()
        await another(self, use)

    monkeypatch.setattr(Dialer, "another", fail_first)
    async with await site.dial() as tunnel:
        cut(tunnel)
        await until(lambda: tunnel.status().moves == 1)
        assert tunnel.keeper_failures == 2


# What a further link must prove


async def ended(tunnel: Tunnel) -> ErrorCode | None:
    async with asyncio.timeout(15):
        error = await tunnel.wait_closed()
    return error.code if error is not None else None


async def test_no_link_after_remote_access_went_off(site: Any) -> None:
    async with await site.dial() as tunnel:
        site.denial = FarsiteError(ErrorCode.REMOTE_ACCESS_OFF, "Remote access is off on this edge host.")
        cut(tunnel)
        assert await ended(tunnel) is ErrorCode.REMOTE_ACCESS_OFF
        assert [error.code for error, _, _ in site.refused] == [ErrorCode.REMOTE_ACCESS_OFF]
        assert site.opened[0].status().moves == 0


async def test_remote_access_that_goes_off_between_offer_and_streams_refuses_the_link(site: Any) -> None:
    async with await site.dial() as tunnel:
        link = await further_link(site, tunnel.name)
        site.denial = FarsiteError(ErrorCode.REMOTE_ACCESS_OFF, "Remote access is off on this edge host.")
        tunnel._resume_timeout = 0.0
        tunnel.attach(link)
        await ended(tunnel)
        assert site.opened[0].status().moves == 0


async def test_no_link_for_a_session_that_was_revoked(site: Any) -> None:
    async with await site.dial() as tunnel:
        site.wire.to_edge = lambda message: Undeliverable(id=message.envelope.id, code="edge_offline")
        cut(tunnel)
        await until(lambda: site.opened[0].state is TunnelState.DETACHED)
        await site.listener.ended(SessionEnded(session="s1", detail="Revoked."))
        site.wire.to_edge = lambda message: message
        assert await ended(tunnel) is ErrorCode.SESSION_ENDED
        assert site.refused[-1][0].detail == "Revoked."


async def further_link(site: Any, name: str | None, **changes: Any) -> Any:
    ticket = changes.pop("ticket", None) or site.organization.ticket()
    arguments = {
        "identity": site.organization.client,
        "trust": site.organization.trust,
        "router": site.wire.client,
        "options": LOCAL,
        "purpose": Purpose(name, resume=True),
    }
    return await open_link(ticket, **(arguments | changes))


async def refusal(attempt: Awaitable[Any]) -> FarsiteError:
    with pytest.raises(FarsiteError) as caught:
        await attempt
    return caught.value


async def test_another_client_cannot_join_whatever_its_grant_says(site: Any, acme: Any) -> None:
    other = acme.issue(ClientName(OrgId("acme"), AccountId("bob"), ClientId("pc")))
    ticket = acme.ticket(grant=acme.grant(sub=other.urn))
    async with await site.dial() as tunnel:
        error = await refusal(further_link(site, tunnel.name, ticket=ticket, identity=other))
        assert error.code is ErrorCode.SESSION_ENDED
        assert site.refused[-1][1] == other.urn
        assert (tunnel.state, site.opened[0].state) == (TunnelState.OPEN, TunnelState.OPEN)
        stolen = await refusal(further_link(site, tunnel.name, identity=other))
        assert stolen.code is ErrorCode.GRANT_INVALID


async def test_a_link_for_another_tunnel_of_the_session_cannot_join(site: Any) -> None:
    async with await site.dial() as tunnel:
        for name in ("x" * 24, None):
            assert (await refusal(further_link(site, name))).code is ErrorCode.SESSION_ENDED
        assert tunnel.state is TunnelState.OPEN


async def test_an_edge_host_that_lost_the_tunnel_says_so(site: Any) -> None:
    assert (await refusal(further_link(site, "x" * 24))).code is ErrorCode.SESSION_ENDED
    assert site.listener.tunnels == []


async def test_an_edge_host_that_starts_anew_instead_is_not_believed(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that does not know `resume` would open a fresh tunnel under the streams of the old one."""
    monkeypatch.setattr("farsite_signaling.peer.tunnelhost.Purpose", lambda *_: Purpose())
    async with await site.dial() as tunnel:
        cut(tunnel)
        assert await ended(tunnel) is ErrorCode.SESSION_ENDED


async def test_links_that_stand_by_are_few_and_leave(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farsite_signaling.peer.tunnelhost.STANDBY_TIMEOUT", 1.0)
    async with await site.dial() as tunnel:
        links = [await further_link(site, tunnel.name) for _ in range(LOCAL.max_half_open)]
        assert (await refusal(further_link(site, tunnel.name))).code is ErrorCode.RATE_LIMITED
        await until(lambda: all(link.state == "closed" for link in links))
        assert tunnel.state is TunnelState.OPEN
        for link in links:
            await link.close()


async def test_room_is_made_at_the_cost_of_who_is_away_longest(start_site: StartSite, acme: Any) -> None:
    options = replace(LOCAL, max_sessions=2, resume_timeout=60.0)
    site = await start_site(edge=options, client=options)
    async with await site.dial(acme.ticket("s1")) as first, await site.dial(acme.ticket("s2")) as second:
        site.wire.to_client = lambda message: None
        for number, tunnel in enumerate((first, second)):
            cut(tunnel)
            await until(lambda number=number: site.opened[number].state is TunnelState.DETACHED)  # type: ignore[misc]
        site.wire.to_client = lambda message: message
        async with await site.dial(acme.ticket("s3")):
            assert site.opened[0].status().last_error is not None
            assert {tunnel.session for tunnel in site.listener.tunnels} == {"s2", "s3"}


# Tickets


class Cloud(RouterRedial):
    """Renews tickets; counts."""

    def __init__(self, site: Any, **claims: Any) -> None:
        super().__init__(site.wire.client)
        self._site = site
        self._claims = claims
        self.renewals = 0
        self.away = False

    async def renew(self) -> SessionTicket | None:
        if self.away:
            raise FarsiteError(ErrorCode.CLOUD_UNREACHABLE, "The cloud is away.")
        self.renewals += 1
        return timed(self._site.organization.ticket(grant=self._site.organization.grant(**self._claims)))


def timed(ticket: SessionTicket, opens: float = 60.0, servers: float = 3600.0) -> SessionTicket:
    now = datetime.now(UTC)
    update = {
        "server_time": now,
        "opens_until": now + timedelta(seconds=opens),
        "ice_expires_at": now + timedelta(seconds=servers),
    }
    return ticket.model_copy(update=update)


async def test_a_grant_that_no_longer_opens_ends_the_tunnel_when_none_can_be_had(
    site: Any, acme: Any
) -> None:
    async with await site.dial() as tunnel:
        site.listener._gate._clock = lambda: time.time() + 1000
        tunnel._keeper._dialer._options = replace(LOCAL, clock=lambda: time.time() + 1000)
        cut(tunnel)
        assert await ended(tunnel) is ErrorCode.GRANT_EXPIRED


async def test_an_old_grant_is_renewed_before_it_is_used(site: Any, acme: Any) -> None:
    cloud = Cloud(site)
    async with await site.dial(timed(acme.ticket(), opens=1.0), redial=cloud) as tunnel:
        cut(tunnel)
        await until(lambda: tunnel.status().moves == 1)
    assert cloud.renewals == 1


async def test_the_grant_of_the_newest_link_holds(site: Any, acme: Any) -> None:
    until_then = int(time.time()) + 5
    cloud = Cloud(site, until=until_then)
    async with await site.dial(timed(acme.ticket(), opens=1.0), redial=cloud) as tunnel:
        cut(tunnel)
        assert await ended(tunnel) is ErrorCode.SESSION_ENDED
        assert until_then <= time.time() < until_then + 5 + BUSY


async def test_relay_credentials_are_renewed_ahead(site: Any, acme: Any) -> None:
    cloud = Cloud(site)
    async with await site.dial(timed(acme.ticket(), servers=1.0), redial=cloud):
        await until(lambda: cloud.renewals == 1)


async def test_the_cloud_may_be_away_while_the_ticket_is_good(site: Any, acme: Any) -> None:
    cloud = Cloud(site)
    cloud.away = True
    async with await site.dial(timed(acme.ticket()), redial=cloud) as tunnel:
        cut(tunnel)
        await until(lambda: tunnel.status().moves == 1)


# Make before break


@pytest.fixture
async def relayed_first(
    start_site: StartSite, coturn: Any, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., Any]]:
    """Tunnels whose first link is relayed, whatever else would work."""
    monkeypatch.setattr(Dialer, "_racing", lambda self: replace(self._options, relay_only=True))

    @asynccontextmanager
    async def opened(**changes: Any) -> AsyncIterator[tuple[Any, Tunnel]]:
        site = await start_site(edge=LOCAL, client=replace(LOCAL, **changes))
        ticket = site.organization.ticket(servers=[coturn.server("udp")])
        async with await site.dial(ticket) as tunnel:
            assert tunnel.path == "relay-udp"
            yield site, tunnel

    yield opened


async def test_streams_move_to_a_direct_path_without_a_byte_lost(relayed_first: Callable[..., Any]) -> None:
    async with relayed_first(direct_delay=0.3) as (site, tunnel), asyncio.TaskGroup() as group:
        relay = tunnel._link
        transfer = group.create_task(Transfer(tunnel, 4 << 20).run(), name="transfer")
        while tunnel.path.relayed:
            await tunnel.changed()
        assert tunnel.path == "lan"
        assert "direct path was proven" in (tunnel.status().last_move or "")
        await until(lambda: relay.state == "closed")
        await transfer
        assert site.opened[0].status().path == "lan"
        assert (tunnel.status().moves, site.opened[0].status().moves, site.refused) == (1, 1, [])


async def test_a_direct_path_that_proves_nothing_is_left_alone(
    relayed_first: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = asyncio.Event()

    async def unproven(link: Any) -> float:
        tried.set()
        raise FarsiteError(ErrorCode.PEER_TIMEOUT, "No answer.")

    monkeypatch.setattr("farsite_signaling.peer.linkkeeper.prove", unproven)
    async with relayed_first(direct_delay=0.0) as (site, tunnel):
        await tried.wait()
        reader, writer = await tunnel.open_stream(ApiTarget())
        writer.write(b"still here")
        assert await reader.readexactly(10) == b"still here"
        assert (tunnel.path, tunnel.status().moves, site.refused) == ("relay-udp", 0, [])
        writer.close()


async def test_a_relay_lost_while_a_direct_path_is_tried_is_replaced_at_once(
    relayed_first: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    trying = asyncio.Event()

    async def for_ever(self: Dialer, use: Any) -> None:
        trying.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Dialer, "direct", for_ever)
    async with relayed_first(direct_delay=0.0) as (_, tunnel):
        await trying.wait()
        cut(tunnel)
        await until(lambda: tunnel.status().moves == 1)


async def test_no_direct_path_is_no_refusal(relayed_first: Callable[..., Any]) -> None:
    """What nobody was refused is not audited: here the client offers no address at all for the direct try."""
    async with relayed_first(direct_delay=0.0, direct_timeout=0.5) as (site, tunnel):
        tunnel._keeper._dialer._options = replace(tunnel._keeper._dialer._options, addresses=("127.0.0.9",))
        site.wire.to_client = lambda message: None
        await until(lambda: len(site.wire.seen_by_edge) > 3)
        await asyncio.sleep(0.8)  # the try ends after 0.5 s
        assert (tunnel.path, site.refused) == ("relay-udp", [])


async def test_where_udp_is_blocked_no_direct_path_is_tried(
    relayed_first: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Any] = []

    async def note(self: Dialer, use: Any) -> None:
        tried.append(use)

    monkeypatch.setattr(Dialer, "direct", note)
    monkeypatch.setattr("farsite_signaling.peer.gathering.GatheringReport.udp_blocked", True)
    async with relayed_first(direct_delay=0.0) as (_, tunnel):
        await until(lambda: tunnel._keeper._direct_at is None)
        assert tried == []


async def test_set_to_relays_only_no_direct_path_is_tried(relayed_first: Callable[..., Any]) -> None:
    async with relayed_first(direct_delay=0.0, relay_only=True) as (_, tunnel):
        assert tunnel._keeper._direct_at is None
