"""UDP sockets that ask a multicast group on chosen interfaces."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence


async def open_senders(
    interfaces: Sequence[str], protocol: asyncio.DatagramProtocol
) -> list[asyncio.DatagramTransport]:
    """One socket for each interface (IPv4 addresses of this machine). Raises `OSError` when none can be used."""
    transports: list[asyncio.DatagramTransport] = []
    problem: OSError | None = None
    for address in interfaces:
        try:
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_datagram_endpoint(lambda: protocol, sock=_socket(address))
            transports.append(transport)
        except OSError as error:
            problem = error
    if not transports:
        raise problem or OSError("no network interface with IPv4")
    return transports


def _socket(address: str) -> socket.socket:
    sending = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sending.setblocking(False)
        sending.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
        sending.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 2)
        sending.bind((address, 0))
    except OSError:
        sending.close()
        raise
    return sending
