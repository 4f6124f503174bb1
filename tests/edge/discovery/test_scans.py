"""Scans as tasks of a running edge host."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from farsite_edge.admin.caller import AdminCaller
from farsite_edge.devices import scan_job
from farsite_edge.devices.scan_job import SUBJECT, ScanJob
from farsite_edge.discovery import scan as scan_module
from farsite_edge.discovery.found import DiscoveryReport, FoundDevice
from farsite_edge.discovery.sweep import Sweep
from farsite_edge.discovery.targets import parse_targets
from farsite_edge.simulator import Simulator, describe
from farsite_edge.tasks import Work, WorkRow
from farsite_edge.testing import RunningEdge, run_edge
from farsite_signaling.wire.discovery_api import ScanRequest, ScanStarted
from farsite_signaling.wire.edge_tasks import Task, TaskState, WorkState
from farsite_signaling.wire.errors import FarsiteError

QUIET = {"poll_interval": 3600, "discovery_interval": 3600}
BUSY = 3.0
"""What a busy machine may add to a bound, seconds; scanning to the end would take twelve."""


@pytest.fixture
async def site() -> AsyncIterator[Simulator]:
    async with Simulator(describe(6), bind="127.0.45.0/24", first_port=8045) as simulator:
        yield simulator


async def scan(edge: RunningEdge, **request: object) -> ScanStarted:
    body = ScanRequest.model_validate({"ports": [8045, 8408], **request})
    return await edge.host.scans.start(body, actor="test", session=None, idempotency=None)


async def finished(edge: RunningEdge, task: str) -> Task:
    async with asyncio.timeout(20):
        while not (shown := await edge.host.tasks.shown(task)).state.finished:
            await edge.host.tasks.changed(5)
    return shown


async def test_a_file_is_scanned(site: Simulator, tmp_path: Path) -> None:
    text = "ip\r\n" + "\r\n".join(device.address for device in site.devices) + "\r\nnonsense\r\n"
    async with run_edge(tmp_path, **QUIET) as edge:
        started = await scan(edge, csv=text, targets=["127.0.45.60-70"])
        assert (started.addresses, [one.line for one in started.problems]) == (17, [8])
        assert started.task is not None
        shown = await finished(edge, started.task.id)
        assert shown.state is TaskState.SUCCEEDED
        [row] = await edge.host.tasks.devices(shown.id)
        # Others on this machine may answer on a port, too; what is kept is what proved to be a device.
        assert row.detail.startswith("34 of 34 places probed")
        assert {one.id for one in edge.host.registry.all()} == {one.serial for one in site.devices}


async def test_checking_begins_nothing(tmp_path: Path) -> None:
    async with run_edge(tmp_path, **QUIET) as edge:
        started = await scan(edge, csv="ip\n10.0.0.1\n10.0.0.1\nbad\n", check=True)
        assert (started.task, started.addresses, started.duplicates) == (None, 1, 1)
        with pytest.raises(FarsiteError, match=r"No address is left.*Line 2"):
            await scan(edge, csv="ip\nbad\n")
        caller = AdminCaller(edge.host.settings.data_dir)
        with pytest.raises(FarsiteError, match="25,600"):
            await caller.call("POST", "/discovery/scans", ScanStarted, {"targets": ["0.0.0.0/0"]})
        assert (await edge.host.tasks.store.page(None, 10))[0] == []


async def test_cancelling_takes_less_than_a_second(tmp_path: Path) -> None:
    async with run_edge(tmp_path, **QUIET) as edge:
        started = await scan(edge, targets=["127.64.0.0/19"], ports=[9, 10, 11])
        assert started.task is not None
        while (await edge.host.tasks.shown(started.task.id)).progress == 0:
            await edge.host.tasks.changed(5)
        begun = time.monotonic()
        await edge.host.tasks.cancel(started.task.id)
        assert (await finished(edge, started.task.id)).state is TaskState.CANCELLED
        assert time.monotonic() - begun < 1 + BUSY


async def test_a_cancelled_scan_is_gone_on_with(
    site: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tried again it probes what is left, and tells of all."""
    monkeypatch.setattr(scan_job, "WRITE_SECONDS", 0.05)
    firsts: list[int] = []

    async def run(self: Sweep) -> None:
        firsts.append(self.first)
        await real(self)

    real = Sweep.run
    monkeypatch.setattr(Sweep, "run", run)
    async with run_edge(tmp_path, **QUIET) as edge:
        tasks = edge.host.tasks
        started = await scan(edge, targets=["127.0.45.1-127.0.49.255"], rate=1000)
        assert started.task is not None
        while not ((await tasks.rows(started.task.id))[0].memory or {}).get("position"):
            await tasks.changed(5)
        await tasks.cancel(started.task.id)
        assert (await finished(edge, started.task.id)).state is TaskState.CANCELLED
        again = await tasks.retry(started.task.id, [], "test", None, None)
        assert (await finished(edge, again.id)).state is TaskState.SUCCEEDED
        [row] = await tasks.devices(again.id)
        assert f"{1279 * 2:,} of {1279 * 2:,} places probed" in row.detail
        assert {one.id for one in edge.host.registry.all()} == {one.serial for one in site.devices}
    assert firsts[0] == 0 < firsts[1]


