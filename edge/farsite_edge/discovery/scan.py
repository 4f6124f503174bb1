"""Probes many addresses at a bounded rate: which ports open, and whether a device is behind them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, suppress
from itertools import islice

import aiohttp

from farsite_edge.discovery import ssdp
from farsite_edge.discovery.found import FoundDevice
from farsite_edge.discovery.http_probe import TIMEOUT, ask
from farsite_edge.discovery.pace import Pace, turn
from farsite_edge.discovery.sweep import Place, Sweep
from farsite_edge.discovery.targets import Target, count
from farsite_edge.vapix.errors import Silent

PROBES = 64  # at the same time
RATE = 2000
CONNECTIONS = 3  # a probe opens about so many
# Whoever opened a port and said nothing in time is asked once more, when the others are done: it may have been busy, with
# other questions of ours too. Bounded, so that a network of hosts that never say anything does not hold up the scan.
LATE_TIMEOUT = 6.0
LATE_SECONDS = 15.0  # since the last one that was a device
LATE_LONGEST = 90.0
LATE_PROBES = 16


class Scan:
    """`await run()` once; it may be cancelled and taken up by another one from `position` on.

    `found` is called for every place where a device answered. `unicast` also sends a search by SSDP to every
    address, which finds devices with ports of their own.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        targets: Sequence[Target],
        ports: Sequence[int],
        found: Callable[[FoundDevice], None],
        *,
        rate: int = RATE,
        start: int = 0,
        unicast: bool = False,
        ssdp_port: int = ssdp.PORT,
    ) -> None:
        self._session = session
        self._targets = targets
        self._ports = ports
        self._found = found
        self._rate = rate
        self._start = start
        self._unicast = unicast
        self._ssdp_port = ssdp_port
        self._open: asyncio.Queue[tuple[int, Place] | None] = asyncio.Queue()
        self._unfinished: dict[int, None] = {}  # numbers, in their order
        self._begun = start
        self._asked: set[Place] = set()
        self._seen: set[str] = set()  # addresses of devices
        self._late: list[Place] = []
        self.done = start
        self.total = places_of(targets, ports)

    @property
    def position(self) -> int:
        """Everything before it is done."""
        return next(iter(self._unfinished), self._begun)

    async def run(self) -> None:
        pace = Pace(self._rate, asyncio.get_running_loop().time())
        sweep = Sweep(self._numbered(), pace, opened=self._opened, closed=self._closed, first=self._start)
        async with asyncio.TaskGroup() as tasks:
            if self._unicast:
                tasks.create_task(self._search(), name="scan-ssdp")
            async with asyncio.TaskGroup() as probes:
                for number in range(PROBES):
                    probes.create_task(self._identify(pace), name=f"scan-probe-{number}")
                await sweep.run()
                for _ in range(PROBES):
                    self._open.put_nowait(None)
            await self._ask_again(pace)

    def _numbered(self) -> Iterator[Place]:
        for number, place in enumerate(
            islice(places(self._targets, self._ports), self._start, None), self._start
        ):
            self._begun = number + 1
            self._unfinished[number] = None
            yield place

    def _opened(self, number: int, place: Place) -> None:
        self._open.put_nowait((number, place))

    def _closed(self, number: int) -> None:
        if number >= 0:
            self.done += 1
            self._unfinished.pop(number, None)

    async def _identify(self, pace: Pace) -> None:
        while (item := await self._open.get()) is not None:
            number, place = item
            if not await self._probe(pace, place):
                self._late.append(place)
            self._closed(number)

    async def _probe(self, pace: Pace, place: Place, timeout: float = TIMEOUT) -> bool:
        """False: nothing came in time."""
        if place in self._asked:
            return True
        self._asked.add(place)
        await turn(pace, CONNECTIONS)
        try:
            found = await ask(self._session, *place, timeout)
        except Silent:
            self._asked.discard(place)
            return False
        if found is not None:
            self._seen.add(place[0])
            self._found(found)
        return True

    async def _ask_again(self, pace: Pace) -> None:
        """Hosts of which nothing is known yet come first."""
        self._late.sort(key=lambda place: place[0] in self._seen)
        waiting = iter(self._late)
        with suppress(TimeoutError):
            async with (
                asyncio.timeout(LATE_LONGEST),
                asyncio.timeout(LATE_SECONDS) as brings,
                asyncio.TaskGroup() as tasks,
            ):
                for number in range(min(LATE_PROBES, len(self._late))):
                    tasks.create_task(self._ask_late(pace, waiting, brings), name=f"scan-late-{number}")

    async def _ask_late(self, pace: Pace, waiting: Iterator[Place], brings: asyncio.Timeout) -> None:
        for place in waiting:
            await self._probe(pace, place, LATE_TIMEOUT)
            if place[0] in self._seen:
                brings.reschedule(asyncio.get_running_loop().time() + LATE_SECONDS)

    async def _search(self) -> None:
        hosts = (str(address) for target in self._targets for address in target if ":" not in address)
        search = ssdp.search_hosts(self._session, hosts, rate=self._rate, port=self._ssdp_port)
        # An extra way: without it the ports named are probed all the same.
        with suppress(OSError):
            async with aclosing(search) as devices:
                async for found in devices:
                    self._found(found)


def places(targets: Sequence[Target], ports: Sequence[int]) -> Iterator[Place]:
    """In an order that stays the same, so that a scan can be taken up again."""
    for target in targets:
        for address in target:
            for port in (target.port,) if target.port else ports:
                yield address, port


def places_of(targets: Sequence[Target], ports: Sequence[int]) -> int:
    named = count(target for target in targets if target.port)
    return named + (count(targets) - named) * len(ports)
