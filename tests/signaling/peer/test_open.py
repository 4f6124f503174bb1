"""Dialer and listener back to back: what opens, what is refused, and with which words."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from farsite_signaling.identity.keys import b64decode, b64encode
from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.wire.envelope import SIGNATURE_CONTEXT
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.hub import EnvelopeMessage, SessionAnnounced, SessionEnded, Undeliverable
from farsite_signaling.wire.ice import IceServer
from farsite_signaling.wire.path import Path
from farsite_signaling.wire.stream import ApiTarget

LOCAL = PeerOptions(addresses=("127.0.0.1",), open_timeout=10.0)
StartSite = Callable[..., Awaitable[Any]]


async def test_a_tunnel_opens_and_streams_flow_both_ways(start_site: StartSite) -> None:
    site = await start_site()
    async with await site.dial() as tunnel:
        reader, writer = await tunnel.open_stream(ApiTarget())
        payload = bytes(range(256)) * 4096
        writer.write(payload)
        writer.write_eof()
        assert await reader.read() == payload
        assert tunnel.status().path is Path.LAN
        assert [opened.status().remote for opened in site.opened] == [site.organization.client.urn]
        writer.close()
    _, error = await site.closed.get()
    assert error is None or error.code == "closed"
    assert site.listener.tunnels == []


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that has no event of its own."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


async def test_an_offline_edge_host_is_told_at_once(start_site: StartSite) -> None:
    site = await start_site()
    site.wire.to_edge = lambda message: Undeliverable(
        id=message.envelope.id, code="edge_offline", detail="The edge host is offline since 12:00."
    )
    error = await refusal(site.dial())
    assert error.code is ErrorCode.EDGE_OFFLINE
    assert "12:00" in error.detail


async def refusal(attempt: Awaitable[Any]) -> FarsiteError:
    with pytest.raises(FarsiteError) as caught:
        await attempt
    return caught.value


async def test_remote_access_off_is_refused_audited_and_told(start_site: StartSite) -> None:
    site = await start_site()
    site.denial = FarsiteError(ErrorCode.REMOTE_ACCESS_OFF, "Remote access is off on this edge host.")
    error = await refusal(site.dial())
    assert (error.code, error.detail) == (site.denial.code, site.denial.detail)
    assert site.refused == [(site.denial, site.organization.client.urn, "s1")]
    assert site.opened == []


async def test_grants_are_checked(start_site: StartSite, acme: Any, rival: Any) -> None:
    site = await start_site()
    now = time.time()
    cases = {
        rival.grant(): ErrorCode.GRANT_INVALID,
        "not a grant": ErrorCode.GRANT_INVALID,
        acme.grant(session="s2"): ErrorCode.GRANT_INVALID,
        acme.grant(aud="urn:farsite:acme:edge:other"): ErrorCode.GRANT_INVALID,
        acme.grant(sub="urn:farsite:acme:user:bob:device:pc"): ErrorCode.GRANT_INVALID,
        acme.grant(exp=int(now) - 301): ErrorCode.GRANT_EXPIRED,
        acme.grant(until=int(now) - 1): ErrorCode.GRANT_EXPIRED,
        acme.grant(now=now + 4000): ErrorCode.CLOCK_SKEW,
    }
    for grant, code in cases.items():
        assert (await refusal(site.dial(acme.ticket(grant=grant)))).code is code
    assert [error.code for error, _, _ in site.refused] == list(cases.values())


async def test_a_clock_that_is_off_is_named_in_seconds(start_site: StartSite) -> None:
    behind = replace(LOCAL, clock=lambda: time.time() - 500)
    site = await start_site(edge=behind)
    error = await refusal(site.dial())
    assert error.code is ErrorCode.CLOCK_SKEW
    assert re.search(r"\b(49\d|50\d) s\b", error.detail)
    assert [error.code for error, _, _ in site.refused] == [ErrorCode.CLOCK_SKEW]


async def test_versions_are_negotiated(start_site: StartSite, monkeypatch: pytest.MonkeyPatch) -> None:
    site = await start_site()
    monkeypatch.setattr("farsite_signaling.peer.negotiation.supported_versions", lambda: [7])
    error = await refusal(site.dial())
    assert error.code is ErrorCode.VERSION_UNSUPPORTED
    assert "Update the edge host" in error.detail


async def test_a_hub_that_swaps_the_answers_certificate_is_refused(
    start_site: StartSite, acme: Any, rival: Any
) -> None:
    """The hub answers itself, as an edge host of the same name from another organization."""
    site = await start_site()

    def answer_instead(message: EnvelopeMessage) -> EnvelopeMessage:
        payload = b64decode(message.envelope.payload)
        forged = message.envelope.model_copy(
            update={
                "certificate": rival.edge.certificate_pem,
                "signature": rival.edge.sign(SIGNATURE_CONTEXT + payload),
            }
        )
        return EnvelopeMessage(envelope=forged)

    site.wire.to_client = answer_instead
    assert (await refusal(site.dial())).code is ErrorCode.CERTIFICATE_INVALID


async def test_a_hub_that_tampers_with_the_offer_is_refused(start_site: StartSite) -> None:
    site = await start_site()

    def swap_fingerprint(message: EnvelopeMessage) -> EnvelopeMessage:
        payload = b64decode(message.envelope.payload)
        inside = json.loads(payload)
        payload = payload.replace(inside["fingerprint"].encode(), ":".join(["AA"] * 32).encode())
        changed = message.envelope.model_copy(update={"payload": b64encode(payload)})
        return EnvelopeMessage(envelope=changed)

    site.wire.to_edge = swap_fingerprint
    assert (await refusal(site.dial())).code is ErrorCode.SIGNATURE_INVALID
    assert site.opened == []


async def test_a_replayed_offer_is_refused_and_the_session_lives_on(start_site: StartSite) -> None:
    site = await start_site()
    async with await site.dial() as tunnel:
        offer = site.wire.seen_by_edge[0]
        site.wire.edge.receive(offer)
        await until(lambda: bool(site.refused))
        assert site.refused[0][0].code is ErrorCode.REPLAYED
        await ping(tunnel)


async def ping(tunnel: Any) -> None:
    reader, writer = await tunnel.open_stream(ApiTarget())
    writer.write(b"ping")
    assert await reader.readexactly(4) == b"ping"
    writer.close()


async def test_a_reflected_offer_is_ignored(start_site: StartSite) -> None:
    site = await start_site(client=replace(LOCAL, open_timeout=0.3))

    def reflect(message: EnvelopeMessage) -> None:
        site.wire.client.receive(message)

    site.wire.to_edge = reflect
    assert (await refusal(site.dial())).code is ErrorCode.PEER_TIMEOUT


async def test_a_silent_edge_host_times_out(start_site: StartSite) -> None:
    site = await start_site(client=replace(LOCAL, open_timeout=0.2))
    site.wire.to_edge = lambda message: None
    error = await refusal(site.dial())
    assert error.code is ErrorCode.PEER_TIMEOUT


async def test_no_way_says_what_was_tried(start_site: StartSite) -> None:
    """The answer arrives, but its candidates lead nowhere."""
    nowhere = replace(LOCAL, addresses=())
    site = await start_site(
        edge=nowhere,
        client=replace(
            LOCAL,
            addresses=(),
            open_timeout=5.0,
            gather_timeout=1.0,
            ice_servers=(IceServer(urls=["turn:127.0.0.1:9?transport=tcp"], username="u", credential="c"),),
        ),
    )
    error = await refusal(site.dial())
    assert error.code is ErrorCode.PEER_UNREACHABLE
    assert "0 local addresses" in error.detail
    assert "turn:127.0.0.1:9?transport=tcp" in error.detail


async def test_the_cloud_ends_a_session(start_site: StartSite, acme: Any) -> None:
    site = await start_site()
    site.listener.announced(SessionAnnounced(session="s1", client=acme.client.urn))
    async with await site.dial() as tunnel:
        await ping(tunnel)
        await site.listener.ended(SessionEnded(session="s1", code="session_ended", detail="Revoked."))
        error = await tunnel.wait_closed()
        assert error is not None
        assert error.code is ErrorCode.SESSION_ENDED
    assert (await refusal(site.dial())).code is ErrorCode.SESSION_ENDED


SILENT = (IceServer(urls=["turn:192.0.2.1?transport=udp"], username="u", credential="c"),)


async def test_a_client_that_gives_up_says_so(start_site: StartSite) -> None:
    """The place that its half-open link takes at the edge host is free at once, not after a timeout."""
    site = await start_site(client=replace(LOCAL, addresses=(), ice_servers=SILENT))
    dialing = asyncio.get_running_loop().create_task(site.dial())
    await until(lambda: bool(site.wire.seen_by_client))  # answered, and no way found
    dialing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dialing
    await until(lambda: bool(site.refused))
    ((error, _, _),) = site.refused
    assert (error.code, error.detail) == (ErrorCode.CLOSED, "The client gave up.")


async def test_a_session_announced_for_another_client_is_refused(start_site: StartSite) -> None:
    site = await start_site()
    site.listener.announced(SessionAnnounced(session="s1", client="urn:farsite:acme:user:bob:device:pc"))
    assert (await refusal(site.dial())).code is ErrorCode.GRANT_INVALID


async def test_a_session_lives_no_longer_than_its_grant(start_site: StartSite, acme: Any) -> None:
    site = await start_site()
    ticket = acme.ticket(grant=acme.grant(until=int(time.time()) + 4))
    async with await site.dial(ticket) as tunnel:
        error = await tunnel.wait_closed()
    assert error is not None
    assert error.code is ErrorCode.SESSION_ENDED
    await site.closed.get()
    assert site.listener.tunnels == []


async def test_sessions_are_limited(start_site: StartSite, acme: Any) -> None:
    site = await start_site(edge=replace(LOCAL, max_sessions=1))
    async with await site.dial():
        other = acme.ticket(session="s2", grant=acme.grant(session="s2"))
        error = await refusal(site.dial(other))
        assert error.code is ErrorCode.UNAVAILABLE


async def test_opening_a_session_anew_replaces_its_tunnel(start_site: StartSite) -> None:
    site = await start_site()
    async with await site.dial() as first, await site.dial() as second:
        error = await first.wait_closed()
        assert error is not None
        assert error.code is ErrorCode.REPLACED
        await ping(second)
        assert len(site.listener.tunnels) == 1


async def test_thirty_sessions_leave_nothing_behind(start_site: StartSite) -> None:
    site = await start_site()
    await cycle(site)
    tasks, files = len(asyncio.all_tasks()), open_files()
    for _ in range(30):
        await cycle(site)
    await until(lambda: len(asyncio.all_tasks()) <= tasks and open_files() <= files)


async def cycle(site: Any) -> None:
    async with await site.dial() as tunnel:
        await ping(tunnel)
    await site.closed.get()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_attempts_that_fail_leave_nothing_behind(start_site: StartSite) -> None:
    site = await start_site(client=replace(LOCAL, open_timeout=0.1))
    site.wire.to_client = lambda message: None
    await refusal(site.dial())
    site.wire.to_client = lambda message: message
    site.denial = FarsiteError(ErrorCode.REMOTE_ACCESS_OFF, "off")
    await refusal(site.dial())
    tasks = len(asyncio.all_tasks())
    await until(lambda: len(asyncio.all_tasks()) <= tasks)


def test_importing_dialer_and_listener_does_not_import_the_webrtc_stack() -> None:
    code = (
        "import sys, farsite_signaling.peer.dialer, farsite_signaling.peer.listener;"
        "print([name for name in ('aiortc', 'aioice', 'av') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
