"""Addresses a relay never forwards to.

A TURN server sits inside a network its users cannot reach; what it may send to is a security border. coturn
compares an IPv6 peer with IPv6 lines only, so `::ffff:127.0.0.1` passes a list that names 127.0.0.0/8 alone
(CVE-2026-27624, unfixed in Debian's 4.6.1). IPv6 is therefore denied by what it is not: only global unicast
(2000::/3, RFC 4291 2.4) is open, less the blocks inside it that carry or may reach IPv4 and test addresses.

Private peers are refused for reliability too: an unroutable one makes coturn 4.6.1 drop the whole allocation
when it fails to send, while a refused one only fails that candidate.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class DeniedRange:
    """First and last address, inclusive, and why nothing in between is a peer."""

    first: str
    last: str
    why: str

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


def _block(cidr: str, why: str) -> DeniedRange:
    network = ipaddress.ip_network(cidr)
    return DeniedRange(str(network[0]), str(network[-1]), why)


DENIED_IPV4 = (
    _block("0.0.0.0/8", "this host (RFC 791)"),
    _block("10.0.0.0/8", "private (RFC 1918)"),
    _block("100.64.0.0/10", "carrier-grade NAT (RFC 6598)"),
    _block("127.0.0.0/8", "loopback"),
    _block("169.254.0.0/16", "link-local, cloud metadata"),
    _block("172.16.0.0/12", "private (RFC 1918)"),
    _block("192.0.0.0/24", "protocol assignments (RFC 6890)"),
    _block("192.0.2.0/24", "documentation"),
    _block("192.88.99.0/24", "6to4 relays, deprecated (RFC 7526)"),
    _block("192.168.0.0/16", "private (RFC 1918)"),
    _block("198.18.0.0/15", "benchmarks (RFC 2544)"),
    _block("198.51.100.0/24", "documentation"),
    _block("203.0.113.0/24", "documentation"),
    _block("224.0.0.0/4", "multicast"),
    _block("240.0.0.0/4", "reserved, broadcast"),
)


def _below_global_unicast() -> Iterator[DeniedRange]:
    """`::1` to 1fff:…:ffff, in a form that every coturn compares right.

    4.6.1 has two traps here. It reads `::` as "no lower end", in both families, so that every IPv4 peer would
    be refused. And it compares byte by byte, not as a number: a range from `::1` misses every address that
    ends in a zero byte, such as ::ffff:10.0.0.0. One range for each byte that may be the nonzero one has no
    gap either way; `::` alone remains, which coturn takes for no address.
    """
    for byte in range(16):
        first = ipaddress.IPv6Address(1 << 8 * byte)
        yield DeniedRange(str(first), "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", _BELOW)


_BELOW = (
    "loopback, IPv4-compatible, IPv4-mapped (::ffff:0:0/96), NAT64 (64:ff9b::/96, 64:ff9b:1::/48), unassigned"
)

DENIED_IPV6 = (
    *_below_global_unicast(),
    _block("2001::/23", "protocol assignments: Teredo, benchmarks, ORCHID (RFC 2928)"),
    _block("2001:db8::/32", "documentation"),
    _block("2002::/16", "6to4: carries any IPv4 address (RFC 3056)"),
    _block("3fff::/20", "documentation (RFC 9637)"),
    DeniedRange(
        "4000::",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "unassigned, unique local (fc00::/7), link-local (fe80::/10), multicast",
    ),
)


def denied() -> Iterator[DeniedRange]:
    yield from DENIED_IPV4
    yield from DENIED_IPV6


def parse_range(text: str) -> str:
    """coturn's form of an address, a CIDR block or `first-last`. Raises `ValueError`."""
    first, dash, last = text.partition("-")
    if dash:
        low, high = ipaddress.ip_address(first.strip()), ipaddress.ip_address(last.strip())
        if low.version != high.version or int(low) > int(high):
            raise ValueError(f"{text!r} is not a range of addresses")
        return f"{low}-{high}"
    network = ipaddress.ip_network(text.strip(), strict=True)
    return str(network[0]) if network.num_addresses == 1 else f"{network[0]}-{network[-1]}"
