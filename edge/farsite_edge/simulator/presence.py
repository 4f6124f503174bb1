"""What devices answer to questions sent to a multicast group; SSDP and WS-Discovery have the same one."""

from __future__ import annotations

import asyncio
import logging
import socket
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from farsite_edge.simulator.device import SimulatedDevice

GROUP = "239.255.255.250"
_LOG = logging.getLogger(__name__)


class MulticastPresence(asyncio.DatagramProtocol):
    """Answers for all devices of a site while entered. `interfaces` are IPv4 addresses of this machine; none means the
    one of the default route. The port is shared with other programs of the machine."""

    def __init__(self, devices: Sequence[SimulatedDevice], interfaces: Sequence[str], port: int) -> None:
        self._devices = devices
        self._interfaces = [address for address in interfaces if ":" not in address] or ["0.0.0.0"]  # noqa: S104
        self._port = port
        self._transport: asyncio.DatagramTransport | None = None

    @abstractmethod
    def answers(self, packet: bytes) -> Iterator[bytes]:
        """Of every device that is asked; none when the packet is no question."""

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        listening = _listen(self._interfaces, self._port)
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=listening)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._transport is not None:
            self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self._transport is None:
            return
        for answer in self.answers(data):
            self._transport.sendto(answer, addr)

    def error_received(self, exc: Exception) -> None:
        _LOG.debug("%s: %r", type(self).__name__, exc)


def _listen(interfaces: Sequence[str], port: int) -> socket.socket:
    """For what is sent to the group and to this machine."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        listening.setblocking(False)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            with suppress(OSError):
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind(("", port))
        for address in interfaces:
            membership = socket.inet_aton(GROUP) + socket.inet_aton(address)
            listening.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    except OSError:
        listening.close()
        raise
    return listening
