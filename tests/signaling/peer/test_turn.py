"""TURN by a real coturn, over UDP, TCP and TLS, and through a real squid."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.path import Path
from farsite_signaling.wire.stream import ApiTarget

StartSite = Callable[..., Awaitable[Any]]
LOCAL = PeerOptions(addresses=("127.0.0.1",), open_timeout=10.0)
RELAYED = replace(LOCAL, relay_only=True)
UDP_BLOCKED = replace(LOCAL, addresses=())
"""A site without a usable UDP socket: nothing but TCP to its TURN server."""


async def echo(tunnel: Any) -> None:
    reader, writer = await tunnel.open_stream(ApiTarget())
    payload = bytes(range(256)) * 1024
    writer.write(payload)
    writer.write_eof()
    assert await reader.read() == payload
    writer.close()


async def refusal(attempt: Awaitable[Any]) -> FarsiteError:
    with pytest.raises(FarsiteError) as caught:
        await attempt
    return caught.value


@pytest.mark.parametrize(
    ("scheme", "path"), [("udp", Path.RELAY_UDP), ("tcp", Path.RELAY_TCP), ("tls", Path.RELAY_TLS)]
)
async def test_streams_flow_over_a_relay(
    start_site: StartSite, acme: Any, coturn: Any, scheme: str, path: Path
) -> None:
    site = await start_site(client=RELAYED)
    async with await site.dial(acme.ticket(servers=[coturn.server(scheme)])) as tunnel:
        await echo(tunnel)
        status = tunnel.status()
        assert status.path is path
        assert "set to use relays only" in status.reason
        assert site.opened[0].status().reason == "relay over UDP: the other side is relayed"


async def test_both_sides_relayed(start_site: StartSite, acme: Any, coturn: Any) -> None:
    servers = (coturn.server("tcp"),)
    site = await start_site(edge=replace(RELAYED, ice_servers=servers), client=RELAYED)
    async with await site.dial(acme.ticket(servers=[coturn.server("udp")])) as tunnel:
        await echo(tunnel)
        assert tunnel.status().path is Path.RELAY_UDP
        assert site.opened[0].status().path is Path.RELAY_TCP


async def test_direct_is_taken_though_relays_are_there(start_site: StartSite, acme: Any, coturn: Any) -> None:
    site = await start_site()
    ticket = acme.ticket(servers=[coturn.server("stun", "udp", "tcp", "tls")])
    async with await site.dial(ticket) as tunnel:
        await echo(tunnel)
        assert tunnel.status().path is Path.LAN


async def test_without_udp_the_first_relay_that_works_is_taken(
    start_site: StartSite, acme: Any, coturn: Any
) -> None:
    """TURN over UDP stays silent: a socket that never answers stands in for a firewall."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        blocked = coturn.server("udp").model_copy(
            update={"urls": [f"turn:127.0.0.1:{port}?transport=udp", f"stun:127.0.0.1:{port}"]}
        )
        site = await start_site(client=UDP_BLOCKED)
        ticket = acme.ticket(servers=[blocked, coturn.server("tcp", "tls")])
        async with await site.dial(ticket) as tunnel:
            await echo(tunnel)
            assert tunnel.status().path is Path.RELAY_TCP


async def test_expired_credentials_are_named(start_site: StartSite, acme: Any, coturn: Any) -> None:
    site = await start_site(client=RELAYED)
    error = await refusal(site.dial(acme.ticket(servers=[coturn.server("udp", expires=-60)])))
    assert error.code is ErrorCode.TURN_UNAVAILABLE
    assert "expired" in error.detail
    assert f"turn:127.0.0.1:{coturn.port}?transport=udp" in error.detail


@pytest.mark.parametrize("scheme", ["udp", "tls"])
async def test_forged_credentials_are_named(
    start_site: StartSite, acme: Any, coturn: Any, scheme: str
) -> None:
    site = await start_site(client=RELAYED)
    error = await refusal(site.dial(acme.ticket(servers=[coturn.server(scheme, secret="guess")])))
    assert error.code is ErrorCode.TURN_UNAVAILABLE
    assert "refuses the credentials" in error.detail


async def test_untrusted_certificate_is_named(start_site: StartSite, acme: Any, coturn: Any) -> None:
    site = await start_site(client=RELAYED)
    error = await refusal(site.dial(acme.ticket(servers=[coturn.server("tls", ca=False)])))
    assert error.code is ErrorCode.TURN_UNAVAILABLE
    assert "certificate is not trusted" in error.detail


async def test_ca_from_a_file(start_site: StartSite, acme: Any, coturn: Any, tmp_path: Any) -> None:
    (tmp_path / "ca.pem").write_text(coturn.ca)
    site = await start_site(client=replace(RELAYED, turn_ca=str(tmp_path / "ca.pem")))
    async with await site.dial(acme.ticket(servers=[coturn.server("tls", ca=False)])) as tunnel:
        await echo(tunnel)


@pytest.mark.parametrize(("scheme", "path"), [("tls", Path.RELAY_TLS), ("tcp", Path.RELAY_TCP)])
async def test_through_the_proxy(
    start_site: StartSite, acme: Any, coturn: Any, squid: int, scheme: str, path: Path
) -> None:
    proxy = f"http://edge:pass%20word@127.0.0.1:{squid}"
    site = await start_site(client=replace(RELAYED, proxy=proxy))
    async with await site.dial(acme.ticket(servers=[coturn.server(scheme)])) as tunnel:
        await echo(tunnel)
        status = tunnel.status()
        assert status.path is path
        assert "through the proxy" in status.reason


async def test_wrong_proxy_password(start_site: StartSite, acme: Any, coturn: Any, squid: int) -> None:
    proxy = f"http://edge:secret-guess@127.0.0.1:{squid}"
    site = await start_site(client=replace(RELAYED, proxy=proxy))
    error = await refusal(site.dial(acme.ticket(servers=[coturn.server("tls")])))
    assert error.code is ErrorCode.PROXY_AUTHENTICATION
    assert "secret-guess" not in str(error)


async def test_proxy_that_is_down(start_site: StartSite, acme: Any, coturn: Any) -> None:
    site = await start_site(client=replace(RELAYED, proxy="http://edge:x@127.0.0.1:9"))
    error = await refusal(site.dial(acme.ticket(servers=[coturn.server("tls")])))
    assert error.code is ErrorCode.PROXY_UNREACHABLE
