"""Gathering, trickling and choosing between direct and relayed paths."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from farsite_signaling.peer import addresses
from farsite_signaling.peer.gathering import GatheringReport
from farsite_signaling.peer.options import FIRST_PORT, LAST_PORT, PeerOptions
from farsite_signaling.peer.servers import RelayTransport, StunServer, TurnServer, parse_servers
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.ice import IceServer
from farsite_signaling.wire.path import Path

StartSite = Callable[..., Awaitable[Any]]
LOCAL = PeerOptions(addresses=("127.0.0.1",), open_timeout=10.0)


def ice(servers: list[IceServer], options: PeerOptions = LOCAL) -> Any:
    from farsite_signaling.peer.ice import IceConnection

    return IceConnection(*parse_servers(servers), options)


async def gather(connection: Any) -> list[Any]:
    """All candidates, once the last server has answered."""
    done = asyncio.Event()
    connection.on_gathered = done.set
    await connection.gather_candidates()
    if not connection.gathered:
        async with asyncio.timeout(10):
            await done.wait()
    return list(connection.local_candidates)


async def test_host_candidates_stay_inside_the_port_range() -> None:
    for _ in range(20):
        connection = ice([])
        (candidate,) = await gather(connection)
        assert FIRST_PORT <= candidate.port <= LAST_PORT
        await connection.close()


async def test_turn_clients_stay_inside_the_port_range(coturn: Any) -> None:
    connection = ice([coturn.server("udp")])
    await gather(connection)
    clients = [p.transport._client for p in connection._protocols if p.relay_server is not None]
    assert len(clients) == 1
    for client in clients:
        assert FIRST_PORT <= client.transport.get_extra_info("sockname")[1] <= LAST_PORT
    await connection.close()


async def test_taken_ports_are_passed_over() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        first = bind_with_free_neighbour(taken)
        options = replace(LOCAL, ports=(first, first + 1))
        connection = ice([], options)
        (candidate,) = await gather(connection)
        assert candidate.port == first + 1
        with pytest.raises(FarsiteError) as caught:
            await addresses.open_udp(asyncio.DatagramProtocol, "127.0.0.1", options.ports)
        assert caught.value.code is ErrorCode.PORT_TAKEN
        assert str(first) in caught.value.detail
        await connection.close()


def bind_with_free_neighbour(sock: socket.socket) -> int:
    for port in range(50000, 60000, 2):
        try:
            sock.bind(("127.0.0.1", port))
        except OSError as error:
            assert error.errno == errno.EADDRINUSE
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as neighbour:
            try:
                neighbour.bind(("127.0.0.1", port + 1))
            except OSError:
                pytest.fail("ports are crowded on this machine")
        return port
    raise AssertionError("no free port")


async def test_receive_buffers_are_large() -> None:
    connection = ice([])
    await gather(connection)
    sock = connection._protocols[0].transport.get_extra_info("socket")
    granted = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        system_limit = probe.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    assert granted >= system_limit
    await connection.close()


def test_loopback_is_offered_only_when_there_is_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    found = ["127.0.0.1", "::1", "192.0.2.7"]
    monkeypatch.setattr(addresses, "_adapter_addresses", lambda: iter(found))
    assert addresses.host_addresses(PeerOptions()) == ["192.0.2.7"]
    assert addresses.host_addresses(PeerOptions(loopback=True)) == ["192.0.2.7", "127.0.0.1"]
    assert addresses.host_addresses(PeerOptions(relay_only=True)) == []
    found[:] = ["127.0.0.1"]
    assert addresses.host_addresses(PeerOptions()) == ["127.0.0.1"]


async def test_all_servers_are_asked_and_relays_raced(coturn: Any) -> None:
    connection = ice([coturn.server("stun", "tls", "tcp", "udp")])
    kinds = [candidate.type for candidate in await gather(connection)]
    # STUN on loopback tells nothing new, and the first TURN answer makes the worse transports needless.
    assert kinds == ["host", "relay"]
    assert connection.report.relays == [RelayTransport.UDP]
    assert not connection.report.udp_blocked
    assert len(connection.report.reflexive) == 1
    await connection.close()


async def test_relays_do_not_tell_our_address(coturn: Any) -> None:
    connection = ice([coturn.server("udp")])
    relay = (await gather(connection))[-1]
    assert (relay.type, relay.related_address) == ("relay", "0.0.0.0")
    await connection.close()


async def test_the_offer_leaves_before_servers_have_answered() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        url = f"127.0.0.1:{silent.getsockname()[1]}"
        servers = [IceServer(urls=[f"stun:{url}", f"turn:{url}"], username="u", credential="c")]
        connection = ice(servers, replace(LOCAL, gather_timeout=1.0))
        await connection.gather_candidates()
        assert [candidate.type for candidate in connection.local_candidates] == ["host"]
        assert not connection.gathered
        done = asyncio.Event()
        connection.on_gathered = done.set
        await done.wait()
        assert connection.report.udp_blocked
        await connection.close()


def hold_back_direct(monkeypatch: pytest.MonkeyPatch, until: Callable[[], bool]) -> None:
    """Host sockets hear nothing before `until`: as if NATs let nothing in yet."""
    from farsite_signaling.peer.ice_protocol import IceProtocol

    deliver = IceProtocol.datagram_received

    def maybe(self: Any, data: bytes, addr: Any) -> None:
        relayed = self.relay_server is not None
        # What the relay sends to the other side's host socket comes from the TURN server's relay range on
        # loopback too; only checks between the two host sockets are held back.
        if relayed or addr[1] not in hosts or until():
            deliver(self, data, addr)

    hosts: set[int] = set()
    made = IceProtocol.connection_made

    def remember(self: Any, transport: Any) -> None:
        made(self, transport)
        if hasattr(transport, "get_extra_info") and self.relay_server is None:
            hosts.add(transport.get_extra_info("sockname")[1])

    monkeypatch.setattr(IceProtocol, "connection_made", remember)
    monkeypatch.setattr(IceProtocol, "datagram_received", maybe)


async def test_direct_wins_though_a_relay_answers_first(
    start_site: StartSite, acme: Any, coturn: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    free = loop.time() + 0.15
    hold_back_direct(monkeypatch, lambda: loop.time() > free)
    # Streams that cannot move: a relay waits for direct paths.
    site = await start_site(client=PeerOptions(addresses=("127.0.0.1",), resume_timeout=0))
    async with await site.dial(acme.ticket(servers=[coturn.server("udp")])) as tunnel:
        assert tunnel.status().path is Path.LAN


async def test_direct_takes_over_from_a_relay_that_opened_first(
    start_site: StartSite, acme: Any, coturn: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = asyncio.Event()
    hold_back_direct(monkeypatch, opened.is_set)
    site = await start_site()
    async with await site.dial(acme.ticket(servers=[coturn.server("udp")])) as tunnel:
        assert tunnel.status().path is Path.RELAY_UDP
        opened.set()
        while tunnel.path.relayed:
            await tunnel.changed()
        assert tunnel.status().path is Path.LAN
        assert site.refused == []


async def test_a_relay_is_taken_when_direct_stays_silent(
    start_site: StartSite, acme: Any, coturn: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_back_direct(monkeypatch, lambda: False)
    site = await start_site()
    begin = asyncio.get_running_loop().time()
    async with await site.dial(acme.ticket(servers=[coturn.server("udp")])) as tunnel:
        # Nothing else would end the wait for a direct path before the opening is given up.
        assert asyncio.get_running_loop().time() - begin < PeerOptions().open_timeout / 3
        assert tunnel.status().path is Path.RELAY_UDP
        assert "no direct packets" in tunnel.status().reason


async def test_a_server_that_refuses_the_peer_is_not_asked_for_ever(
    start_site: StartSite, acme: Any, strict_coturn: Any
) -> None:
    site = await start_site(client=replace(LOCAL, relay_only=True))
    begin = asyncio.get_running_loop().time()
    with pytest.raises(FarsiteError) as caught:
        await site.dial(acme.ticket(servers=[strict_coturn.server("udp")]))
    assert caught.value.code is ErrorCode.PEER_UNREACHABLE
    assert "a relay over UDP" in caught.value.detail
    assert asyncio.get_running_loop().time() - begin < PeerOptions().open_timeout / 2


async def allocate(server: TurnServer, options: PeerOptions) -> Any:
    from farsite_signaling.peer import relay
    from farsite_signaling.peer.ice_protocol import IceProtocol

    return await relay.allocate(server, IceProtocol(ice([])), options)


async def test_a_check_is_repeated_when_the_peers_comes_through(
    start_site: StartSite, acme: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 8445 section 7.3.1.4. A NAT drops what comes before its own side has sent: no timer is waited for."""
    from farsite_signaling.peer import ice_protocol

    monkeypatch.setattr(ice_protocol, "FIRST_RETRY", 60.0)
    deliver = ice_protocol.IceProtocol.datagram_received
    dropped: set[Any] = set()

    def drop_first(self: Any, data: bytes, addr: Any) -> None:
        if not self.receiver.ice_controlling and self not in dropped:
            dropped.add(self)
        else:
            deliver(self, data, addr)

    monkeypatch.setattr(ice_protocol.IceProtocol, "datagram_received", drop_first)
    site = await start_site()
    async with await site.dial(acme.ticket()) as tunnel:
        assert tunnel.status().path is Path.LAN
    assert dropped


