"""Addresses, ranges and subnets an administrator names, as single addresses; free of I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from farsite_edge.vapix.text import clean
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

MAX_ADDRESSES = 4096  # a /20: a minute or two of probing
_Address = IPv4Address | IPv6Address


@dataclass(frozen=True)
class Target:
    """Consecutive addresses; `port` when one was named with the address."""

    first: _Address
    count: int
    port: int | None = None

    def __iter__(self) -> Iterator[str]:
        return (str(self.first + offset) for offset in range(self.count))


def parse_targets(texts: Sequence[str]) -> list[Target]:
    """Forms: `10.0.0.5`, `10.0.0.5:8080`, `[fd00::5]:8080`, `10.0.0.1-10.0.0.9`, `10.0.0.1-9`, `10.0.0.0/24`.

    Raises `FarsiteError` (`invalid_request`) naming the text that is wrong, or the limit on their sum.
    """
    targets = [parse_target(text) for text in texts]
    total = sum(target.count for target in targets)
    if total > MAX_ADDRESSES:
        raise _invalid(
            f"The targets hold {total:,} addresses; at most {MAX_ADDRESSES:,} are probed at once. "
            "Name smaller ranges, or discover them one after the other."
        )
    return targets


def parse_target(text: str) -> Target:
    text = text.strip()
    if "/" in text:
        return _subnet(text)
    if "-" in text:
        return _range(text)
    return _single(text)


def _single(text: str) -> Target:
    parsed = _address(text)
    if parsed is not None:
        return Target(_usable(parsed, text), 1)
    host, colon, port = text.rpartition(":")
    parsed = _address(host.removeprefix("[").removesuffix("]")) if colon else None
    if parsed is None or (parsed.version == 6) != host.startswith("["):
        raise _not_a_target(text)
    if not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65535):
        raise _invalid(f"{clean(text, 60)!r}: a port is 1 to 65535.")
    return Target(_usable(parsed, text), 1, int(port))


def _range(text: str) -> Target:
    left, _, right = (part.strip() for part in text.partition("-"))
    first, last = _address(left), _address(right)
    if first is not None and last is None and right.isascii() and right.isdigit() and first.version == 4:
        last = _address(f"{left.rpartition('.')[0]}.{right}")
    if first is None or last is None or first.version != last.version:
        raise _not_a_target(text)
    count = int(last) - int(first) + 1
    if count < 1:
        raise _invalid(f"{clean(text, 60)!r}: the first address of a range is the lower one.")
    _usable(last, text)
    return _bounded(Target(_usable(first, text), count), text)


def _subnet(text: str) -> Target:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise _not_a_target(text) from None
    _usable(network.network_address, text)
    # The first and last address of an IPv4 subnet are no hosts, the first of an IPv6 one is the routers'.
    outer = network.num_addresses > 2
    count = network.num_addresses - (2 if outer and network.version == 4 else 1 if outer else 0)
    return _bounded(Target(network.network_address + (1 if outer else 0), count), text)


def _bounded(target: Target, text: str) -> Target:
    if target.count > MAX_ADDRESSES:
        raise _invalid(
            f"{clean(text, 60)!r} holds {target.count:,} addresses; at most {MAX_ADDRESSES:,} are probed at once. "
            "Name a smaller range."
        )
    return target


def _usable(address: _Address, text: str) -> _Address:
    if address.is_multicast or address.is_unspecified:
        raise _invalid(f"{clean(text, 60)!r} holds no addresses of devices (multicast or unspecified).")
    return address


def _address(text: str) -> _Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _not_a_target(text: str) -> FarsiteError:
    return _invalid(
        f"{clean(text, 60)!r} is not an address (10.0.0.5), a range (10.0.0.1-10.0.0.9) or a subnet (10.0.0.0/24)."
    )


def _invalid(detail: str) -> FarsiteError:
    return FarsiteError(ErrorCode.INVALID_REQUEST, detail)
