"""Addresses, ranges and subnets an administrator names, as single addresses; free of I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from farsite_edge.vapix.text import clean
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

MAX_ADDRESSES = 25_600  # a hundred subnets of 256
_BROADCAST = IPv4Address("255.255.255.255")
_Address = IPv4Address | IPv6Address


@dataclass(frozen=True)
class Target:
    """Consecutive addresses; `port` when one was named with the address."""

    first: _Address
    count: int
    port: int | None = None

    @property
    def text(self) -> str:
        """A form `parse_target` reads."""
        if self.count > 1:
            return f"{self.first}-{self.first + (self.count - 1)}"
        host = f"[{self.first}]" if self.port and self.first.version == 6 else str(self.first)
        return f"{host}:{self.port}" if self.port else host

    def __iter__(self) -> Iterator[str]:
        return (str(self.first + offset) if offset else str(self.first) for offset in range(self.count))


def parse_targets(texts: Sequence[str]) -> list[Target]:
    """Forms: `10.0.0.5`, `10.0.0.5:8080`, `[fd00::5]:8080`, `10.0.0.1-10.0.0.9`, `10.0.0.1-9`, `10.0.0.0/24`.
    What overlaps is named once.

    Raises `FarsiteError` (`invalid_request`) naming the text that is wrong, or the limit on their sum.
    """
    return check_sum(merged(parse_target(text) for text in texts))


def check_sum(targets: list[Target]) -> list[Target]:
    """Raises `invalid_request` when they are too many together."""
    total = count(targets)
    if total > MAX_ADDRESSES:
        raise _invalid(
            f"The targets hold {total:,} addresses; at most {MAX_ADDRESSES:,} are probed at once. "
            "Name smaller ranges, or discover them one after the other."
        )
    return targets


def count(targets: Iterable[Target]) -> int:
    return sum(target.count for target in targets)


def merged(targets: Iterable[Target]) -> list[Target]:
    """Without what is named twice: overlapping and adjacent ranges with the same port become one."""
    joined: list[Target] = []
    for target in sorted(targets, key=_order):
        last = joined[-1] if joined else None
        if last is not None and _touches(last, target):
            end = max(int(last.first) + last.count, int(target.first) + target.count)
            joined[-1] = Target(last.first, end - int(last.first), last.port)
        else:
            joined.append(target)
    return joined


def _order(target: Target) -> tuple[int, int, int]:
    return target.first.version, target.port or 0, int(target.first)


def _touches(last: Target, following: Target) -> bool:
    same = (last.first.version, last.port) == (following.first.version, following.port)
    return same and int(following.first) <= int(last.first) + last.count


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
    target = _bounded(Target(first, count), text)
    _usable(last, text)
    _usable(first, text)
    return target


def _subnet(text: str) -> Target:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise _not_a_target(text) from None
    # The first and last address of an IPv4 subnet are no hosts, the first of an IPv6 one is the routers'.
    outer = network.num_addresses > 2
    count = network.num_addresses - (2 if outer and network.version == 4 else 1 if outer else 0)
    target = _bounded(Target(network.network_address + (1 if outer else 0), count), text)
    _usable(network.network_address, text)
    return target


def _bounded(target: Target, text: str) -> Target:
    if target.count > MAX_ADDRESSES:
        raise _invalid(
            f"{clean(text, 60)!r} holds {target.count:,} addresses; at most {MAX_ADDRESSES:,} are probed at once. "
            "Name a smaller range."
        )
    return target


def _usable(address: _Address, text: str) -> _Address:
    if address.is_multicast or address.is_unspecified or address == _BROADCAST:
        raise _invalid(
            f"{clean(text, 60)!r} holds no addresses of devices (multicast, broadcast or unspecified)."
        )
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
