"""Every way of finding devices at once, merged by serial number."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from ipaddress import ip_address

import aiohttp
import ifaddr

from farsite_edge.discovery import mdns, ssdp, ws_discovery
from farsite_edge.discovery.background import drain
from farsite_edge.discovery.found import DiscoveryReport, FoundDevice, Method
from farsite_edge.discovery.http_probe import probe
from farsite_edge.discovery.merge import merge
from farsite_edge.discovery.scan import PROBES, RATE, Scan
from farsite_edge.discovery.targets import Target, parse_targets
from farsite_edge.vapix.text import clean
from farsite_edge.vapix.transport import check_port

DEFAULT_PORTS = (80, 443)
MAX_FOUND = 10_000
Place = tuple[str, int]


async def discover(
    *,
    multicast: bool = True,
    targets: Sequence[str] = (),
    ports: Sequence[int] = (),
    timeout: float = 3.0,
    interfaces: Sequence[str] = (),
    report: DiscoveryReport | None = None,
    ssdp_port: int = ssdp.PORT,
    ws_port: int = ws_discovery.PORT,
    rate: int = RATE,
) -> AsyncGenerator[FoundDevice, None]:
    """Devices as they are found, again whenever more is learnt of one (the newest replaces the older).

    `multicast`: listen by mDNS, SSDP and WS-Discovery for `timeout` seconds on `interfaces` (addresses of this
    machine; none means all but loopback). `targets`: addresses, ranges and subnets to probe by HTTP on `ports` (80
    and 443 when empty), `rate` connections a second at most; probing goes on until all were tried. A device that
    announced itself is asked over HTTP for its model and version too. A method that fails is noted in `report`, the
    others go on. Leaving early: iterate inside `contextlib.aclosing`. Anyone may announce anything: only what has
    `Method.HTTP` in `by` was confirmed there.

    Raises `FarsiteError` (`invalid_request`) at the first step for targets or ports that make no sense.
    """
    places = parse_targets(targets)
    chosen = tuple(dict.fromkeys(check_port(port) for port in ports)) or DEFAULT_PORTS
    connector = aiohttp.TCPConnector(limit=PROBES, limit_per_host=8, force_close=True)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        run = _Run(session, interfaces, report or DiscoveryReport(), timeout, (ssdp_port, ws_port), rate)
        async with aclosing(
            drain(run.changed, {"discovery": run.work(multicast, places, chosen)})
        ) as devices:
            async for found in devices:
                yield found


class _Run:
    """One discovery. Methods report sightings; those by multicast are followed by a probe."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        interfaces: Sequence[str],
        report: DiscoveryReport,
        timeout: float,
        search_ports: tuple[int, int],
        rate: int,
    ) -> None:
        self._session = session
        self._interfaces = list(interfaces)
        self._report = report
        self._timeout = timeout
        self._ssdp_port, self._ws_port = search_ports
        self._rate = rate
        self._free = asyncio.Semaphore(PROBES)
        self._known: dict[str, FoundDevice] = {}
        self._asked: dict[Place, asyncio.Event] = {}
        self._at: dict[Place, str] = {}
        self.changed: asyncio.Queue[FoundDevice | None] = asyncio.Queue()

    async def work(self, multicast: bool, targets: list[Target], ports: Sequence[int]) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                if multicast:
                    tasks.create_task(self._guarded("mDNS", self._mdns), name="discovery-mdns")
                    tasks.create_task(self._guarded("SSDP", self._ssdp), name="discovery-ssdp")
                    tasks.create_task(self._guarded("WS-Discovery", self._ws), name="discovery-ws")
                await self._guarded("HTTP", lambda: self._probe_all(targets, ports))
        finally:
            self.changed.put_nowait(None)

    async def _guarded(self, name: str, method: Callable[[], Awaitable[None]]) -> None:
        """One method that fails must not end the others, whatever it failed of."""
        try:
            await method()
        except Exception as error:
            self._report.problem(f"{name} did not work ({_reason(error)}); the other ways were used.")

    async def _mdns(self) -> None:
        browse = mdns.browse(self._timeout, self._interfaces)
        async with asyncio.TaskGroup() as tasks, aclosing(browse) as devices:
            async for found in devices:
                self._announced(found, tasks)

    async def _ssdp(self) -> None:
        search = ssdp.search(self._session, self._timeout, self._senders(), port=self._ssdp_port)
        async with asyncio.TaskGroup() as tasks, aclosing(search) as devices:
            async for found in devices:
                self._announced(found, tasks)

    async def _ws(self) -> None:
        search = ws_discovery.search(self._timeout, self._senders(), port=self._ws_port)
        async with asyncio.TaskGroup() as tasks, aclosing(search) as sightings:
            async for seen in sightings:
                if self._may_be_asked(seen.address):
                    tasks.create_task(self._confirm(seen), name="discovery-identify")

    async def _confirm(self, seen: ws_discovery.Sighting) -> None:
        """It names a place only: who is there is heard over HTTP, which may have been asked already."""
        place = (seen.address, seen.port)
        await self._probe(*place)
        serial = self._at.get(place)
        if serial is not None:
            known = self._known[serial]
            name = known.name or seen.name
            self._saw(replace(known, by=(Method.WS_DISCOVERY,), name=name))

    def _senders(self) -> list[str]:
        return [address for address in self._interfaces if ":" not in address] or own_addresses()

    def _announced(self, found: FoundDevice, tasks: asyncio.TaskGroup) -> None:
        if not self._may_be_asked(found.address):
            return
        self._saw(found)
        ports = {found.http_port, found.https_port, *(DEFAULT_PORTS if found.http_port == 80 else ())}
        for port in ports:
            if port is not None:
                tasks.create_task(self._probe(found.address, port, found.serial), name="discovery-identify")

    def _may_be_asked(self, address: str) -> bool:
        """Announcements may name any address. This machine's own is not a device, except when told to look there."""
        local = any(ip_address(own).is_loopback for own in self._interfaces)
        return local or not ip_address(address.partition("%")[0]).is_loopback

    async def _probe_all(self, targets: list[Target], ports: Sequence[int]) -> None:
        if not targets:
            return
        scan = Scan(self._session, targets, ports, self._saw, rate=self._rate)
        try:
            await scan.run()
        finally:
            self._report.probed += scan.done

    async def _probe(self, address: str, port: int, expected: str | None = None) -> None:
        """Each place is asked once; who comes second waits for the first."""
        place = (address, port)
        if place in self._asked:
            await self._asked[place].wait()
            return
        answered = self._asked[place] = asyncio.Event()
        try:
            async with self._free:
                found = await probe(self._session, address, port)
        finally:
            answered.set()
        if found is not None and expected in (None, found.serial):
            self._at[place] = found.serial
            self._saw(found)

    def _saw(self, found: FoundDevice) -> None:
        known = self._known.get(found.serial)
        if known is None and len(self._known) >= MAX_FOUND:
            self._report.problem(f"More than {MAX_FOUND:,} devices answered; the others were left out.")
            return
        merged = merge(known, found)
        if merged != known:
            self._known[found.serial] = merged
            self.changed.put_nowait(merged)


def _reason(error: Exception) -> str:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return getattr(error, "strerror", None) or clean(str(error)) or type(error).__name__


def own_addresses() -> list[str]:
    """IPv4 addresses of this machine but loopback."""
    found = [str(ip.ip) for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4]
    return [address for address in found if not ip_address(address).is_loopback]
