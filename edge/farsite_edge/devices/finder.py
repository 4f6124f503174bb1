"""Runs discoveries: on request, at start and every few minutes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import dataclass, field

from farsite_edge.devices.addresses import AddressRule
from farsite_edge.devices.gateway import Gateway
from farsite_edge.devices.record import DeviceRecord, Found
from farsite_edge.devices.registry import Registry
from farsite_edge.discovery.found import DiscoveryReport
from farsite_edge.settings import EdgeSettings
from farsite_signaling.wire.edge_api import DiscoverRequest
from farsite_signaling.wire.errors import FarsiteError

MAX_ANSWERS = 30_000


@dataclass(frozen=True)
class Finding:
    devices: list[DeviceRecord]
    seconds: float
    probed: int = 0
    problems: list[str] = field(default_factory=list)


class Finder:
    """One discovery at a time; a second request waits for its turn."""

    def __init__(
        self, registry: Registry, gateway: Gateway, rule: AddressRule, settings: EdgeSettings
    ) -> None:
        self._registry = registry
        self._gateway = gateway
        self._rule = rule
        self._settings = settings
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        settings = self._settings
        while True:
            await self.find(
                DiscoverRequest(
                    multicast=settings.discovery_multicast,
                    targets=settings.discovery_targets,
                    ports=settings.discovery_ports,
                    timeout=settings.discovery_timeout,
                )
            )
            await asyncio.sleep(settings.discovery_interval)

    async def find(self, request: DiscoverRequest) -> Finding:
        """Raises `invalid_request` for targets that are no addresses, ranges or subnets."""
        async with self._turn:
            begun = time.monotonic()
            report = DiscoveryReport()
            records = await self._registry.found(await self._collect(request, report))
            return Finding(records, time.monotonic() - begun, report.probed, report.problems)

    async def accept(self, answers: Iterable[Found], report: DiscoveryReport) -> set[str]:
        """Keep answers that came another way; the serial numbers of the devices they are of."""
        usable = [answer for answer in answers if self._usable(answer, report)]
        if not usable:
            return set()
        return {record.id for record in await self._registry.found(usable)}

    async def _collect(self, request: DiscoverRequest, report: DiscoveryReport) -> list[Found]:
        answers: list[Found] = []
        discovery = self._gateway.discover(
            multicast=request.multicast,
            targets=request.targets,
            ports=request.ports or self._settings.discovery_ports,
            timeout=request.timeout,
            interfaces=self._settings.discovery_interfaces,
            report=report,
            rate=self._settings.discovery_rate,
        )
        async with aclosing(discovery):
            async for answer in discovery:
                if self._usable(answer, report):
                    answers.append(answer)
                if len(answers) >= MAX_ANSWERS:
                    report.problem(f"More than {MAX_ANSWERS} answers; the rest is left out.")
                    break
        return answers

    def _usable(self, answer: Found, report: DiscoveryReport) -> bool:
        try:
            self._rule.check(answer.address, answer.http_port or answer.https_port or 0)
        except FarsiteError as error:
            report.problem(error.detail)
            return False
        return True
