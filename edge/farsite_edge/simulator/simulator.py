"""A site of simulated devices in one process."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from types import TracebackType

from farsite_edge.simulator.device import SimulatedDevice
from farsite_edge.simulator.models import DeviceDescription
from farsite_edge.simulator.multicast_dns import MdnsPresence
from farsite_edge.simulator.ssdp import PORT as SSDP_PORT
from farsite_edge.simulator.ssdp import SsdpPresence
from farsite_edge.simulator.ws_discovery import PORT as WS_PORT
from farsite_edge.simulator.ws_discovery import WsDiscoveryPresence
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

_LOG = logging.getLogger(__name__)
HTTPS_OFFSET = 363  # 443 - 80
Place = tuple[str, str, int, int]  # address, address to bind, HTTP port, HTTPS port


class Simulator:
    """Runs the devices of a description while entered.

    `bind` is one address, where every device has ports of its own (from `first_port` on, or free ones when it is
    0), or a network such as `127.0.1.0/24`, where every device has an address of its own and `first_port` is its
    HTTP port (80 when 0, HTTPS then 443). `multicast` announces them by mDNS, SSDP and WS-Discovery on
    `interfaces` (addresses of this machine; default: `bind` if it is a loopback address or network, else all).
    When multicast is not possible the devices run without, and `problems` says so.

    Raises `FarsiteError` (`port_taken`, `invalid_request`) on entering.
    """

    def __init__(
        self,
        description: Sequence[DeviceDescription],
        *,
        bind: str = "127.0.0.1",
        first_port: int = 0,
        https: bool = True,
        multicast: bool = False,
        interfaces: Sequence[str] = (),
        ssdp_port: int = SSDP_PORT,
        ws_port: int = WS_PORT,
    ) -> None:
        self._description = list(description)
        self._bind = bind
        self._https = https
        self._multicast = multicast
        self._interfaces = list(interfaces) or _loopback(bind)
        self._ssdp_port = ssdp_port
        self._ws_port = ws_port
        self._stack = AsyncExitStack()
        self.problems: list[str] = []
        places = _places(bind, first_port, len(self._description))
        self.devices = [
            self._device(one, place) for one, place in zip(self._description, places, strict=True)
        ]

    def _device(self, description: DeviceDescription, place: Place) -> SimulatedDevice:
        address, bind, http_port, https_port = place
        if description.address:
            address = bind = description.address
        if description.http_port is not None:
            http_port = description.http_port
        if description.https_port is not None:
            https_port = description.https_port
        return SimulatedDevice(description, address, http_port, https_port if self._https else None, bind)

    def __getitem__(self, serial: str) -> SimulatedDevice:
        return next(device for device in self.devices if device.serial == serial)

    async def __aenter__(self) -> Simulator:
        try:
            for device in self.devices:
                self._stack.push_async_callback(device.stop)
                await device.start()
            if self._multicast:
                await self._enter("mDNS", MdnsPresence(self.devices, self._interfaces))
                await self._enter("SSDP", SsdpPresence(self.devices, self._interfaces, port=self._ssdp_port))
                await self._enter(
                    "WS-Discovery", WsDiscoveryPresence(self.devices, self._interfaces, port=self._ws_port)
                )
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def _enter(self, name: str, presence: MdnsPresence | SsdpPresence | WsDiscoveryPresence) -> None:
        try:
            await self._stack.enter_async_context(presence)
        except OSError as error:
            self.problems.append(
                f"{name} is not possible here ({error.strerror or error}); devices run without it."
            )
            _LOG.warning("%s", self.problems[-1])

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for device in self.devices:
            device.stopping.set()  # streams end together, not one device after the other
        await asyncio.shield(self._stack.aclose())


def _places(bind: str, first_port: int, count: int) -> Iterator[Place]:
    if not 0 <= first_port <= 65535 - 2 * count:
        raise _invalid(f"--first-port {first_port} leaves no room for {count} devices below 65536.")
    if "/" in bind:
        return _own_addresses(bind, first_port, count)
    return _own_ports(bind, first_port, count)


def _own_ports(bind: str, first_port: int, count: int) -> Iterator[Place]:
    try:
        wildcard = ip_address(bind).is_unspecified
    except ValueError:
        raise _invalid(f"{bind!r} is not an address to bind.") from None
    address = _outward_address(bind) if wildcard else bind
    for index in range(count):
        yield address, bind, first_port and first_port + index, first_port and first_port + count + index


def _own_addresses(bind: str, first_port: int, count: int) -> Iterator[Place]:
    network = _network(bind)
    if first_port + HTTPS_OFFSET > 65535:
        raise _invalid(f"--first-port {first_port} leaves no room for HTTPS at {HTTPS_OFFSET} above it.")
    if network.num_addresses - 2 < count:
        raise _invalid(f"{network} has no room for {count} devices.")
    for address, _ in zip(network.hosts(), range(count), strict=False):
        yield str(address), str(address), first_port or 80, first_port + HTTPS_OFFSET if first_port else 443


def _network(bind: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(bind, strict=False)
    except ValueError:
        raise _invalid(f"{bind!r} is not a network.") from None


def _loopback(bind: str) -> list[str]:
    try:
        loopback = _network(bind).is_loopback
    except FarsiteError:
        return []  # reported when the places are worked out
    return ["127.0.0.1"] if loopback and ":" not in bind else []


def _outward_address(bind: str) -> str:
    """The address other machines reach this one at: the source of a packet to the internet, which is not sent."""
    family, target = (socket.AF_INET6, "2001:db8::1") if ":" in bind else (socket.AF_INET, "192.0.2.1")
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((target, 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "::1" if ":" in bind else "127.0.0.1"


def _invalid(detail: str) -> FarsiteError:
    return FarsiteError(ErrorCode.INVALID_REQUEST, detail)
