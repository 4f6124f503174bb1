"""UDP 6801: answers padded discovery queries (`wire.lan`), slowly enough to be no weapon."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import struct
import time
from collections.abc import Callable
from typing import Any, cast

from farsite_edge.lan.listening import refused
from farsite_signaling.wire.edge_api import EdgeInfo
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.lan import make_answer, parse_query

PER_SECOND = 50
PER_SOURCE = 5
MAX_SOURCES = 1000
logger = logging.getLogger(__name__)


class Budget:
    """Answers per second: so many in all, so many to one address."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._second = 0
        self._sources: dict[str, int] = {}

    def take(self, source: str) -> bool:
        second = int(self._clock())
        if second != self._second:
            self._second = second
            self._sources.clear()
        used = self._sources.get(source, 0)
        if used >= PER_SOURCE or len(self._sources) >= MAX_SOURCES:
            return False
        if sum(self._sources.values()) >= PER_SECOND:
            return False
        self._sources[source] = used + 1
        return True


class Responder(asyncio.DatagramProtocol):
    def __init__(self, info: Callable[[], EdgeInfo], budget: Budget | None = None) -> None:
        self._info = info
        self._budget = budget or Budget()
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        try:
            query = parse_query(data)
            answer = _answer(query.token, self._info())
        except FarsiteError as error:
            logger.debug("no answer to %s: %s", addr[0], error)
            return
        if self._transport is not None and self._budget.take(str(addr[0])):
            self._transport.sendto(answer, addr)

    def error_received(self, exc: Exception) -> None:
        logger.debug("discovery by multicast: %s", exc)


def _answer(token: str, info: EdgeInfo) -> bytes:
    """Names that would make the answer amplify are cut, so that the edge host is found all the same."""
    try:
        return make_answer(token, info)
    except FarsiteError:
        return make_answer(token, info.model_copy(update={"name": info.name[:50], "organization": None}))


class MulticastResponder:
    """`async with`; `port` afterwards. Raises `port_taken`."""

    def __init__(self, info: Callable[[], EdgeInfo], *, group: str, port: int, addresses: list[str]) -> None:
        self._info = info
        self._group = group
        self.port = port
        self._addresses = [address for address in addresses if "." in address]
        self._transport: asyncio.DatagramTransport | None = None

    async def __aenter__(self) -> MulticastResponder:
        sock = self._socket()
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: Responder(self._info), sock=sock)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._transport is not None:
            self._transport.close()

    def _socket(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            # Several programs may listen to one group; the client on this machine does so too.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("", self.port))
        except OSError as error:
            sock.close()
            raise refused(error, self.port, "multicast_port", "UDP") from error
        self.port = sock.getsockname()[1]
        sock.setblocking(False)
        self._join(sock)
        return sock

    def _join(self, sock: socket.socket) -> None:
        """On every interface chosen; one that cannot (no multicast) is left out."""
        for address in self._addresses or interface_addresses():
            request = struct.pack("4s4s", socket.inet_aton(self._group), socket.inet_aton(address))
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)


def interface_addresses() -> list[str]:
    """IPv4 addresses of this machine, loopback too (a client may be on this very machine)."""
    from farsite_edge.devices.addresses import own_addresses

    return [str(ip) for ip in own_addresses() if isinstance(ip, ipaddress.IPv4Address)]
