"""mDNS (RFC 6762, 6763): listens for the services Axis devices announce."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from ipaddress import ip_address

from zeroconf import InterfaceChoice, IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from farsite_edge.discovery.background import drain
from farsite_edge.discovery.found import FoundDevice, Method
from farsite_edge.discovery.merge import best_address
from farsite_edge.vapix.text import clean, serial_of

SERVICES = ("_axis-video._tcp.local.", "_vapix-http._tcp.local.", "_vapix-https._tcp.local.")
MAX_NAMES = 4000
RESOLVE_MILLISECONDS = 1500
RESOLVERS = 16
_NAME_END = re.compile(r"\s*-\s*[0-9A-Fa-f]{12}$")


async def browse(timeout: float, interfaces: Sequence[str] = ()) -> AsyncGenerator[FoundDevice, None]:
    """Devices as they answer within `timeout` seconds. Raises `OSError` when multicast is not possible.

    `interfaces` are addresses of this machine; none means all of them.
    """
    chosen = _usable_interfaces(interfaces)
    zeroconf = AsyncZeroconf(interfaces=chosen or InterfaceChoice.All, ip_version=_version(chosen))
    names = _Names()
    browser: AsyncServiceBrowser | None = None
    try:
        browser = AsyncServiceBrowser(zeroconf.zeroconf, list(SERVICES), handlers=[names.changed])
        results: asyncio.Queue[FoundDevice | None] = asyncio.Queue()
        work = {
            f"mdns-resolve-{number}": _resolve_all(zeroconf, names, results) for number in range(RESOLVERS)
        }
        async with aclosing(drain(results, work, asyncio.get_running_loop().time() + timeout)) as devices:
            async for found in devices:
                yield found
    finally:
        if browser is not None:
            await browser.async_cancel()
        await zeroconf.async_close()


def _usable_interfaces(interfaces: Sequence[str]) -> list[str]:
    """Those this machine has. Zeroconf would leave sockets open when given another."""
    usable: list[str] = []
    problem: OSError | None = None
    for address in interfaces:
        try:
            with socket.socket(
                socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM
            ) as probe:
                probe.bind((address, 0))
            usable.append(address)
        except OSError as error:
            problem = error
    if problem is not None and not usable:
        raise problem
    return usable


def _version(interfaces: Sequence[str]) -> IPVersion | None:
    return IPVersion.V4Only if interfaces and all(":" not in address for address in interfaces) else None


class _Names:
    """Service instances heard of, each once."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._seen: set[tuple[str, str]] = set()

    def changed(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        key = (service_type, name)
        if state_change is ServiceStateChange.Removed or key in self._seen or len(self._seen) >= MAX_NAMES:
            return
        self._seen.add(key)
        self.queue.put_nowait(key)


async def _resolve_all(
    zeroconf: AsyncZeroconf, names: _Names, results: asyncio.Queue[FoundDevice | None]
) -> None:
    while True:
        found = await _resolve(zeroconf, *await names.queue.get())
        if found is not None:
            results.put_nowait(found)


async def _resolve(zeroconf: AsyncZeroconf, service_type: str, name: str) -> FoundDevice | None:
    try:
        info = AsyncServiceInfo(service_type, name)
        known = await info.async_request(zeroconf.zeroconf, RESOLVE_MILLISECONDS)
    except Exception:  # zeroconf raises many kinds for names and records that make no sense
        return None
    return found_from(info) if known else None


def found_from(info: AsyncServiceInfo) -> FoundDevice | None:
    """A device of what it announced; None when serial number, port or address are missing or absurd."""
    serial = _serial(info)
    addresses = [text for text in info.parsed_scoped_addresses()[:16] if _usable(text)]
    address = best_address(addresses)
    if serial is None or address is None or not info.port:
        return None
    secure = info.type.startswith("_vapix-https.")
    name = clean(info.name.removesuffix("." + info.type))
    return FoundDevice(
        serial=serial,
        address=address,
        http_port=None if secure else info.port,
        https_port=info.port if secure else None,
        by=(Method.MDNS,),
        name=_NAME_END.sub("", name),
        addresses=tuple(addresses),
    )


def _serial(info: AsyncServiceInfo) -> str | None:
    raw = info.properties.get(b"macaddress") or b""
    announced = serial_of(raw[:64].decode("latin-1"))
    return announced or serial_of(info.name.removesuffix("." + info.type)[-12:])


def _usable(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return not (address.is_multicast or address.is_unspecified)
