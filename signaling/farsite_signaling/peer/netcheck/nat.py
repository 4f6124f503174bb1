"""UDP out, addresses of both families, and the kind of NAT in between."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable

from farsite_signaling.peer.addresses import Address
from farsite_signaling.peer.netcheck.names import Names
from farsite_signaling.peer.netcheck.stunping import Mapping, mappings
from farsite_signaling.peer.netcheck.target import PROBE_SECONDS, Target
from farsite_signaling.peer.servers import StunServer, TurnServer
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.netcheck import CheckRow, passed, warned

MAX_SERVERS = 8
GUESS_SECONDS = 1.0
# Anywhere in the internet (RFC 5737, RFC 3849).
_FAR = {4: "192.0.2.1", 6: "2001:db8::1"}
ANY = {4: "0.0.0.0", 6: "::"}  # noqa: S104 - an outgoing socket
UDP_FIX = (
    "Let UDP out to the relay (see the allow list); until then tunnels go over TCP or TLS, which is slower on bad "
    "links."
)


def source_address(version: int, far: str | None = None) -> str | None:
    """The address of this machine that leads there; `None` without a route. Connecting UDP sends nothing."""
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((far or _FAR[version], 9))
            return str(probe.getsockname()[0])
    except OSError:
        return None


async def udp_rows(
    target: Target, servers: Iterable[StunServer | TurnServer], names: Names, *, guessed: bool = False
) -> list[CheckRow]:
    """Rows `UDP`, `NAT`, `IPv4` and `IPv6`.

    Every port of every relay is asked: two that answer tell the NAT's kind. `guessed`: nobody said that there is a
    server, so that silence means nothing.
    """
    asked = await _addresses(servers, names)
    seconds = GUESS_SECONDS if guessed else PROBE_SECONDS - 0.5
    answers = await asyncio.gather(*(_ask(target, asked[version], version, seconds) for version in (4, 6)))
    found = dict(zip((4, 6), answers, strict=True))
    return [
        _udp_row(target, asked, [*found[4], *found[6]], guessed=guessed),
        nat_row(found[4], _source(4, found[4])),
        _family_row(4, found[4]),
        _family_row(6, found[6]),
    ]


async def _addresses(servers: Iterable[StunServer | TurnServer], names: Names) -> dict[int, list[Address]]:
    asked: dict[int, list[Address]] = {4: [], 6: []}
    for server in servers:
        for address in await names.addresses(server.host):
            place = (address, server.port)
            of_family = asked[ipaddress.ip_address(address.partition("%")[0]).version]
            if place not in of_family and len(of_family) < MAX_SERVERS:
                of_family.append(place)
    return asked


async def _ask(target: Target, servers: list[Address], version: int, seconds: float) -> list[Mapping]:
    if not servers:
        return []
    try:
        return await mappings(servers, ANY[version], target.ports, seconds)
    except (OSError, FarsiteError):
        return []


def _udp_row(
    target: Target, asked: dict[int, list[Address]], found: list[Mapping], *, guessed: bool
) -> CheckRow:
    if found:
        best = min(found, key=lambda one: one.took)
        return passed("UDP", f"answered by {_text(best.server)}", best.took)
    if not (asked[4] or asked[6]):
        return warned("UDP", "not checked: no STUN or TURN server is known", target.no_relays)
    if guessed:
        return warned("UDP", "unknown: no relay answers beside the cloud", target.no_relays)
    places = ", ".join(_text(place) for place in [*asked[4], *asked[6]])
    return warned("UDP", f"blocked: no answer from {places}", UDP_FIX)


def nat_row(found: list[Mapping], source: str | None) -> CheckRow:
    """RFC 5780's mapping behaviour, as far as what answered tells it."""
    if not found:
        return warned("NAT", "unknown: no answer over UDP")
    seen = {one.seen for one in found}
    public = ", ".join(sorted({address for address, _ in seen}))
    if all(address == source for address, _ in seen):
        return passed("NAT", f"none: seen as this machine's own address {public}")
    if len(found) < 2:
        return warned("NAT", f"unknown kind: seen as {public} by one server only, two are needed to tell")
    if len(seen) > 1:
        return warned(
            "NAT",
            f"hard (symmetric): a new mapping for every destination, seen as {public}",
            "Direct paths open only to sites without such a NAT; others are relayed. Where the router can, choose "
            "endpoint-independent mapping (often called full cone, or static port).",
        )
    return passed(
        "NAT", f"easy: the same mapping for {_breadth(found)}, seen as {public}; direct paths can open"
    )


def _breadth(found: list[Mapping]) -> str:
    addresses = len({one.server[0] for one in found})
    return f"{addresses} servers" if addresses > 1 else f"{len(found)} ports of one server"


def _source(version: int, found: list[Mapping]) -> str | None:
    return source_address(version, found[0].server[0] if found else None)


def _family_row(version: int, found: list[Mapping]) -> CheckRow:
    name, source = f"IPv{version}", _source(version, found)
    public = ", ".join(sorted({one.seen[0] for one in found}))
    if source is None:
        if version == 6:
            return passed(name, "no route; not needed")
        return warned(
            name, "no route: only IPv6 can be used", "Check the network cable, Wi-Fi and address settings."
        )
    return passed(name, f"{source}, seen outside as {public}" if public else f"{source}, a route exists")


def _text(place: Address) -> str:
    host, port = place
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