async def test_an_allocation_that_is_not_forgotten_yet_costs_a_port(
    coturn: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """437: the server still knows somebody from our address and port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        first = bind_with_free_neighbour(taken)
    (_, [server]) = parse_servers([coturn.server("udp")])
    (await allocate(server, replace(LOCAL, ports=(first, first)))).abort()
    starts = iter([0, 1])
    monkeypatch.setattr(addresses.random, "randrange", lambda size: next(starts))
    transport = await allocate(server, replace(LOCAL, ports=(first, first + 1)))
    assert transport.get_extra_info("base")[1] == first + 1
    transport.abort()


async def test_remote_candidates_nobody_should_use_are_passed_over() -> None:
    from farsite_signaling.peer.ice import parse_candidate

    connection = ice([])
    await gather(connection)
    lines = [
        "candidate:1 1 udp 1 name.local 5000 typ host",
        "candidate:1 1 udp 1 example.com 5000 typ host",
        "candidate:1 1 tcp 1 192.0.2.1 5000 typ host tcptype active",
        "candidate:1 2 udp 1 192.0.2.1 5000 typ host",
        "candidate:1 1 udp 1 192.0.2.1 0 typ host",
    ]
    for line in lines:
        await connection.add_remote_candidate(parse_candidate(line))
    assert connection.remote_candidates == []
    for number in range(200):
        line = f"candidate:1 1 udp 1 192.0.2.1 {5000 + number} typ host"
        await connection.add_remote_candidate(parse_candidate(line))
    assert len(connection.remote_candidates) == 64
    await connection.close()
    await connection.add_remote_candidate(None)


def test_servers_are_parsed_and_ordered() -> None:
    server = IceServer(
        urls=[
            "turns:turn.example.com",
            "turn:turn.example.com?transport=tcp",
            "turn:turn.example.com:3479",
            "turn:[2001:db8::1]:3478?transport=udp",
            "stun:stun.example.com",
            "stun:stun.example.com",
            "turns:turn.example.com?transport=udp",
            "http://example.com",
            "turn:",
            "turn:host:99999",
        ],
        username="u",
        credential="c",
    )
    stun, turn = parse_servers([server])
    assert stun == [StunServer("stun.example.com", 3478)]
    assert [found.url for found in turn] == [
        "turn:turn.example.com:3479?transport=udp",
        "turn:[2001:db8::1]:3478?transport=udp",
        "turn:turn.example.com:3478?transport=tcp",
        "turns:turn.example.com:5349?transport=tcp",
    ]
    assert "credential" not in repr(TurnServer("h", 1, RelayTransport.UDP, "u", "secret"))


def test_the_report_blames_what_can_be_helped() -> None:
    report = GatheringReport(hosts=["192.0.2.1"], stun_asked=1)
    report.problems["turns:x"] = FarsiteError(ErrorCode.PROXY_AUTHENTICATION, "The proxy refuses.")
    assert report.blame(relay_only=False) is ErrorCode.PROXY_AUTHENTICATION
    assert "blocked" in report.describe()
    assert "The proxy refuses" in report.describe()
    report.relays.append(RelayTransport.TCP)
    assert report.blame(relay_only=True) is ErrorCode.PEER_UNREACHABLE
