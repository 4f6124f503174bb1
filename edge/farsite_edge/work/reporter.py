"""Tells the cloud what became of its orders, until it has everything."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable

from farsite_edge.identity.keeper import IdentityKeeper
from farsite_edge.supervise import wait_for_any
from farsite_edge.tasks import TaskRunner
from farsite_edge.work.record import OrderRecord
from farsite_edge.work.store import OrderStore
from farsite_signaling.wire.edge_tasks import Task, TaskDevice, TaskState, TaskStep
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.ids import clean
from farsite_signaling.wire.work import MAX_STEPS, OrderPhase, Wanted, WorkDevice, WorkReport, WorkStep

ACCEPT_TIMEOUT = 10.0
PACE = 2.0
"""Seconds between reports of the same orders, so that progress does not fill the line."""
AGAIN = 20.0
logger = logging.getLogger(__name__)
_PHASES = {
    TaskState.QUEUED: OrderPhase.ACCEPTED,
    TaskState.RUNNING: OrderPhase.RUNNING,
    TaskState.SUCCEEDED: OrderPhase.SUCCEEDED,
    TaskState.FAILED: OrderPhase.FAILED,
    TaskState.CANCELLED: OrderPhase.CANCELLED,
}
Send = Callable[[WorkReport], Awaitable[None]]


class WorkReporter:
    """One report at a time, one order after the other. `due()` when there is something to tell, or the cloud is there
    again; `accepted` with what it has."""

    def __init__(
        self,
        store: OrderStore,
        runner: TaskRunner,
        keeper: IdentityKeeper,
        send: Send,
        *,
        pace: float = PACE,
        accept_timeout: float = ACCEPT_TIMEOUT,
    ) -> None:
        self._store = store
        self._runner = runner
        self._keeper = keeper
        self._send = send
        self._pace = pace
        self._accept_timeout = accept_timeout
        self._due = asyncio.Event()
        self._pending: str | None = None
        self._accepted = asyncio.Event()
        self._told: dict[str, str] = {}

    def due(self) -> None:
        self._due.set()

    def online(self) -> None:
        """What a cloud was told may be lost with the connection: say everything once more."""
        self._told.clear()
        self._due.set()

    def accepted(self, report: str) -> None:
        if report == self._pending:
            self._accepted.set()

    async def run(self) -> None:
        while True:
            self._due.clear()
            change = self._runner.watch()
            try:
                await self._round()
            except (FarsiteError, TimeoutError) as error:
                logger.debug("work not reported: %s", error)
                await wait_for_any(self._due, timeout=AGAIN)
            else:
                await wait_for_any(self._due, change, timeout=AGAIN)
            await asyncio.sleep(self._pace)

    async def _round(self) -> None:
        claim = self._keeper.claim
        for record in await self._store.open():
            # What another organization ordered is not told to this one.
            if claim is None or record.order.org != claim.organization_id:
                await self._store.close(record.id)
                continue
            while await self._tell(record.id):
                pass

    async def _tell(self, order: str) -> bool:
        """Whether there is more to tell at once. Raises when the cloud does not answer."""
        record = await self._store.find(order)
        if record is None or record.closed:
            return False
        draft = await self._draft(record)
        if draft.news == self._told.get(order):
            return False
        report = await self._numbered(record, draft)
        await self._deliver(report)
        self._told[order] = draft.news
        return await self._delivered(record, report, draft)

    async def _numbered(self, record: OrderRecord, draft: Draft) -> WorkReport:
        revision = await self._store.next_revision(record.id)
        values = {"id": uuid.uuid4().hex, "order": record.id, "revision": revision}
        return WorkReport.model_validate(draft.values | values)

    async def _deliver(self, report: WorkReport) -> None:
        self._accepted.clear()
        self._pending = report.id
        try:
            await self._send(report)
            async with asyncio.timeout(self._accept_timeout):
                await self._accepted.wait()
        finally:
            self._pending = None

    async def _delivered(self, record: OrderRecord, report: WorkReport, draft: Draft) -> bool:
        """Move on behind what the cloud has now."""
        steps = report.steps[-1].seq if report.steps else record.steps_sent
        if (steps, draft.devices) != (record.steps_sent, record.devices_sent):
            await self._store.told(record.id, steps, draft.devices)
        if report.phase.finished and not draft.more:
            await self._store.close(record.id, record.touched)
            self._told.pop(record.id, None)
        return draft.more

    async def _draft(self, record: OrderRecord) -> Draft:
        values: dict[str, object] = {
            "serial": record.order.serial,
            "code": record.code,
            "detail": record.detail,
        }
        if record.task is None:
            phase = OrderPhase(record.ended) if record.ended else OrderPhase.ACCEPTED
            return Draft(record, values | {"phase": phase})
        try:
            shown = await self._runner.shown(record.task)
        except FarsiteError as error:
            if error.code is not ErrorCode.NOT_FOUND:
                raise
            detail = "The task is not kept any more on this edge host."
            lost = {"phase": OrderPhase.FAILED, "detail": detail, "code": str(ErrorCode.NOT_FOUND)}
            return Draft(record, values | lost)
        return await self._of_task(record, values, shown)

    async def _of_task(self, record: OrderRecord, values: dict[str, object], shown: Task) -> Draft:
        steps = await self._runner.store.steps(shown.id, record.steps_sent, MAX_STEPS)
        # As they are kept, and read after the steps: a device whose last step is told is not told of again.
        rows = [row.shown() for row in await self._runner.store.rows(shown.id)]
        fresh = rows[record.devices_sent :][:MAX_STEPS]
        touched = {step.device for step in steps} | {one.device for one in fresh}
        values = values | {
            "phase": _phase(shown, record.wanted),
            "task": shown.id,
            "detail": clean((shown.detail or record.detail)[:500]),
            # In tenths: every percent of every upload would be a report of its own.
            "progress": round(shown.progress, 1),
            "counts": shown.counts,
            "devices": [_device(row) for row in rows if row.device in touched],
            "steps": [_step(step) for step in steps],
        }
        full = MAX_STEPS in (len(steps), len(fresh))
        return Draft(record, values, record.devices_sent + len(fresh), full)


class Draft:
    """What a report would say; `news` is equal when it says the same again."""

    def __init__(
        self, record: OrderRecord, values: dict[str, object], devices: int = 0, more: bool = False
    ) -> None:
        self.values = values
        self.devices = devices
        self.more = more
        self.news = f"{record.touched} {values!r}"


def _phase(task: Task, wanted: Wanted) -> OrderPhase:
    if not task.state.finished and wanted is Wanted.HOLD:
        return OrderPhase.HELD
    return _PHASES[task.state]


def _device(row: TaskDevice) -> WorkDevice:
    return WorkDevice(
        device=row.device,
        state=row.state,
        step=row.step[:100],
        detail=clean(row.detail[:500]),
        code=row.code,
    )


def _step(step: TaskStep) -> WorkStep:
    return WorkStep(
        seq=step.seq,
        at=step.at,
        device=step.device,
        step=step.step[:100],
        detail=clean(step.detail[:500]),
    )
