"""Several sightings of one device become one; free of I/O."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from farsite_edge.discovery.found import FoundDevice, Method

MAX_ADDRESSES = 16
_ORDER = tuple(Method)


def merge(known: FoundDevice | None, seen: FoundDevice) -> FoundDevice:
    """`known` with what `seen` adds. The newer sighting wins where both tell, but a link-local address never
    replaces another kind, and what a device says of itself over HTTP is replaced neither by an announcement nor by
    what somebody with its serial number says at another address."""
    addresses = _addresses(known, seen)
    address = _preferred(known.address if known else seen.address, seen.address)
    if known is None:
        return replace(seen, address=address, addresses=addresses)
    moved = seen.address == address and known.address != address
    by = tuple(method for method in _ORDER if method in known.by or method in seen.by)
    asked, was_asked = Method.HTTP in seen.by, Method.HTTP in known.by
    if asked and was_asked and seen.address != address:
        return replace(known, by=by, addresses=addresses)
    older, newer = (known, seen) if asked or not was_asked else (seen, known)
    return FoundDevice(
        serial=known.serial,
        address=address,
        http_port=_port(known.http_port, seen.http_port, moved=moved),
        https_port=_port(known.https_port, seen.https_port, moved=moved),
        by=by,
        model=newer.model or older.model,
        product=newer.product or older.product,
        device_type=newer.device_type or older.device_type,
        version=newer.version or older.version,
        setup_required=seen.setup_required if asked else known.setup_required,
        name=seen.name or known.name,
        brand=newer.brand or older.brand,
        addresses=addresses,
    )


def _port(known: int | None, seen: int | None, *, moved: bool) -> int | None:
    """Ports belong to an address: those of an address given up are forgotten."""
    return seen if moved or seen is not None else known


def _addresses(known: FoundDevice | None, seen: FoundDevice) -> tuple[str, ...]:
    given = [*(known.addresses if known else ()), *seen.addresses, seen.address]
    unique = list(dict.fromkeys(given))[:MAX_ADDRESSES]
    routable = [address for address in unique if _rank(address) > 0]
    return tuple(routable or unique)


def _preferred(known: str, seen: str) -> str:
    return seen if _rank(seen) > _rank(known) else known


def _rank(address: str) -> int:
    """IPv4 before IPv6, as every device has it; link-local last."""
    parsed = ip_address(address)
    if parsed.is_link_local:
        return 0
    return 2 if parsed.version == 4 else 1


def best_address(addresses: list[str]) -> str | None:
    return max(addresses, key=_rank, default=None)