async def test_a_scan_goes_on_after_a_crash(
    site: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was probed before is not probed again, what was found is not lost."""
    monkeypatch.setattr(scan_job, "WRITE_SECONDS", 0.05)
    firsts: list[int] = []
    knocks: list[int] = []

    async def run(self: Sweep) -> None:
        firsts.append(self.first)
        try:
            await real(self)
        finally:
            knocks.append(self.knocks)

    real = Sweep.run
    monkeypatch.setattr(Sweep, "run", run)
    begin: dict[str, object] = {"targets": ["127.0.45.1-127.0.49.255"], "rate": 1000}
    async with run_edge(tmp_path, **QUIET) as edge:
        started = await scan(edge, **begin)
        assert started.task is not None
        while not ((await edge.host.tasks.rows(started.task.id))[0].memory or {}).get("position"):
            await edge.host.tasks.changed(5)
        await edge.host.core.database.close()  # as kill -9: nothing is written after this
    async with run_edge(tmp_path, **QUIET) as edge:
        shown = await finished(edge, started.task.id)
        assert shown.state is TaskState.SUCCEEDED
        [row] = await edge.host.tasks.devices(shown.id)
        assert f"{1279 * 2:,} of {1279 * 2:,} places probed" in row.detail
        assert {one.id for one in edge.host.registry.all()} == {one.serial for one in site.devices}
    assert firsts[0] == 0 < firsts[1]
    assert knocks[1] < 1279 * 2


class SlowFinder:
    """Keeps what is found, but only when the scan has found more."""

    def __init__(self, places: int) -> None:
        self.kept: set[str] = set()
        self.answers = 0
        self.more = asyncio.Event()
        self._places = places

    def heard(self) -> None:
        self.answers += 1
        if self.answers == self._places:
            self.more.set()

    async def accept(self, answers: Iterable[FoundDevice], report: DiscoveryReport) -> set[str]:
        taken = {answer.serial for answer in answers if answer.serial}
        if taken:
            await self.more.wait()
        self.kept |= taken
        return taken


class Checkpoints(Work):
    """What would be there after a crash: the devices kept, and where a scan would go on."""

    def __init__(self, finder: SlowFinder, targets: list[str]) -> None:
        payload = {"targets": targets, "ports": [8045], "rate": 500}
        super().__init__(WorkRow("task", 0, SUBJECT, payload), None, lambda: None)  # type: ignore[arg-type]
        self._finder = finder
        self.seen: list[tuple[int, int]] = []

    async def checkpoint(self, memory: dict[str, Any], step: str, detail: str = "") -> None:
        self.seen.append((memory["position"], len(self._finder.kept)))


async def test_what_is_found_while_devices_are_written_is_not_passed_by(
    site: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The position kept is that of the devices kept."""
    monkeypatch.setattr(scan_job, "WRITE_SECONDS", 0.01)
    finder = SlowFinder(len(site.devices))
    ask = scan_module.ask

    async def heard(
        session: aiohttp.ClientSession, host: str, port: int, timeout: float
    ) -> FoundDevice | None:
        device = await ask(session, host, port, timeout)
        finder.heard()
        return device

    monkeypatch.setattr(scan_module, "ask", heard)
    last = int(site.devices[-1].address.rpartition(".")[2])
    work = Checkpoints(finder, ["127.0.45.1-127.0.46.255"])
    async with asyncio.timeout(20):
        outcome = await ScanJob(finder)(work)  # type: ignore[arg-type]
    assert outcome.state is WorkState.SUCCEEDED
    assert finder.kept == {one.serial for one in site.devices}
    assert all(kept == len(site.devices) for position, kept in work.seen if position >= last)


async def test_who_was_too_busy_to_answer_is_asked_again() -> None:
    """The port opens at once; the first question gets no answer within the time a probe has."""
    asked: list[str] = []
    info = {"SerialNumber": "B8A44F000001", "ProdNbr": "P3265-V", "Version": "12.9.57"}

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        if len(asked) == 1:
            await asyncio.Event().wait()
        return web.json_response({"apiVersion": "1.3", "data": {"propertyList": info}})

    app = web.Application()
    app.router.add_post("/axis-cgi/basicdeviceinfo.cgi", answer)
    found: list[FoundDevice] = []
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        assert server.port is not None
        scan = scan_module.Scan(session, parse_targets(["127.0.0.1"]), [server.port], found.append)
        async with asyncio.timeout(20):
            await scan.run()
    assert [one.serial for one in found] == ["B8A44F000001"]
    assert (scan.done, scan.position) == (1, 1)
