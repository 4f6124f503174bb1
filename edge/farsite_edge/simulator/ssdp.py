"""SSDP presence: answers M-SEARCH (UPnP Device Architecture 1.1, 1.3.3) with the place of each description."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from types import TracebackType

from farsite_edge.simulator.device import SimulatedDevice, url_host

GROUP = "239.255.255.250"
PORT = 1900
BASIC_SERVICE = "urn:axis-com:service:BasicService:1"
MAX_PACKET = 2048
_LOG = logging.getLogger(__name__)


class SsdpPresence(asyncio.DatagramProtocol):
    """Answers for all devices of a site while entered. `interfaces` are IPv4 addresses of this machine; none
    means the one of the default route. The port is shared with other SSDP programs of the machine."""

    def __init__(
        self, devices: Sequence[SimulatedDevice], interfaces: Sequence[str] = (), *, port: int = PORT
    ) -> None:
        self._devices = devices
        self._interfaces = [address for address in interfaces if ":" not in address] or ["0.0.0.0"]  # noqa: S104
        self._port = port
        self._transport: asyncio.DatagramTransport | None = None

    async def __aenter__(self) -> SsdpPresence:
        loop = asyncio.get_running_loop()
        listening = listen(self._interfaces, self._port)
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=listening)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._transport is not None:
            self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        target = search_target(data[:MAX_PACKET])
        if target is None or self._transport is None:
            return
        for device in self._devices:
            for packet in answers(device, target):
                self._transport.sendto(packet, addr)

    def error_received(self, exc: Exception) -> None:
        _LOG.debug("SSDP: %r", exc)


def search_target(packet: bytes) -> str | None:
    """The `ST` of an M-SEARCH, None for any other packet."""
    lines = packet.decode("latin-1").split("\r\n")
    if not lines[0].upper().startswith("M-SEARCH * HTTP/1."):
        return None
    headers = {
        name.strip().upper(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
    }
    return headers.get("ST") if headers.get("MAN", "").strip('"') == "ssdp:discover" else None


def answers(device: SimulatedDevice, target: str) -> Iterator[bytes]:
    if not device.running or device.parameters.get("Network.UPnP.Enabled") != "yes":
        return
    for own in (BASIC_SERVICE, "upnp:rootdevice"):
        if target in (own, "ssdp:all"):
            yield _answer(device, own)


def _answer(device: SimulatedDevice, target: str) -> bytes:
    lines = [
        "HTTP/1.1 200 OK",
        "CACHE-CONTROL: max-age=1800",
        "EXT:",
        f"LOCATION: http://{url_host(device.address)}:{device.http_port}/rootdesc1.xml",
        f"SERVER: Linux/5.15, UPnP/1.0, {device.model.product}/{device.version}",
        f"ST: {target}",
        f"USN: uuid:Upnp-BasicDevice-1_0-{device.serial}::{target}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii", "replace")


def listen(interfaces: Sequence[str], port: int) -> socket.socket:
    """For what is sent to the group (SSDP and WS-Discovery have the same one) and to this machine."""
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
