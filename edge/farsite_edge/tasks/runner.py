"""Carries out tasks: picks devices, works on some at a time, keeps what became of each."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from functools import partial
from typing import Any

from farsite_edge.tasks.ledger import Ledger
from farsite_edge.tasks.record import Outcome, TaskRecord, WorkRow, end_state
from farsite_edge.tasks.store import LeaseLost, TaskStore
from farsite_edge.tasks.window import is_open, next_opening
from farsite_edge.tasks.work import Job, Resuming, Work
from farsite_signaling.wire.edge_tasks import Task, TaskDevice, TaskState, WorkCounts, WorkState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

LOOK_AGAIN = 30.0
"""Seconds after which windows are looked at again, should nothing else happen."""
STORAGE_PAUSE = 5.0
MOST_STALLED = 6
"""Silent devices wait beside those at work, up to so many times as many in all."""
_STORAGE = (ErrorCode.DISK_FULL, ErrorCode.STORAGE_FAILED)
WorkDone = Callable[[TaskRecord, WorkRow], Awaitable[None]]
Carrying = Callable[[Sequence[WorkRow]], AbstractAsyncContextManager[None]]
TaskDone = Callable[[TaskRecord], None]
logger = logging.getLogger(__name__)


@dataclass
class Active:
    """A task that is not finished."""

    record: TaskRecord
    rows: list[WorkRow]
    working: dict[int, Work] = field(default_factory=dict)
    waiting: str = ""
    opens_at: datetime | None = None
    ledger: Ledger = field(init=False)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.rows, self.record.rollout)

    def counts(self) -> WorkCounts:
        return self.ledger.counts()

    def progress(self) -> float:
        # One that has just ended is released, and so still at work, for a moment.
        rows = (self.rows[position] for position in self.working)
        at_work = sum(row.progress for row in rows if not row.state.finished)
        return (self.ledger.finished + at_work) / len(self.rows) if self.rows else 1.0


class TaskRunner:
    """`await load()` first, then `run()` for ever. `kinds` are the jobs by the kind of task.

    `held` says why devices of a kind of task are not begun for now; those at work go on. `carrying` brings along what
    the rows of a retry need and their payloads do not hold.
    """

    def __init__(
        self,
        store: TaskStore,
        kinds: Mapping[str, Job],
        *,
        parallel: int,
        zone: tzinfo,
        work_done: WorkDone,
        task_done: TaskDone = lambda _record: None,
        held: Callable[[str], str | None] = lambda _kind: None,
        carrying: Carrying = lambda _rows: nullcontext(),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.store = store
        self._kinds = kinds
        self._parallel = parallel
        self._zone = zone
        self._work_done = work_done
        self._task_done = task_done
        self._held = held
        self._carrying = carrying
        self._now = now
        self._active: dict[str, Active] = {}
        self._busy: dict[str, str] = {}  # device -> task that works on it
        self._stalled: set[str] = set()  # silent ones, whose places others have
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()

    async def load(self) -> None:
        """Take up what an earlier run left; devices in the middle of something are held at once."""
        for record, rows in await self.store.open():
            self._active[record.id] = Active(record, rows)
            for row in rows:
                if row.state is WorkState.RUNNING and record.kind in self._kinds:
                    self._kinds[record.kind].hold(row.device)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                for active in list(self._active.values()):
                    await self._advance(active, group)
                await _wait(self._wake, LOOK_AGAIN)

    # What users do

    async def submit(
        self, record: TaskRecord, rows: list[WorkRow], idempotency: str | None = None
    ) -> TaskRecord:
        """Keep a task and begin it; with an idempotency key used before, the task made then."""
        known = await self.store.create(record, rows, idempotency)
        if known is not None:
            return known
        self._active[record.id] = Active(record, rows)
        self._wake.set()
        return record

    async def cancel(self, task: str) -> TaskRecord:
        """Devices not begun are cancelled; those at work stop where that is safe. Raises `conflict` when finished."""
        active = self._active.get(task)
        if active is None:
            await self.store.get(task)
            raise FarsiteError(ErrorCode.CONFLICT, "The task is finished; there is nothing to cancel.")
        active.record.cancel_requested = True
        await self.store.save(active.record)
        for work in active.working.values():
            work.cancelling.set()
        self._wake.set()
        return active.record

    def soon(self) -> None:
        """Look again without delay: what tasks waited for may be there."""
        self._wake.set()

    async def hold(self, task: str, held: bool) -> TaskRecord:
        """Start no further device until it is let go again; those at work are finished. A finished task stays so."""
        active = self._active.get(task)
        if active is None:
            return await self.store.get(task)
        if active.record.held is not held:
            active.record.held = held
            await self.store.save(active.record)
            self._wake.set()
            self._tell()
        return active.record

    async def retry(
        self, task: str, devices: Iterable[str], actor: str, session: str | None, idempotency: str | None
    ) -> TaskRecord:
        """A new task for what failed, was cancelled or was left out. Raises `conflict`, `not_found`."""
        record = await self.store.get(task)
        if not record.state.finished:
            raise FarsiteError(ErrorCode.CONFLICT, "The task is not finished yet. Cancel it first, or wait.")
        chosen = _again(await self.store.rows(task), set(devices))
        new = TaskRecord(
            id=uuid.uuid4().hex,
            kind=record.kind,
            title=record.title,
            actor=actor,
            session=session,
            created_at=self._now(),
            retry_of=task,
            rollout=record.rollout,
        )
        rows = [
            WorkRow(new.id, number, row.device, row.payload, memory=self._resumed(record.kind, row))
            for number, row in enumerate(chosen)
        ]
        async with self._carrying(rows):
            return await self.submit(new, rows, idempotency)

    def _resumed(self, kind: str, row: WorkRow) -> dict[str, Any] | None:
        job = self._kinds.get(kind)
        return job.resumed(row.memory) if isinstance(job, Resuming) else None

    # What users see

    async def shown(self, task: str) -> Task:
        active = self._active.get(task)
        if active is not None:
            counts, waiting = active.counts(), active.waiting
            return active.record.shown(counts, waiting=waiting, progress=active.progress())
        record = await self.store.get(task)
        return record.shown(await self.store.counts(task))

    def unfinished(self, kind: str) -> list[WorkRow]:
        """Devices still to be done, of all tasks of a kind."""
        tasks = [active for active in self._active.values() if active.record.kind == kind]
        return [row for active in tasks for row in active.rows if not row.state.finished]

    async def rows(self, task: str) -> list[WorkRow]:
        active = self._active.get(task)
        return active.rows if active is not None else await self.store.rows(task)

    async def devices(self, task: str) -> list[TaskDevice]:
        """With their step logs."""
        shown = {row.device: row.shown() for row in await self.rows(task)}
        for step in await self.store.steps(task):
            if step.device in shown:
                shown[step.device].steps.append(step)
        return list(shown.values())

    def watch(self) -> asyncio.Event:
        """Set when something happens to any task from now on. Take it before looking, so that nothing is missed."""
        return self._changed

    async def changed(self, wait: float) -> None:
        """Until something happens to any task, or the time is over."""
        await _wait(self._changed, wait)

    # How it goes on

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _advance(self, active: Active, group: asyncio.TaskGroup) -> None:
        try:
            await self._end_queued(active)
            await self._begin_due(active, group)
            if active.ledger.all_finished:
                await self._end(active)
        except FarsiteError as error:
            # The disk is full: nothing is lost, the next round tries again.
            logger.error("task %s waits: %s", active.record.id, error)

    async def _begin_due(self, active: Active, group: asyncio.TaskGroup) -> None:
        """As many as there is room for, written down together."""
        due: list[WorkRow] = []
        may_start = self._may_start(active) if active.ledger.waiting else False
        for _ in range(self._room(active)):
            row = active.ledger.take(lambda one: one.device not in self._busy, new=may_start)
            if row is None:
                break
            due.append(row)
        if not due:
            return
        try:
            taken = await self._take(active, due)
        except BaseException:
            active.ledger.put_back(due)
            raise
        for row, ours in zip(due, taken, strict=True):
            if ours:
                self._begin(active, row, group)
        active.ledger.put_back([row for row, ours in zip(due, taken, strict=True) if not ours])
        self._tell()

    def _room(self, active: Active) -> int:
        if len(self._busy) >= self._parallel * MOST_STALLED:
            return 0
        here = self._parallel - len(self._busy) + len(self._stalled)
        at_work = sum(not work.is_stalled for work in active.working.values())
        return max(0, min(here, active.record.rollout.parallel - at_work))

    def _note_stalled(self, device: str, stalled: bool) -> None:
        if stalled:
            self._stalled.add(device)
            self._wake.set()
        else:
            self._stalled.discard(device)

    async def _take(self, active: Active, rows: list[WorkRow]) -> list[bool]:
        """The task is seen to run from its first device on."""
        if active.record.started_at is None:
            record = active.record.model_copy(update={"started_at": self._now()})
            record.turn(TaskState.RUNNING)
            taken = await self.store.take(rows, record)
            active.record.started_at, active.record.state = record.started_at, record.state
            return taken
        return await self.store.take(rows)

    def _may_start(self, active: Active) -> bool:
        if active.record.held:
            active.waiting = "Held: no further device is started."
            return False
        return self._in_window(active)

    def _in_window(self, active: Active) -> bool:
        active.waiting = self._held(active.record.kind) or ""
        if active.waiting:
            return False
        window, now = active.record.rollout.window, self._now()
        if window is None:
            return True
        if active.opens_at is None or now >= active.opens_at:
            opened = is_open(window, now, self._zone)
            active.opens_at = None if opened else next_opening(window, now, self._zone)
        if active.opens_at is None:
            return True
        active.waiting = f"Waits for the update window at {active.opens_at:%Y-%m-%d %H:%M} UTC."
        return False

    async def _end_queued(self, active: Active) -> None:
        reason = active.ledger.stop_reason()
        if not active.ledger.queued or not (active.record.cancel_requested or reason):
            return
        if active.record.cancel_requested:
            state, detail, code = WorkState.CANCELLED, "Cancelled before it was begun.", None
        else:
            state, detail, code = WorkState.SKIPPED, reason or "", ErrorCode.PRECONDITION_FAILED
            active.record.stopped = detail
        queued = active.ledger.drop_queued()
        try:
            await self.store.drop_queued(queued, state, detail)
        except BaseException:
            active.ledger.put_back(queued)
            raise
        for row in queued:
            active.ledger.turn(row, state)
            row.detail, row.code = detail, code
        self._tell()

    def _begin(self, active: Active, row: WorkRow, group: asyncio.TaskGroup) -> None:
        active.ledger.turn(row, WorkState.RUNNING)
        work = active.working[row.position] = Work(row, self.store, self._tell, active.record.kind)
        work.on_stalled = partial(self._note_stalled, row.device)
        if active.record.cancel_requested:
            work.cancelling.set()
        self._busy[row.device] = active.record.id
        group.create_task(self._work(active, row, work), name=f"task-{active.record.kind}-{row.device}")

    async def _work(self, active: Active, row: WorkRow, work: Work) -> None:
        job = self._kinds.get(active.record.kind)
        if job is not None:
            job.hold(row.device)
        try:
            outcome = await self._persist(active, row, work, job)
        except LeaseLost:
            logger.error("task %s: the row of %s is not ours any more", active.record.id, row.device)
        else:
            if job is not None:
                await job.release(row.device)
            row.detail, row.code = outcome.detail, outcome.code
            active.ledger.turn(row, outcome.state)
            await self._work_done(active.record, row)
        finally:
            active.working.pop(row.position, None)
            self._busy.pop(row.device, None)
            self._stalled.discard(row.device)
            self._wake.set()
            self._tell()

    async def _persist(self, active: Active, row: WorkRow, work: Work, job: Job | None) -> Outcome:
        """Until its end is written down: storage that fails is waited for, not taken for the device's failure."""
        outcome: Outcome | None = None
        while True:
            try:
                outcome = outcome or await self._outcome(active, work, job)
                await self.store.finish(row, outcome)
                return outcome
            except FarsiteError as error:
                logger.error("task %s, device %s: %s", active.record.id, row.device, error)
                await asyncio.sleep(STORAGE_PAUSE)

    async def _outcome(self, active: Active, work: Work, job: Job | None) -> Outcome:
        if job is None:
            detail = f"This version of Farsite cannot do {active.record.kind[:64]}."
            return Outcome(WorkState.FAILED, detail, ErrorCode.UNAVAILABLE)
        try:
            return await job(work)
        except FarsiteError as error:
            if error.code in _STORAGE:
                raise
            return Outcome.failed(error)
        except LeaseLost:
            raise
        except Exception:
            logger.exception("task %s, device %s", active.record.id, work.device)
            detail = "Something went wrong here; see the edge host's log."
            return Outcome(WorkState.FAILED, detail, ErrorCode.INTERNAL)

    async def _end(self, active: Active) -> None:
        # Nobody sees it finished before it is written down.
        record = active.record.model_copy()
        record.finished_at = self._now()
        record.turn(end_state(record, active.rows))
        await self.store.save(record)
        del self._active[record.id]
        self._tell()
        self._task_done(record)


def _again(rows: list[WorkRow], devices: set[str]) -> list[WorkRow]:
    known = {row.device for row in rows}
    if unknown := devices - known:
        detail = f"Not a device of this task: {', '.join(sorted(unknown))[:300]}."
        raise FarsiteError(ErrorCode.DEVICE_UNKNOWN, detail)
    chosen = [row for row in rows if row.state is not WorkState.SUCCEEDED and not _nothing_to_do(row)]
    chosen = [row for row in chosen if not devices or row.device in devices]
    if not chosen:
        raise FarsiteError(ErrorCode.CONFLICT, "There is nothing to try again: no such device failed.")
    return chosen


def _nothing_to_do(row: WorkRow) -> bool:
    return row.state is WorkState.SKIPPED and row.code is None


async def _wait(event: asyncio.Event, timeout: float) -> None:
    try:
        async with asyncio.timeout(timeout):
            await event.wait()
    except TimeoutError:
        pass
