"""SSDP (UPnP Device Architecture 1.1, 1.3): searches for the service of Axis devices and reads their descriptions."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing, suppress
from ipaddress import ip_address
from typing import Any, ClassVar

import aiohttp
from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException
from yarl import URL

from farsite_edge.discovery.background import drain
from farsite_edge.discovery.found import FoundDevice, Method
from farsite_edge.discovery.pace import Pace, turn
from farsite_edge.discovery.sending import open_senders
from farsite_edge.vapix.errors import bad_answer
from farsite_edge.vapix.request import KIB, Answer, ApiRequest
from farsite_edge.vapix.text import clean, serial_of
from farsite_edge.vapix.transport import exchange
from farsite_signaling.wire.errors import FarsiteError

GROUP = "239.255.255.250"
PORT = 1900
BASIC_SERVICE = "urn:axis-com:service:BasicService:1"
MAX_PACKET = 4096
MAX_ANSWERS = 4000
FETCHERS = 16
FETCH_SECONDS = 3.0
LINGER_SECONDS = 2.0
REPEAT_SECONDS = 1.0  # UDP may be lost: ask again


async def search(
    session: aiohttp.ClientSession, timeout: float, interfaces: Sequence[str], *, port: int = PORT
) -> AsyncGenerator[FoundDevice, None]:
    """Devices as they answer within `timeout` seconds. Raises `OSError` when no interface can search.

    `interfaces` are IPv4 addresses of this machine.
    """
    answers: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    results: asyncio.Queue[FoundDevice | None] = asyncio.Queue()
    transports = await open_senders(interfaces, Answers(answers))
    work = {f"ssdp-fetch-{number}": _fetch_all(session, answers, results) for number in range(FETCHERS)}
    work["ssdp-search"] = _ask(transports, port)
    try:
        async with aclosing(drain(results, work, asyncio.get_running_loop().time() + timeout)) as devices:
            async for found in devices:
                yield found
    finally:
        for transport in transports:
            transport.close()


async def search_hosts(
    session: aiohttp.ClientSession,
    hosts: Iterable[str],
    *,
    rate: int,
    port: int = PORT,
    linger: float = LINGER_SECONDS,
) -> AsyncGenerator[FoundDevice, None]:
    """Devices among `hosts` (IPv4 addresses) that answer a search sent to them alone, `rate` searches a second."""
    answers: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    results: asyncio.Queue[FoundDevice | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: Answers(answers),
        local_addr=("0.0.0.0", 0),  # noqa: S104
        family=socket.AF_INET,
    )
    work = {f"ssdp-fetch-{number}": _fetch_all(session, answers, results) for number in range(FETCHERS)}
    work["ssdp-search"] = _ask_hosts(transport, hosts, rate, port, linger, results)
    try:
        async with aclosing(drain(results, work)) as devices:
            async for found in devices:
                yield found
    finally:
        transport.close()


async def _ask_hosts(
    transport: asyncio.DatagramTransport,
    hosts: Iterable[str],
    rate: int,
    port: int,
    linger: float,
    results: asyncio.Queue[FoundDevice | None],
) -> None:
    pace = Pace(rate, asyncio.get_running_loop().time())
    for host in hosts:
        await turn(pace)
        with suppress(OSError):
            transport.sendto(search_packet(port, host), (host, port))
    await asyncio.sleep(linger)
    results.put_nowait(None)


class Answers(asyncio.DatagramProtocol):
    """Queues (answering host, LOCATION), each pair once."""

    def __init__(self, queue: asyncio.Queue[tuple[str, str]]) -> None:
        self._queue = queue
        self._seen: set[tuple[str, str]] = set()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        location = location_of(data)
        if location is None or (addr[0], location) in self._seen or len(self._seen) >= MAX_ANSWERS:
            return
        self._seen.add((addr[0], location))
        self._queue.put_nowait((addr[0], location))

    def error_received(self, exc: Exception) -> None:
        """ICMP errors of earlier packets: whoever sent them is no device."""


def location_of(packet: bytes) -> str | None:
    """`LOCATION` of the answer to a search, None for anything else."""
    lines = packet[:MAX_PACKET].decode("latin-1").split("\r\n")
    if not lines[0].startswith("HTTP/1.") or " 200 " not in lines[0] + " ":
        return None
    for line in lines[1:]:
        name, _, value = line.partition(":")
        if name.strip().upper() == "LOCATION":
            return value.strip() or None
    return None


def search_packet(port: int, host: str = GROUP) -> bytes:
    """To the group, or to one `host` (unicast search, 1.3.2)."""
    lines = [
        "M-SEARCH * HTTP/1.1",
        f"HOST: {host}:{port}",
        'MAN: "ssdp:discover"',
        "MX: 1",
        f"ST: {BASIC_SERVICE}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _ask(transports: list[asyncio.DatagramTransport], port: int) -> None:
    while True:
        for transport in transports:
            transport.sendto(search_packet(port), (GROUP, port))
        await asyncio.sleep(REPEAT_SECONDS)


async def _fetch_all(
    session: aiohttp.ClientSession,
    answers: asyncio.Queue[tuple[str, str]],
    results: asyncio.Queue[FoundDevice | None],
) -> None:
    while True:
        found = await fetch_description(session, *await answers.get())
        if found is not None:
            results.put_nowait(found)


async def fetch_description(session: aiohttp.ClientSession, host: str, location: str) -> FoundDevice | None:
    """Only from the host that answered: a LOCATION elsewhere would make this machine call whom a stranger names."""
    url = _location_url(host, location)
    if url is None:
        return None
    try:
        answer, _ = await exchange(session, url, _GetDescription(), timeout=FETCH_SECONDS)
        return parse_description(answer.body, host, url.port or 80) if answer.status == 200 else None
    except FarsiteError:
        return None


def _location_url(host: str, location: str) -> URL | None:
    try:
        url = URL(location)
        return (
            url
            if url.scheme == "http" and ip_address(url.host or "") == ip_address(host) and url.port
            else None
        )
    except ValueError:
        return None


class _GetDescription(ApiRequest[bytes]):
    method: ClassVar[str] = "GET"
    path = "/"
    limit = 64 * KIB

    def parse(self, answer: Answer) -> bytes:
        return answer.body


def parse_description(body: bytes, host: str, port: int) -> FoundDevice:
    """Raises `FarsiteError` (`device_answer`) when it does not describe a device with a serial number."""
    try:
        root: Any = ElementTree.fromstring(body, forbid_dtd=True)
    except (ElementTree.ParseError, DefusedXmlException, ValueError, LookupError):
        raise bad_answer("a UPnP description that is not XML") from None
    texts = {
        _local(element.tag): element.text
        for element in list(root.iter())[:500]
        if isinstance(element.tag, str)
    }
    serial = serial_of(texts.get("serialNumber"))
    if serial is None:
        raise bad_answer("a UPnP description without a serial number")
    friendly = clean(texts.get("friendlyName"))
    return FoundDevice(
        serial=serial,
        address=host,
        http_port=port,
        by=(Method.SSDP,),
        model=clean(texts.get("modelNumber")),
        product=clean(texts.get("modelName")),
        name=friendly.removesuffix(serial).rstrip(" -"),
        addresses=(host,),
    )


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
