"""Which addresses may be a device's: never this machine, never a cloud's metadata service."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from farsite_signaling.wire.errors import ErrorCode, FarsiteError

METADATA = {ipaddress.ip_address("169.254.169.254"), ipaddress.ip_address("fd00:ec2::254")}
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def own_addresses() -> set[IPAddress]:
    """Addresses of this machine's interfaces now."""
    import ifaddr

    found: set[IPAddress] = set()
    for adapter in ifaddr.get_adapters():
        for entry in adapter.ips:
            text = entry.ip if isinstance(entry.ip, str) else entry.ip[0]
            found.add(ipaddress.ip_address(text.split("%")[0]))
    return found


class AddressRule:
    """`allow_own` is for simulated devices on this machine; `own_ports` stay refused even then."""

    def __init__(self, *, allow_own: bool, own_ports: Iterable[int] = ()) -> None:
        self._allow_own = allow_own
        self.own_ports = set(own_ports)

    def check(self, address: str, port: int) -> None:
        """Raises `forbidden`."""
        try:
            ip = ipaddress.ip_address(address.split("%")[0])
        except ValueError:
            raise _refused(address, "it is not an IP address") from None
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        if ip in METADATA or ip.is_multicast or ip.is_unspecified or str(ip) == "255.255.255.255":
            raise _refused(address, "no device can be there")
        if ip.is_loopback or ip in own_addresses():
            self._check_own(address, port)

    def _check_own(self, address: str, port: int) -> None:
        if not self._allow_own:
            raise _refused(address, "it is this machine itself")
        if port in self.own_ports:
            raise _refused(address, "it is the edge host's own interface")


def _refused(address: str, reason: str) -> FarsiteError:
    return FarsiteError(ErrorCode.FORBIDDEN, f"No connection to {address[:64]}: {reason}.")
