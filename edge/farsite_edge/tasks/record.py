"""A task and its devices as they are stored."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from farsite_signaling.wire.edge_tasks import Rollout, Task, TaskDevice, TaskState, WorkCounts, WorkState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

MAX_DETAIL = 500
logger = logging.getLogger(__name__)


class TaskRecord(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id: str
    kind: str
    title: str
    state: TaskState = TaskState.QUEUED
    actor: str
    session: str | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    cancel_requested: bool = False
    held: bool = False
    stopped: str = ""
    retry_of: str | None = None
    rollout: Rollout = Field(default_factory=Rollout)

    def turn(self, state: TaskState) -> None:
        if state is not self.state:
            logger.info("task %s: %s -> %s", self.id, self.state, state)
        self.state = state

    def shown(self, counts: WorkCounts, *, waiting: str = "", progress: float | None = None) -> Task:
        share = counts.done / counts.total if counts.total else 1.0
        values = self.model_dump(exclude={"session", "stopped", "held"})
        return Task(
            **values,
            counts=counts,
            detail=self.stopped or waiting,
            progress=share if progress is None else progress,
        )


@dataclass
class WorkRow:
    """One device of a task. `payload` says what is to be done, `memory` how far it got."""

    task: str
    position: int
    device: str
    payload: dict[str, Any]
    state: WorkState = WorkState.QUEUED
    step: str = ""
    detail: str = ""
    code: str | None = None
    memory: dict[str, Any] | None = None
    progress: float = field(default=0.0, compare=False)

    @classmethod
    def read(cls, row: sqlite3.Row) -> WorkRow:
        memory = json.loads(row["memory"]) if row["memory"] else None
        return cls(
            row["task"],
            row["position"],
            row["device"],
            json.loads(row["payload"]),
            WorkState(row["state"]),
            row["step"],
            row["detail"],
            row["code"],
            memory,
        )

    def shown(self) -> TaskDevice:
        progress = 1.0 if self.state.finished else self.progress
        return TaskDevice(
            device=self.device,
            state=self.state,
            step=self.step,
            detail=self.detail,
            code=self.code,
            progress=progress,
        )


@dataclass(frozen=True)
class Outcome:
    """How the work on one device ended: `succeeded`, `failed`, `cancelled` or `skipped`, and why."""

    state: WorkState
    detail: str = ""
    code: str | None = None

    @classmethod
    def failed(cls, error: FarsiteError) -> Outcome:
        return cls(WorkState.FAILED, error.detail[:MAX_DETAIL], error.code)

    @classmethod
    def skipped(cls, detail: str, code: ErrorCode | None = ErrorCode.PRECONDITION_FAILED) -> Outcome:
        """Without a code there was nothing to do, which is no failure."""
        return cls(WorkState.SKIPPED, detail[:MAX_DETAIL], code)


def counted(rows: Iterable[WorkRow]) -> WorkCounts:
    counts = WorkCounts()
    for row in rows:
        setattr(counts, row.state.value, getattr(counts, row.state.value) + 1)
    return counts


def end_state(record: TaskRecord, rows: list[WorkRow]) -> TaskState:
    """Of a task whose devices are all finished."""
    states = {row.state for row in rows}
    if WorkState.CANCELLED in states:
        return TaskState.CANCELLED
    if WorkState.FAILED in states or record.stopped:
        return TaskState.FAILED
    refused = any(row.state is WorkState.SKIPPED and row.code for row in rows)
    return TaskState.FAILED if refused and WorkState.SUCCEEDED not in states else TaskState.SUCCEEDED
