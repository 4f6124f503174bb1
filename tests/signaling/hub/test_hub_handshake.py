"""Who the hub lets in, and what it says to the others."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from farsite_signaling.hub import HubLimits
from farsite_signaling.hub.handshake import Handshake
from farsite_signaling.hub.testing import MemoryOrganization
from farsite_signaling.identity import generate_key
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.hub import Challenge, Hello, Ping, Pong, Proof, Welcome


async def test_handshake_names_version_time_and_heartbeat(
    organization: MemoryOrganization, start_hub: Any, raw_peer: Any
) -> None:
    server = await start_hub(heartbeat=3.0)
    peer = await raw_peer(server.url, organization.edge())
    await peer.prove()
    welcome = await peer.hear()
    assert isinstance(welcome, Welcome)
    assert (welcome.version, welcome.heartbeat) == (1, 3.0)
    assert abs(welcome.time - time.time()) < 5
    await organization.until_presence((peer.identity.urn, True))
    assert server.hub.online(peer.identity.urn)


async def test_hub_answers_pings(organization: MemoryOrganization, start_hub: Any, raw_peer: Any) -> None:
    server = await start_hub()
    peer = await raw_peer(server.url, organization.edge())
    await peer.prove()
    await peer.say(Ping(token=7))
    assert (await peer.hear_kind(Pong)).token == 7


async def test_signature_of_another_key_is_refused(
    organization: MemoryOrganization, start_hub: Any, raw_peer: Any
) -> None:
    server = await start_hub()
    peer = await raw_peer(server.url, organization.edge())
    await peer.prove(signer=organization.edge("other"))
    bye = await peer.bye()
    assert (bye.code, bye.retry) == ("signature_invalid", False)
    assert not server.hub.online(peer.identity.urn)


async def test_name_of_another_peer_is_refused(
    organization: MemoryOrganization, start_hub: Any, raw_peer: Any
) -> None:
    server = await start_hub()
    peer = await raw_peer(server.url, organization.edge())
    await peer.prove(peer.hello(name=organization.edge("victim").urn))
    assert (await peer.bye()).code == "certificate_invalid"


async def test_signature_over_another_nonce_is_refused(
    organization: MemoryOrganization, start_hub: Any, raw_peer: Any
) -> None:
    """A recorded proof is worth nothing."""
    server = await start_hub()
    peer = await raw_peer(server.url, organization.edge())
    await peer.say(peer.hello())
    assert isinstance(await peer.hear(), Challenge)
    await peer.say(Proof(signature=peer.identity.sign(b"another nonce")))
    assert (await peer.bye()).code == "signature_invalid"


@pytest.mark.parametrize(
    ("versions", "update"),
    [
        ([0], "Update the edge host or client"),
        ([99], "Update the cloud"),
        ([], "Update the edge host or client"),
    ],
)
async def test_unknown_versions_say_which_side_to_update(
    organization: MemoryOrganization, start_hub: Any, raw_peer: Any, versions: list[int], update: str
) -> None:
    server = await start_hub()
    peer = await raw_peer(server.url, organization.edge())
    await peer.say(peer.hello(versions=versions))
    bye = await peer.bye()
    assert (bye.code, bye.retry) == ("version_unsupported", False)
    assert update in bye.detail


async def test_newer_peer_that_still_speaks_our_version_is_let_in(
    organization: MemoryOrganization, start_hub: Any, raw_peer: Any
) -> None:
    server = await start_hub()
    peer = await raw_peer(server.url, organization.edge())
    await peer.prove(peer.hello(versions=[1, 2, 99]))
    assert (await peer.hear()).version == 1


async def test_silence_ends_the_handshake(
    organization: MemoryOrganization, start_hub: Any, raw_peer: Any
) -> None:
    server = await start_hub(limits=HubLimits(handshake_timeout=0.2))
    peer = await raw_peer(server.url, organization.edge())
    bye = await peer.bye()
    assert (bye.code, bye.retry) == ("timeout", True)


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "{",
        "[]",
        "null",
        '{"type": "hello"}',
        '{"type": 5}',
        "\x00",
        '"' + "x" * 1000,
        b"binary",
        "[" * 10_000,
    ],
)
async def test_garbage_ends_the_connection_with_a_reason(
    organization: MemoryOrganization, start_hub: Any, raw_peer: Any, garbage: str | bytes
) -> None:
    server = await start_hub()
    peer = await raw_peer(server.url, organization.edge())
    await peer.say(garbage)
    assert (await peer.bye()).code == "protocol_error"


async def test_garbage_after_the_handshake_ends_only_that_connection(
    organization: MemoryOrganization, start_hub: Any, raw_peer: Any, start_peer: Any
) -> None:
    server = await start_hub()
    other = await start_peer(server.url, organization.client())
    peer = await raw_peer(server.url, organization.edge())
    await peer.prove()
    await peer.say('{"type": "envelope", "envelope": {}}')
    assert (await peer.bye()).code == "protocol_error"
    await organization.until_presence((peer.identity.urn, False))
    assert server.hub.online(other.urn)


async def test_messages_only_hubs_send_are_refused(
    organization: MemoryOrganization, start_hub: Any, raw_peer: Any
) -> None:
    server = await start_hub()
    peer = await raw_peer(server.url, organization.edge())
    await peer.prove()
    await peer.say(Welcome(version=1, heartbeat=1, time=0))
    assert (await peer.bye()).code == "protocol_error"


async def test_unknown_types_are_ignored(
    organization: MemoryOrganization, start_hub: Any, raw_peer: Any
) -> None:
    server = await start_hub()
    peer = await raw_peer(server.url, organization.edge())
    await peer.prove()
    await peer.say('{"type": "from_the_future", "x": 1}')
    await peer.say(Ping(token=1))
    assert (await peer.hear_kind(Pong)).token == 1


async def test_oversized_message_closes_with_1009(
    organization: MemoryOrganization, start_hub: Any, raw_peer: Any
) -> None:
    server = await start_hub()
    peer = await raw_peer(server.url, organization.edge())
    with pytest.raises(ConnectionClosed) as closed:
        await peer.say("x" * 200_000)
        while True:
            await peer.hear()
    assert closed.value.rcvd is None or closed.value.rcvd.code == 1009
    assert len(server.hub) == 0


async def test_revoked_and_expired_peers_are_told_why(
    organization: MemoryOrganization, start_hub: Any, raw_peer: Any
) -> None:
    server = await start_hub()
    peer = await raw_peer(server.url, organization.edge())
    organization.revoked.add(peer.identity.urn)
    await peer.prove()
    bye = await peer.bye()
    assert (bye.code, bye.retry) == ("certificate_revoked", False)


@pytest.mark.parametrize("failure", [RuntimeError("database is down"), AssertionError(), TimeoutError()])
async def test_failing_authorizer_refuses_and_the_hub_goes_on(
    organization: MemoryOrganization, start_hub: Any, raw_peer: Any, failure: Exception
) -> None:
    server = await start_hub()
    organization.failure = failure
    peer = await raw_peer(server.url, organization.edge())
    await peer.prove()
    bye = await peer.bye()
    assert (bye.code, bye.retry) == ("unavailable", True)
    assert "database" not in bye.detail
    organization.failure = None
    again = await raw_peer(server.url, organization.edge())
    await again.prove()
    assert isinstance(await again.hear(), Welcome)


async def test_authorizer_that_never_answers_refuses(
    organization: MemoryOrganization, start_hub: Any, raw_peer: Any
) -> None:
    server = await start_hub(limits=HubLimits(authorizer_timeout=0.1))
    organization.delay = 60
    peer = await raw_peer(server.url, organization.edge())
    await peer.prove()
    assert (await peer.bye()).code == "unavailable"


async def test_full_hub_turns_away_with_a_problem(
    organization: MemoryOrganization, start_hub: Any, raw_peer: Any
) -> None:
    server = await start_hub(limits=HubLimits(connections=0))
    with pytest.raises(InvalidStatus) as refused:
        await raw_peer(server.url, organization.edge())
    response = refused.value.response
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    assert response.headers["Content-Type"].startswith("application/problem+json")


async def test_handshakes_under_way_are_bounded(
    organization: MemoryOrganization, start_hub: Any, raw_peer: Any
) -> None:
    server = await start_hub(limits=HubLimits(handshakes=1))
    first = await raw_peer(server.url, organization.edge())
    with pytest.raises(InvalidStatus):
        await raw_peer(server.url, organization.edge("edge-2"))
    await first.prove()
    assert isinstance(await first.hear(), Welcome)
    second = await raw_peer(server.url, organization.edge("edge-2"))
    await second.prove()
    assert isinstance(await second.hear(), Welcome)


@pytest.mark.parametrize(
    ("origin", "status"),
    [(None, 101), ("https://console.example", 101), ("https://evil.example", 403), ("null", 403)],
)
async def test_browsers_come_from_allowed_origins_only(
    start_hub: Any, origin: str | None, status: int
) -> None:
    server = await start_hub(allowed_origins=["https://Console.example/"])
    headers = {} if origin is None else {"Origin": origin}
    async with aiohttp.ClientSession() as session:
        try:
            async with session.ws_connect(server.url, headers=headers) as socket:
                got = 101
                await socket.close()
        except aiohttp.WSServerHandshakeError as error:
            got = error.status
    assert got == status


async def test_plain_http_request_is_no_handshake(start_hub: Any) -> None:
    server = await start_hub()
    async with (
        aiohttp.ClientSession() as session,
        session.get(server.url.replace("ws:", "http:")) as response,
    ):
        assert response.status == 400


class TestHandshakeAlone:
    """The state machine without a socket."""

    def test_messages_out_of_order_are_refused(self, organization: MemoryOrganization) -> None:
        shake = Handshake()
        with pytest.raises(FarsiteError, match="Expected hello"):
            shake.hello(Proof(signature="x"), 0)
        shake.hello(self._hello(), 0)
        with pytest.raises(FarsiteError, match="Expected proof"):
            shake.proof(self._hello())

    def test_no_two_challenges_are_alike(self) -> None:
        nonces = {Handshake().hello(self._hello(), 0).nonce for _ in range(100)}
        assert len(nonces) == 100

    def test_wrong_key_never_finishes(self) -> None:
        shake = Handshake()
        shake.hello(self._hello(), 0)
        shake.proof(Proof(signature="A" * 86))
        with pytest.raises(FarsiteError) as refused:
            shake.accept(generate_key().public_key(), heartbeat=1, now=0)
        assert refused.value.code is ErrorCode.SIGNATURE_INVALID
        assert shake.state != "done"

    def _hello(self) -> Hello:
        return Hello(versions=[1], name="urn:farsite:acme:edge:e", certificate="")


async def test_closing_hub_does_not_wait_for_handshakes(
    organization: MemoryOrganization, start_hub: Any, raw_peer: Any
) -> None:
    server = await start_hub()
    await raw_peer(server.url, organization.edge())
    async with asyncio.timeout(4):  # a handshake may take five
        await server.hub.close()
