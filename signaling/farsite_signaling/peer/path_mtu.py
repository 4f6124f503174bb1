"""How large a packet the first hop carries: where the search for the path's packet size begins (RFC 8899).

Before the search the system is told to cut nothing and to have nothing cut on the way, so what is answered was carried
whole. (By default Linux cuts packets itself as soon as a router has told it of a narrower link: every packet would go in
two pieces from then on. That default is back where no larger packets pass than all paths carry.) Systems that cannot be
asked keep to packets that everything carries.
"""

from __future__ import annotations

import socket
import sys
from typing import Any, cast

from aioice.ice import CandidatePair

from farsite_signaling.peer.ice_protocol import IceProtocol
from farsite_signaling.peer.servers import RelayTransport

MOST = 9000
"""Jumbo frames: beyond them (loopback) messages and buffers, not headers, are what costs."""
ETHERNET = 1500
"""Where a relay forwards to is not known here: hardly a site is on more than Ethernet."""
_IP_MTU, _IPV6_MTU = 14, 24
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER = 10, 23
_PMTUDISC_WANT, _PMTUDISC_PROBE = 1, 3
"""ip(7), ipv6(7): by what the system believes of the path, or marked not to be cut whatever that is."""
_IPV4, _IPV6, _UDP, _CHANNEL = 20, 40, 8, 4


def first_hop(pair: CandidatePair) -> tuple[int, int] | None:
    """MTU towards the peer or its relay, and what IP, UDP and TURN add to a datagram; None when it is not known.

    The other end may be behind a relay of its own, which adds a channel's header on the way there.
    """
    protocol = cast(IceProtocol, pair.protocol)
    server = protocol.relay_server
    if server is None:
        local = protocol.transport.get_extra_info("sockname")
        mtu = interface_mtu(str(local[0]), (pair.remote_addr[0], pair.remote_addr[1]))
        headers = (_IPV6 if ":" in pair.remote_addr[0] else _IPV4) + _UDP + _CHANNEL
        relayed = pair.remote_candidate.type == "relay"
    else:
        mtu = ETHERNET if server.transport is not RelayTransport.UDP else _relay_mtu(protocol.transport)
        headers, relayed = _IPV6 + _UDP + _CHANNEL, True
    return None if mtu is None else (min(mtu, ETHERNET if relayed else MOST), headers)


def keep_whole(pair: CandidatePair, wanted: bool) -> bool:
    """Whether no datagram of the pair's is cut from now on, here or on the way.

    Not `wanted`: as the system does by default.
    """
    protocol = cast(IceProtocol, pair.protocol)
    server = protocol.relay_server
    if server is not None and server.transport is not RelayTransport.UDP:
        return wanted  # TCP cuts its stream as it needs
    sock, mode = protocol.transport.get_extra_info("socket"), _PMTUDISC_PROBE if wanted else _PMTUDISC_WANT
    try:
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, mode)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, mode)
    except (AttributeError, OSError):
        return False
    return wanted


def _relay_mtu(transport: Any) -> int | None:
    base, peer = transport.get_extra_info("base"), transport.get_extra_info("server")
    return None if base is None or peer is None else interface_mtu(str(base[0]), (peer[0], peer[1]))


def interface_mtu(local: str, remote: tuple[str, int]) -> int | None:
    """What the route from `local` to `remote` carries, bytes with IP's header; None when the system does not tell."""
    if sys.platform != "linux":
        return None
    six = ":" in remote[0]
    try:
        with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((local, 0))
            sock.connect(remote)
            if six:
                return sock.getsockopt(socket.IPPROTO_IPV6, _IPV6_MTU)
            return sock.getsockopt(socket.IPPROTO_IP, _IP_MTU)
    except OSError:
        return None
