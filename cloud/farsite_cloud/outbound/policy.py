"""Where the cloud may send requests that its users cause. Decisions only: no name is resolved here."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from farsite_cloud.turn.ranges import Network, denied
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
MAX_URL = 2000
_PORTS = {"https": 443, "http": 80}
# The same table that keeps the relay out: private, loopback, link-local, and what carries IPv4 inside IPv6.
_INTERNAL = tuple((ipaddress.ip_address(block.first), ipaddress.ip_address(block.last)) for block in denied())


@dataclass(frozen=True)
class Target:
    """`host` without brackets, a name or an address."""

    host: str
    port: int
    tls: bool


def check_url(url: str) -> Target:
    """Raises `outbound_refused` for anything but an http(s) address without credentials and fragment."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _no_url(url) from None
    odd = any(not character.isprintable() or character.isspace() or character == "\\" for character in url)
    if odd or len(url) > MAX_URL or parts.scheme not in _PORTS or not host or port == 0:
        raise _no_url(url)
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise _no_url(url)
    return Target(host, port or _PORTS[parts.scheme], parts.scheme == "https")


def _no_url(url: str) -> FarsiteError:
    detail = f"{url[:200]!r} is not an address such as https://example.com/path, without credentials in it."
    return FarsiteError(ErrorCode.OUTBOUND_REFUSED, detail)


class Addresses:
    """Which addresses may be connected to: public ones, and the networks the operator allows."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._allowed: tuple[Network, ...] = tuple(ipaddress.ip_network(text) for text in allowed)

    def check_hopeful(self, target: Target) -> None:
        """Before anything is resolved: addresses in any spelling, this machine's own name, and HTTP where no network
        is allowed that could take it. What a name leads to changes and is looked at by each request. Raises
        `outbound_refused`.
        """
        if literal := _literal(target.host):
            self.check(target, [literal])
        elif not self._allowed and _is_here(target.host):
            raise _internal(target)
        elif not self._allowed and not target.tls:
            raise _unencrypted(target)

    def check(self, target: Target, found: Sequence[str]) -> None:
        """All of a name's addresses at once: one inside is reason enough. Raises `outbound_refused`."""
        for text in found:
            address = ipaddress.ip_address(text.partition("%")[0])
            trusted = any(address in network for network in self._allowed)
            if not trusted and is_internal(address):
                raise _internal(target)
            if not trusted and not target.tls:
                raise _unencrypted(target)


def _literal(host: str) -> str | None:
    """The address that `host` is to the system: `0x7f.1` and `2130706433` are ones."""
    try:
        rows = socket.getaddrinfo(host.partition("%")[0], None, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None
    return str(rows[0][4][0])


def _is_here(host: str) -> bool:
    """Names that mean this machine wherever they are asked for (RFC 6761, 6.3)."""
    return f".{host.rstrip('.').casefold()}".endswith(".localhost")


def is_internal(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        # `::` alone is below the table's first range.
        return int(address) == 0 or _in_table(address)
    return _in_table(address)


def _in_table(address: Address) -> bool:
    return any(
        first.version == address.version and int(first) <= int(address) <= int(last)
        for first, last in _INTERNAL
    )


def _internal(target: Target) -> FarsiteError:
    # Which address it was is not for those who may not look inside.
    detail = f"{target.host[:200]} is not on the public internet. The operator can allow its network: outbound_allowed."
    return FarsiteError(ErrorCode.OUTBOUND_REFUSED, detail)


def _unencrypted(target: Target) -> FarsiteError:
    detail = f"{target.host[:200]} is only reached with https:// from here."
    return FarsiteError(ErrorCode.OUTBOUND_REFUSED, detail)
