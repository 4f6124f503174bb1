"""Local addresses to offer, and UDP sockets inside the agreed port range."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import random
import socket
import sys
from collections.abc import Callable, Iterator
from typing import TypeVar

from farsite_signaling.peer.datagrams import UdpTransport
from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

BUFFER = 4 * 1024 * 1024
"""Asked for each way; the system may give less. A burst that does not fit is lost and costs a round trip."""
MAX_ADDRESSES = 16
_ATTEMPTS = 64
# Windows keeps whole ranges for itself and answers with a code of its own.
_TAKEN = {errno.EADDRINUSE, errno.EACCES, getattr(errno, "WSAEACCES", errno.EACCES)}

ProtocolT = TypeVar("ProtocolT", bound=asyncio.DatagramProtocol)
Address = tuple[str, int]


def host_addresses(options: PeerOptions) -> list[str]:
    """Addresses to offer as host candidates; loopback only when asked for or when there is no other."""
    if options.relay_only:
        return []
    if options.addresses is not None:
        return list(options.addresses)
    found = [address for address in _adapter_addresses() if not ipaddress.ip_address(address).is_loopback]
    if options.loopback or not found:
        found.append("127.0.0.1")
    return found[:MAX_ADDRESSES]


def own_addresses() -> list[str]:
    """Every address of this machine now."""
    return list(_adapter_addresses())


def _adapter_addresses() -> Iterator[str]:
    import ifaddr

    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            if isinstance(ip.ip, str):
                yield ip.ip
            elif ip.ip[2] == 0:  # link-local addresses need a scope that means nothing to the peer
                yield ip.ip[0]


async def open_udp(
    factory: Callable[[], ProtocolT],
    address: str,
    ports: tuple[int, int],
    remote: Address | None = None,
) -> tuple[asyncio.DatagramTransport, ProtocolT]:
    """A socket on `address` with a port in `ports`, starting anywhere and passing over taken ones.

    Raises `OSError` when the address cannot be used, `FarsiteError` (`port_taken`) when no port is free.
    """
    # Bound before the loop sees it: uvloop leaks a transport whose port is taken.
    sock = _bound(address, ports)
    try:
        if remote is not None:
            sock.connect(remote)
        return await _open(sock, factory)
    except BaseException:
        sock.close()
        raise


async def _open(
    sock: socket.socket, factory: Callable[[], ProtocolT]
) -> tuple[asyncio.DatagramTransport, ProtocolT]:
    loop = asyncio.get_running_loop()
    if sys.platform == "win32":  # its event loop knows completion, not readiness
        return await loop.create_datagram_endpoint(factory, sock=sock)
    protocol = factory()
    transport = UdpTransport(loop, sock, protocol)
    transport.open()
    return transport, protocol


def _bound(address: str, ports: tuple[int, int]) -> socket.socket:
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, BUFFER)
        _bind(sock, address, ports)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind(sock: socket.socket, address: str, ports: tuple[int, int]) -> None:
    for port in _candidate_ports(*ports):
        try:
            sock.bind((address, port))
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
        else:
            return
    raise FarsiteError(
        ErrorCode.PORT_TAKEN,
        f"No free UDP port between {ports[0]} and {ports[1]} on {address}; widen the range.",
    )


def _candidate_ports(first: int, last: int) -> Iterator[int]:
    size = last - first + 1
    start = random.randrange(size)  # noqa: S311 - spreads sessions over the range, keeps no secret
    return (first + (start + step) % size for step in range(min(size, _ATTEMPTS)))
