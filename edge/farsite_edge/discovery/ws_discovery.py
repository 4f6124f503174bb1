"""WS-Discovery (OASIS, April 2005) as ONVIF devices speak it: asks who is there and where.

An answer names places, not a serial number: what is there is asked over HTTP afterwards.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote
from xml.sax.saxutils import escape

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException
from yarl import URL

from farsite_edge.discovery.background import drain
from farsite_edge.discovery.sending import open_senders
from farsite_edge.vapix.text import clean

GROUP = "239.255.255.250"
PORT = 3702
MAX_PACKET = 16 * 1024
MAX_ANSWERS = 4000
MAX_MATCHES = 20  # in one packet
REPEAT_SECONDS = 1.0  # UDP may be lost: ask again
# Cameras are transmitters; speakers and radars are devices (ONVIF Core 7.3.3.1).
TYPES = ("dn:NetworkVideoTransmitter", "tds:Device")
_ACTION = "http://schemas.xmlsoap.org/ws/2005/04/discovery/"
_NAMESPACES = (
    'xmlns:e="http://www.w3.org/2003/05/soap-envelope" '
    'xmlns:w="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
    'xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery" '
    'xmlns:dn="http://www.onvif.org/ver10/network/wsdl" '
    'xmlns:tds="http://www.onvif.org/ver10/device/wsdl"'
)


@dataclass(frozen=True)
class Sighting:
    """A place where an ONVIF device says it is. `name` and `hardware` are its own words, cleaned."""

    address: str
    port: int
    secure: bool = False
    name: str = ""
    hardware: str = ""


@dataclass(frozen=True)
class Match:
    """One device of an answer. Without `places` it wants to be asked for them (Resolve)."""

    endpoint: str
    places: tuple[str, ...] = ()
    name: str = ""
    hardware: str = ""


async def search(
    timeout: float, interfaces: Sequence[str], *, port: int = PORT
) -> AsyncGenerator[Sighting, None]:
    """Places as they are told within `timeout` seconds. Raises `OSError` when no interface can search.

    `interfaces` are IPv4 addresses of this machine.
    """
    results: asyncio.Queue[Sighting | None] = asyncio.Queue()
    conversation = _Conversation(results, port)
    conversation.transports = await open_senders(interfaces, conversation)
    try:
        end = asyncio.get_running_loop().time() + timeout
        async with aclosing(drain(results, {"ws-discovery-probe": conversation.ask()}, end)) as sightings:
            async for sighting in sightings:
                yield sighting
    finally:
        for transport in conversation.transports:
            transport.close()


class _Conversation(asyncio.DatagramProtocol):
    """Every place is told once."""

    def __init__(self, results: asyncio.Queue[Sighting | None], port: int) -> None:
        self._results = results
        self._port = port
        self._asked: set[str] = set()  # message ids of ours
        self._resolved: set[tuple[str, str]] = set()
        self._told: set[tuple[str, int]] = set()
        self.transports: list[asyncio.DatagramTransport] = []

    async def ask(self) -> None:
        while True:
            for types in TYPES:
                self._send(partial(probe, types), GROUP)
            await asyncio.sleep(REPEAT_SECONDS)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        for match in matches(data, self._asked):
            if not match.places:
                self._resolve(match.endpoint, addr[0])
            for sighting in sightings(match, addr[0]):
                self._tell(sighting)

    def error_received(self, exc: Exception) -> None:
        """ICMP errors of earlier packets: whoever sent them is no device."""

    def _tell(self, sighting: Sighting) -> None:
        place = (sighting.address, sighting.port)
        if place not in self._told and len(self._told) < MAX_ANSWERS:
            self._told.add(place)
            self._results.put_nowait(sighting)

    def _resolve(self, endpoint: str, host: str) -> None:
        """Of the host that answered, once."""
        if (endpoint, host) not in self._resolved and len(self._resolved) < MAX_ANSWERS:
            self._resolved.add((endpoint, host))
            self._send(partial(resolve, endpoint), host)

    def _send(self, packet: Callable[[str], bytes], host: str) -> None:
        message = f"uuid:{uuid.uuid4()}"
        self._asked.add(message)
        for transport in self.transports:
            transport.sendto(packet(message), (host, self._port))


def probe(types: str, message: str) -> bytes:
    return _envelope(message, "Probe", f"<d:Probe><d:Types>{types}</d:Types></d:Probe>")


def resolve(endpoint: str, message: str) -> bytes:
    address = f"<w:EndpointReference><w:Address>{escape(endpoint)}</w:Address></w:EndpointReference>"
    return _envelope(message, "Resolve", f"<d:Resolve>{address}</d:Resolve>")


def _envelope(message: str, action: str, body: str) -> bytes:
    return (
        f'<?xml version="1.0" encoding="utf-8"?><e:Envelope {_NAMESPACES}><e:Header>'
        f"<w:MessageID>{message}</w:MessageID>"
        '<w:To e:mustUnderstand="true">urn:schemas-xmlsoap-org:ws:2005:04:discovery</w:To>'
        f'<w:Action e:mustUnderstand="true">{_ACTION}{action}</w:Action>'
        f"</e:Header><e:Body>{body}</e:Body></e:Envelope>"
    ).encode()


def matches(packet: bytes, asked: set[str]) -> list[Match]:
    """Of a ProbeMatches or ResolveMatches that answers one of our messages; nothing of any other packet."""
    if len(packet) > MAX_PACKET:
        return []
    try:
        root: Any = ElementTree.fromstring(packet, forbid_dtd=True)
    except (ElementTree.ParseError, DefusedXmlException, ValueError, LookupError):
        return []
    elements = [element for element in root.iter() if isinstance(element.tag, str)]
    related = [(element.text or "").strip() for element in elements if _local(element.tag) == "RelatesTo"]
    if len(related) != 1 or related[0] not in asked:
        return []
    found = [element for element in elements if _local(element.tag) in ("ProbeMatch", "ResolveMatch")]
    return [_match(element) for element in found[:MAX_MATCHES]]


def _match(element: Any) -> Match:
    texts: dict[str, str] = {}
    for child in element.iter():
        if isinstance(child.tag, str) and child.text:
            texts.setdefault(_local(child.tag), child.text.strip())
    scopes = dict(_scopes(texts.get("Scopes", "")))
    return Match(
        endpoint=texts.get("Address", "")[:200],
        places=tuple(texts.get("XAddrs", "").split()[:16]),
        name=clean(unquote(scopes.get("name", ""))),
        hardware=clean(unquote(scopes.get("hardware", ""))),
    )


def _scopes(text: str) -> Iterator[tuple[str, str]]:
    prefix = "onvif://www.onvif.org/"
    for scope in text[:8192].split():
        if scope.lower().startswith(prefix):
            kind, _, value = scope[len(prefix) :].partition("/")
            yield kind.lower(), value


def sightings(match: Match, host: str) -> Iterator[Sighting]:
    """Only at the host that answered: a place elsewhere would make this machine call whom a stranger names."""
    for place in match.places:
        try:
            url = URL(place)
            usable = url.scheme in ("http", "https") and ip_address(url.host or "") == ip_address(host)
            if usable and url.port:
                yield Sighting(host, url.port, url.scheme == "https", match.name, match.hardware)
        except ValueError:
            continue


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
