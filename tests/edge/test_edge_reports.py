"""Reports: audit rows reach the cloud once in effect and in order, whatever gets lost on the way."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from farsite_edge.audit import MAX_BATCH, AuditLog
from farsite_edge.core import EdgeCore
from farsite_edge.devices.registry import Registry
from farsite_edge.reports.reporter import Reporter
from farsite_edge.testing import test_settings
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.hub import MAX_MESSAGE, Report, dump


class LossyCloud:
    """Keeps rows by id, as the cloud does; loses reports and acknowledgements by chance."""

    def __init__(self, loss: float) -> None:
        self.rows: dict[str, str] = {}
        self.reports = 0
        self.reporter: Reporter | None = None
        self._loss = loss
        self._chance = random.Random(7)
        self.complete = asyncio.Event()
        self.expected = 0

    async def send(self, report: Report) -> None:
        self.reports += 1
        assert len(dump(report)) < MAX_MESSAGE
        assert self.reporter is not None
        if self._chance.random() < self._loss:
            raise FarsiteError(ErrorCode.CLOUD_UNREACHABLE, "Not connected.")
        for row in report.audit:
            self.rows.setdefault(row.id, row.action)
        if self._chance.random() >= self._loss:
            self.reporter.accepted(report.id)
            if len(self.rows) == self.expected and not report.audit:
                self.complete.set()


@pytest.fixture
async def core(tmp_path: Path) -> AsyncIterator[EdgeCore]:
    async with EdgeCore(test_settings(tmp_path)) as core:
        yield core


def reporter(core: EdgeCore, audit: AuditLog, cloud: LossyCloud) -> Reporter:
    registry = Registry(core.database)
    cloud.reporter = Reporter(
        registry, core.preferences, audit, cloud.send, interval=0.01, accept_timeout=0.02
    )
    return cloud.reporter


@pytest.mark.parametrize("loss", [0.0, 0.4])
async def test_once_and_in_order(loss: float, core: EdgeCore) -> None:
    audit, cloud = AuditLog(core.database), LossyCloud(loss)
    count = cloud.expected = 2 * MAX_BATCH + 30
    for number in range(count):
        await audit.write(f"act.{number}", actor="local", details={"text": "x" * 900})
    async with asyncio.TaskGroup() as group:
        task = group.create_task(reporter(core, audit, cloud).run())
        await asyncio.wait_for(cloud.complete.wait(), 30)
        task.cancel()
    assert list(cloud.rows.values()) == [f"act.{number}" for number in range(count)]
    assert await audit.unsent() == []


async def test_rows_wait_over_a_restart(tmp_path: Path) -> None:
    async with EdgeCore(test_settings(tmp_path)) as core:
        await AuditLog(core.database).write("act.0", actor="local")
    async with EdgeCore(test_settings(tmp_path)) as core:
        assert [row.action for row in await AuditLog(core.database).unsent()] == ["act.0"]


async def test_an_acknowledgement_of_another_report_counts_for_nothing(core: EdgeCore) -> None:
    audit, cloud = AuditLog(core.database), LossyCloud(1.0)
    await audit.write("act.0", actor="local")
    made = reporter(core, audit, cloud)
    made.accepted("some-other-report")
    assert not await made._report()
    assert len(await audit.unsent()) == 1
