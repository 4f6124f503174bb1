"""Scans as tasks: progress, cancelling, going on after a restart."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import aiohttp
from pydantic import BaseModel, ConfigDict, Field

from farsite_edge.devices.finder import Finder
from farsite_edge.discovery.address_list import AddressList, parse_addresses
from farsite_edge.discovery.discovery import DEFAULT_PORTS
from farsite_edge.discovery.found import DiscoveryReport, FoundDevice
from farsite_edge.discovery.scan import PROBES, Scan
from farsite_edge.discovery.targets import Target, check_sum, count, merged, parse_target, parse_targets
from farsite_edge.tasks import Outcome, TaskRecord, TaskRunner, Work, WorkRow
from farsite_signaling.wire.discovery_api import BadLine, ScanRequest, ScanStarted
from farsite_signaling.wire.edge_tasks import Rollout, WorkState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

SCAN = "discovery.scan"
SUBJECT = "discovery"
"""What a scan is listed under where other tasks have a device: there is one at a time."""
WRITE_SECONDS = 0.5
KEPT_SECONDS = 0.25
"""Until the next question of the same probe. Hundreds of devices in a second, each with some 300 KiB of TLS, add up."""


class Plan(BaseModel):
    model_config = ConfigDict(extra="ignore")

    targets: list[str]
    ports: list[int]
    rate: int

    def parsed(self) -> list[Target]:
        return [parse_target(text) for text in self.targets]


class Memory(BaseModel):
    """Every place before `position` is done; `found` are the devices that answered."""

    model_config = ConfigDict(extra="ignore")

    position: int = 0
    found: list[str] = Field(default_factory=list)


class ScanService:
    """Makes scan tasks of requests."""

    def __init__(self, runner: TaskRunner, ports: Sequence[int], rate: int) -> None:
        self._runner = runner
        self._ports = list(ports) or list(DEFAULT_PORTS)
        self._rate = rate

    async def start(
        self, request: ScanRequest, *, actor: str, session: str | None, idempotency: str | None
    ) -> ScanStarted:
        """Raises `invalid_request` for targets that make no sense and when nothing is left to probe."""
        listed = parse_addresses(request.csv) if request.csv is not None else AddressList()
        targets = check_sum(merged([*parse_targets(request.targets), *listed.targets]))
        problems = [BadLine(line=one.line, text=one.text, problem=one.problem) for one in listed.problems]
        started = ScanStarted(addresses=count(targets), duplicates=listed.duplicates, problems=problems)
        if not targets and not request.check:
            raise FarsiteError(
                ErrorCode.INVALID_REQUEST,
                "No address is left to probe. "
                + (f"Line {problems[0].line}: {problems[0].problem}" if problems else ""),
                errors=[problem.model_dump() for problem in problems[:100]],
            )
        if request.check:
            return started
        plan = Plan(
            targets=[target.text for target in targets],
            ports=list(dict.fromkeys(request.ports)) or self._ports,
            rate=request.rate or self._rate,
        )
        record = _record(count(targets), actor, session)
        row = WorkRow(record.id, 0, SUBJECT, plan.model_dump())
        made = await self._runner.submit(record, [row], idempotency)
        return started.model_copy(update={"task": await self._runner.shown(made.id)})


def _record(addresses: int, actor: str, session: str | None) -> TaskRecord:
    return TaskRecord(
        id=uuid.uuid4().hex,
        kind=SCAN,
        title=f"Scan of {addresses:,} addresses",
        actor=actor,
        session=session,
        created_at=datetime.now(UTC),
        rollout=Rollout(parallel=1, max_failures=1),
    )


class ScanJob:
    """`discovery.scan`."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder

    def hold(self, device: str) -> None:
        """No device is held: nothing is done to any."""

    async def release(self, device: str) -> None:
        """Nothing was held."""

    def resumed(self, memory: dict[str, Any] | None) -> dict[str, Any] | None:
        """What was probed is not probed again."""
        return memory

    async def __call__(self, work: Work) -> Outcome:
        plan = Plan.model_validate(work.payload)
        memory = Memory.model_validate(work.memory or {})
        connector = aiohttp.TCPConnector(limit=PROBES, limit_per_host=8, keepalive_timeout=KEPT_SECONDS)
        jar = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(connector=connector, cookie_jar=jar, trust_env=False) as session:
            return await _Run(self._finder, work, plan, memory, session).run()


class _Run:
    def __init__(
        self, finder: Finder, work: Work, plan: Plan, memory: Memory, session: aiohttp.ClientSession
    ) -> None:
        self._finder = finder
        self._work = work
        self._serials = set(memory.found)
        self._fresh: list[FoundDevice] = []
        self._report = DiscoveryReport()
        self._position = memory.position
        self._scan = Scan(
            session,
            plan.parsed(),
            plan.ports,
            self._fresh.append,
            rate=plan.rate,
            start=memory.position,
            unicast=memory.position == 0,
        )

    async def run(self) -> Outcome:
        begun = "Goes on" if self._scan.position else "Begins"
        await self._save(f"{begun} with {self._scan.total - self._scan.position:,} places to probe.")
        cancelled = await self._probe()
        await self._write()
        if cancelled:
            await self._save("Stopped.")
            return Outcome(WorkState.CANCELLED, f"Cancelled. {self._sentence()}")
        return Outcome(WorkState.SUCCEEDED, " ".join([self._sentence(), *self._report.problems])[:500])

    async def _probe(self) -> bool:
        """Whether it was cancelled."""
        problem: FarsiteError | None = None
        async with asyncio.TaskGroup() as tasks:
            scanning = tasks.create_task(self._scan.run(), name="scan")
            stopping = tasks.create_task(self._work.cancelling.wait(), name="scan-cancel")
            while not scanning.done() and not stopping.done() and problem is None:
                await asyncio.wait(
                    {scanning, stopping}, timeout=WRITE_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                try:
                    await self._progress()
                except FarsiteError as error:  # the disk is full: the runner begins anew from what is kept
                    problem = error
            cancelled = stopping.done() and not scanning.done()
            scanning.cancel()
            stopping.cancel()
        if problem is not None:
            raise problem
        return cancelled

    async def _progress(self) -> None:
        done, total = self._scan.done, self._scan.total
        self._work.progress(done / total if total else 1.0)
        tenth = done * 10 // total if total else 10
        await self._write()
        await self._save(f"{tenth * 10} % of {total:,} places probed.")

    async def _write(self) -> None:
        """Devices first, then how far the scan was when they were taken: what it finds meanwhile is for the next
        time. After a crash some are found twice, none is lost.
        """
        position = self._scan.position
        fresh, self._fresh[:] = list(self._fresh), []
        self._serials |= await self._finder.accept(fresh, self._report)
        self._position = position

    async def _save(self, detail: str) -> None:
        memory = Memory(position=self._position, found=sorted(self._serials))
        await self._work.checkpoint(memory.model_dump(), "probe", detail)

    def _sentence(self) -> str:
        count = len(self._serials)
        devices = "1 device" if count == 1 else f"{count:,} devices"
        return f"{self._scan.done:,} of {self._scan.total:,} places probed, {devices} found."
