"""The signaling client stays connected: restarts, silence, refusals, failing callbacks."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from aiohttp import web

from farsite_signaling.hub import HubLimits
from farsite_signaling.hub.hub import HEARTBEAT
from farsite_signaling.hub.testing import MemoryOrganization
from farsite_signaling.identity import Identity
from farsite_signaling.peer.backoff import Backoff
from farsite_signaling.peer.signaling import SignalingClient, SignalingState, SignalingTiming
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.hub import Bye, Challenge, SessionEnded, Welcome, dump

BUSY = 3.0
"""What a busy machine may add to a bound, seconds."""

ONLINE, OFFLINE, REFUSED = SignalingState.ONLINE, SignalingState.OFFLINE, SignalingState.REFUSED


@pytest.fixture
async def scripted_hub() -> Any:
    """`url = await scripted_hub(*messages)`: a server that says these after hello, then stays silent."""
    runners: list[web.AppRunner] = []

    async def start(*messages: Any) -> str:
        async def handle(request: web.Request) -> web.StreamResponse:
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await socket.receive()
            for message in messages:
                await socket.send_str(message if isinstance(message, str) else dump(message))
            while not (await socket.receive()).type.name.startswith("CLOS"):
                pass
            return socket

        app = web.Application()
        app.router.add_get("/hub", handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"ws://127.0.0.1:{runner.addresses[0][1]}/hub"

    yield start
    for runner in runners:
        await runner.cleanup()


def challenge(offset: float = 0.0) -> Challenge:
    return Challenge(nonce="n" * 16, time=time.time() + offset)


def welcome(heartbeat: float = 4.0, version: int = 1) -> Welcome:
    return Welcome(version=version, heartbeat=heartbeat, time=time.time())


async def test_states_on_the_way_to_online_and_back(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any
) -> None:
    server = await start_hub()
    peer = await start_peer(server.url, organization.edge())
    assert peer.client.last_error is None
    assert abs(peer.client.clock_offset) < 5
    await peer.client.__aexit__(None, None, None)
    assert [state for state, _ in peer.states] == [SignalingState.CONNECTING, ONLINE, OFFLINE]
    with pytest.raises(FarsiteError) as refused:
        await peer.client.send(SessionEnded(session="s"))
    assert refused.value.code is ErrorCode.CLOUD_UNREACHABLE


async def test_client_comes_back_after_a_hub_restart(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any
) -> None:
    server = await start_hub(limits=HubLimits(return_within=0.1))
    peer = await start_peer(server.url, organization.edge())
    await server.__aexit__(None, None, None)
    assert (await peer.until(OFFLINE)).code is ErrorCode.UNAVAILABLE
    seen = len(peer.states)
    await server.__aenter__()
    await peer.until(ONLINE, after=seen)
    await server.hub.notify(peer.urn, SessionEnded(session="s1"))
    assert (await peer.receive()).session == "s1"


async def test_client_comes_back_after_the_connection_is_cut(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any, start_relay: Any
) -> None:
    server = await start_hub()
    relay = await start_relay(server.port)
    peer = await start_peer(f"ws://127.0.0.1:{relay.port}/hub", organization.edge())
    relay.cut()
    assert (await peer.until(OFFLINE)).code is ErrorCode.CLOUD_UNREACHABLE
    await peer.until(ONLINE, after=len(peer.states))


@pytest.mark.parametrize("heartbeat", [0.2, 0.4])
async def test_half_open_is_noticed_by_the_client(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any, start_relay: Any, heartbeat: float
) -> None:
    """At most 2.5 heartbeats (`wire.heartbeat`, whose own tests are exact): 10 s with the default of 4 s."""
    server = await start_hub(heartbeat=heartbeat)
    relay = await start_relay(server.port)
    peer = await start_peer(f"ws://127.0.0.1:{relay.port}/hub", organization.edge())
    await asyncio.sleep(3 * heartbeat)
    assert peer.client.state is ONLINE, "a healthy connection stays"
    began = time.monotonic()
    relay.blackhole()
    error = await peer.until(OFFLINE)
    assert time.monotonic() - began < 2.5 * heartbeat + BUSY
    assert "silent" in error.detail


async def test_half_open_is_noticed_while_sending(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any, start_relay: Any
) -> None:
    """Full buffers must not hide the silence, and whoever is sending is told."""
    server = await start_hub(heartbeat=0.2, limits=HubLimits(messages_per_second=1e6, burst=10**6))
    relay = await start_relay(server.port)
    peer = await start_peer(f"ws://127.0.0.1:{relay.port}/hub", organization.edge())
    relay.blackhole()
    began = time.monotonic()
    with pytest.raises(FarsiteError) as lost:
        while True:
            await peer.send_envelope(peer.urn, "x" * 60_000)
    assert time.monotonic() - began < 2.5 * 0.2 + BUSY
    assert lost.value.code is ErrorCode.CLOUD_UNREACHABLE


async def test_slow_handler_is_not_taken_for_silence(
    organization: MemoryOrganization, start_hub: Any
) -> None:
    heartbeat = 0.8  # a busy machine may stop for a second
    server = await start_hub(heartbeat=heartbeat)
    release = asyncio.Event()
    states: list[SignalingState] = []

    async def slow(message: Any) -> None:
        await release.wait()

    client = SignalingClient(
        server.url,
        organization.edge(),
        agent="test",
        on_message=slow,
        on_state=lambda state, error: states.append(state),
        timing=SignalingTiming(inbox=1),
    )
    async with client:
        await client.wait_online(20)
        for _ in range(3):
            await server.hub.notify(organization.edge().urn, SessionEnded(session="s"))
        await asyncio.sleep(3.0 * heartbeat)
        assert states == [SignalingState.CONNECTING, ONLINE]
        release.set()


async def test_many_clients_come_back_spread_out(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any
) -> None:
    # Both ends of 200 handshakes at once are this process's work: no machine is too slow for them here.
    server = await start_hub(limits=HubLimits(return_rate=200.0, handshake_timeout=60.0))
    identities = [organization.edge(f"e{number}") for number in range(200)]
    timing = SignalingTiming(handshake_timeout=60.0)
    peers = [await start_peer(server.url, identity, wait=False, timing=timing) for identity in identities]
    await asyncio.gather(*(peer.client.wait_online(50) for peer in peers))
    await server.__aexit__(None, None, None)
    seen = [len(peer.states) for peer in peers]
    began = time.monotonic()
    await server.__aenter__()
    returns = await asyncio.gather(*(returned(peer, after) for peer, after in zip(peers, seen, strict=True)))
    times = sorted(at - began for at in returns)
    assert times[-1] < 10 + BUSY
    assert times[150] - times[50] > 0.1, "they did not come back all at once"
    assert len(server.hub) == 200


async def returned(peer: Any, after: int) -> float:
    await peer.until(ONLINE, after=after)
    return time.monotonic()


async def test_replaced_client_waits_and_says_so(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any
) -> None:
    server = await start_hub()
    identity = organization.edge()
    older = await start_peer(server.url, identity, timing=SignalingTiming())
    await start_peer(server.url, identity, timing=SignalingTiming())
    assert (await older.until(REFUSED)).code is ErrorCode.REPLACED
    with pytest.raises(FarsiteError, match="replaced"):
        await older.client.wait_online(5)


async def test_refused_client_tries_again_and_is_let_in(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any
) -> None:
    server = await start_hub()
    identity = organization.edge()
    organization.revoked.add(identity.urn)
    peer = await start_peer(server.url, identity, wait=False)
    assert (await peer.until(REFUSED)).code is ErrorCode.CERTIFICATE_REVOKED
    organization.revoked.clear()
    await peer.until(ONLINE)


async def test_unavailable_is_no_refusal(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any
) -> None:
    server = await start_hub()
    organization.failure = RuntimeError("database is down")
    peer = await start_peer(server.url, organization.edge(), wait=False)
    assert (await peer.until(OFFLINE)).code is ErrorCode.UNAVAILABLE
    organization.failure = None
    await peer.until(ONLINE)


async def test_failing_callbacks_are_counted_and_end_nothing(
    organization: MemoryOrganization, start_hub: Any
) -> None:
    server = await start_hub()
    got: asyncio.Queue[Any] = asyncio.Queue()

    async def on_message(message: Any) -> None:
        await got.put(message)
        raise AssertionError("message")

    def on_state(state: SignalingState, error: FarsiteError | None) -> None:
        raise AssertionError("state")

    identity = organization.edge()
    client = SignalingClient(server.url, identity, agent="test", on_message=on_message, on_state=on_state)
    async with client:
        await client.wait_online(5)
        for number in range(3):
            await server.hub.notify(identity.urn, SessionEnded(session=f"s{number}"))
        assert [(await got.get()).session for _ in range(3)] == ["s0", "s1", "s2"]
        await client.send(SessionEnded(session="s"))
    assert client.failures >= 5


async def test_supervisor_survives_its_own_exceptions(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await start_hub()
    real, calls = Identity.sign, 0

    def sign(self: Identity, data: bytes) -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise AssertionError("a bug")
        return real(self, data)

    monkeypatch.setattr(Identity, "sign", sign)
    peer = await start_peer(server.url, organization.edge(), wait=False)
    assert (await peer.until(OFFLINE)).code is ErrorCode.INTERNAL
    await peer.until(ONLINE)
    assert peer.client.failures == 1


async def test_error_in_the_body_is_not_wrapped(organization: MemoryOrganization, start_hub: Any) -> None:
    server = await start_hub()
    client = SignalingClient(server.url, organization.edge(), agent="test", on_message=asyncio.sleep)  # type: ignore[arg-type]
    with pytest.raises(FarsiteError, match="mine"):
        async with client:
            raise FarsiteError(ErrorCode.CLOSED, "mine")


@pytest.mark.parametrize(("offset", "word"), [(1000.0, "1000 s behind"), (-1000.0, "1000 s ahead of")])
async def test_wrong_clock_warns_and_still_connects(
    scripted_hub: Any, organization: MemoryOrganization, start_peer: Any, offset: float, word: str
) -> None:
    url = await scripted_hub(challenge(offset), welcome())
    peer = await start_peer(url, organization.edge())
    assert peer.client.state is ONLINE
    assert peer.client.last_error.code is ErrorCode.CLOCK_SKEW
    assert word in peer.client.last_error.detail
    assert peer.client.clock_offset == pytest.approx(offset, abs=2)


async def test_refusal_with_a_wrong_clock_names_the_clock(
    scripted_hub: Any, organization: MemoryOrganization, start_peer: Any
) -> None:
    refusal = Bye(code="certificate_expired", detail="It expired.", retry=False)
    url = await scripted_hub(challenge(-1000), refusal)
    peer = await start_peer(url, organization.edge(), wait=False)
    error = await peer.until(REFUSED)
    assert error.code is ErrorCode.CERTIFICATE_EXPIRED
    assert "1000 s ahead" in error.detail


async def test_small_offset_is_no_warning(
    scripted_hub: Any, organization: MemoryOrganization, start_peer: Any
) -> None:
    peer = await start_peer(await scripted_hub(challenge(200), welcome()), organization.edge())
    assert peer.client.last_error is None


async def test_hub_that_does_not_know_our_version(
    scripted_hub: Any, organization: MemoryOrganization, start_peer: Any
) -> None:
    refusal = Bye(code="version_unsupported", detail="Update the edge host or client.", retry=False)
    peer = await start_peer(await scripted_hub(refusal), organization.edge(), wait=False)
    error = await peer.until(REFUSED)
    assert (error.code, "Update the edge host" in error.detail) == (ErrorCode.VERSION_UNSUPPORTED, True)


async def test_hub_that_chooses_a_version_we_do_not_know(
    scripted_hub: Any, organization: MemoryOrganization, start_peer: Any
) -> None:
    peer = await start_peer(
        await scripted_hub(challenge(), welcome(version=99)), organization.edge(), wait=False
    )
    error = await peer.until(REFUSED)
    assert (error.code, "Update the cloud" in error.detail) == (ErrorCode.VERSION_UNSUPPORTED, True)


@pytest.mark.parametrize(
    "garbage", ["{", '{"type": "challenge"}', '{"type": "envelope"}', '{"type":"ping","token":1}']
)
async def test_hub_that_talks_garbage_is_left(
    scripted_hub: Any, organization: MemoryOrganization, start_peer: Any, garbage: str
) -> None:
    peer = await start_peer(await scripted_hub(garbage), organization.edge(), wait=False)
    assert (await peer.until(OFFLINE)).code is ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize("heartbeat", ["NaN", "Infinity", "-1", "0"])
async def test_hub_with_an_absurd_heartbeat_is_borne(
    scripted_hub: Any, organization: MemoryOrganization, start_peer: Any, heartbeat: str
) -> None:
    text = f'{{"type":"welcome","version":1,"heartbeat":{heartbeat},"time":0}}'
    peer = await start_peer(await scripted_hub(challenge(), text), organization.edge())
    await asyncio.sleep(0.05)
    assert peer.client.failures == 0


async def test_silent_hub_times_out(
    scripted_hub: Any, organization: MemoryOrganization, start_peer: Any
) -> None:
    timing = SignalingTiming(handshake_timeout=0.1)
    peer = await start_peer(await scripted_hub(), organization.edge(), wait=False, timing=timing)
    error = await peer.until(OFFLINE)
    assert (error.code, "in time" in error.detail) == (ErrorCode.CLOUD_UNREACHABLE, True)


async def test_wait_online_tells_what_went_wrong(
    organization: MemoryOrganization, start_peer: Any, unused_tcp_port: int
) -> None:
    peer = await start_peer(f"ws://127.0.0.1:{unused_tcp_port}/hub", organization.edge(), wait=False)
    with pytest.raises(FarsiteError, match="refused") as error:
        await peer.client.wait_online(1.5)
    assert error.value.code is ErrorCode.CLOUD_UNREACHABLE
    assert f"127.0.0.1:{unused_tcp_port}" in error.value.detail


async def test_leaving_does_not_wait_for_a_silent_hub(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any, start_relay: Any
) -> None:
    server = await start_hub()
    relay = await start_relay(server.port)
    peer = await start_peer(f"ws://127.0.0.1:{relay.port}/hub", organization.edge())
    relay.blackhole()
    async with asyncio.timeout(4 + BUSY):
        await peer.client.__aexit__(None, None, None)


def test_backoff_doubles_to_its_cap_with_full_jitter() -> None:
    ceilings: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        ceilings.append((low, high))
        return high

    backoff = Backoff(0.2, 10.0, draw)
    delays = [backoff.next() for _ in range(8)]
    assert delays == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    assert all(low == 0 for low, _ in ceilings)
    backoff.reset()
    assert backoff.next() == 0.2


def test_backoff_is_eager_at_first() -> None:
    backoff = Backoff(0.5, 10.0, lambda low, high: high, eager=6, eager_cap=2.0)
    delays = [backoff.next() for _ in range(10)]
    assert delays == [0.5, 1.0, 2.0, 2.0, 2.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    backoff.reset()
    assert [backoff.next() for _ in range(4)] == [0.5, 1.0, 2.0, 2.0]


@pytest.mark.parametrize("peers", [1, 500, 1000, 5000, 20_000])
def test_the_more_peers_a_hub_has_the_longer_each_waits(peers: int) -> None:
    """A hub that crashes is asked 900 times a second at first, however many they are."""
    drawn: list[float] = []
    timing = SignalingTiming()
    backoff = Backoff(
        timing.first_retry,
        timing.retry_cap,
        lambda low, high: drawn.append(high) or high,
        eager=timing.eager,
        eager_cap=timing.eager_cap,
    )
    pings = HubLimits().pings_per_second
    backoff.stretch = max(1.0, peers / pings / HEARTBEAT)
    assert timing.stretch(max(HEARTBEAT, peers / pings)) == pytest.approx(backoff.stretch)
    for _ in range(timing.eager):
        backoff.next()
    assert drawn[0] == pytest.approx(min(timing.retry_cap, timing.first_retry * backoff.stretch))
    assert drawn[-1] == pytest.approx(min(timing.retry_cap, timing.eager_cap * backoff.stretch))
    assert peers / drawn[0] <= 900.1 or drawn[0] == timing.retry_cap
