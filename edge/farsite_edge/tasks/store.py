"""Tasks in the database.

A device's row is worked on under a lease: a name that each run of the edge host makes for itself. Nothing is written
to a row by anyone but the holder of its lease, so that what is finished stays finished. Leases of earlier runs
are void once the data folder's lock is held again: their process is gone.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from farsite_edge.store import Database
from farsite_edge.store.database import Transaction
from farsite_edge.tasks.record import MAX_DETAIL, Outcome, TaskRecord, WorkRow
from farsite_signaling.wire.edge_tasks import TaskStep, WorkCounts, WorkState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

KEPT = 1000
"""Finished tasks beyond these are forgotten, the oldest first."""


class LeaseLost(Exception):
    """Somebody else works on this row, or it is finished."""


class TaskStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self.lease = uuid.uuid4().hex

    async def open(self) -> list[tuple[TaskRecord, list[WorkRow]]]:
        """Tasks not finished, oldest first; leases of earlier runs are released."""
        await self._database.execute(
            "UPDATE task_devices SET lease = NULL WHERE lease IS NOT NULL AND lease != ?", (self.lease,)
        )
        rows = await self._database.fetch("SELECT record FROM tasks WHERE finished = 0 ORDER BY seq")
        records = [TaskRecord.model_validate_json(row["record"]) for row in rows]
        return [(record, await self.rows(record.id)) for record in records]

    async def create(
        self, record: TaskRecord, rows: Sequence[WorkRow], idempotency: str | None
    ) -> TaskRecord | None:
        """`None` when made; else the task that was made with the same idempotency key before."""
        async with self._database.transaction() as transaction:
            if idempotency is not None:
                sql = "SELECT record FROM tasks WHERE idempotency = ?"
                if known := await transaction.fetch(sql, (idempotency,)):
                    return TaskRecord.model_validate_json(known[0]["record"])
            sql = "INSERT INTO tasks (id, idempotency, record) VALUES (?, ?, ?)"
            await transaction.execute(sql, (record.id, idempotency, record.model_dump_json()))
            sql = (
                "INSERT INTO task_devices (task, position, device, state, step, detail, code, payload) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            )
            await transaction.execute_many(sql, [_values(row) for row in rows])
            for row in rows:
                if row.detail:
                    await _log(transaction, row, row.state.value, row.detail)
            await _trim(transaction)
        return None

    async def get(self, task: str) -> TaskRecord:
        """Raises `not_found`."""
        rows = await self._database.fetch("SELECT record FROM tasks WHERE id = ?", (task,))
        if not rows:
            raise FarsiteError(ErrorCode.NOT_FOUND, f"There is no task {task[:64]} on this edge host.")
        return TaskRecord.model_validate_json(rows[0]["record"])

    async def rows(self, task: str) -> list[WorkRow]:
        sql = "SELECT * FROM task_devices WHERE task = ? ORDER BY position"
        return [WorkRow.read(row) for row in await self._database.fetch(sql, (task,))]

    async def page(self, before: int | None, limit: int) -> tuple[list[TaskRecord], int | None]:
        """Newest first."""
        sql = "SELECT seq, record FROM tasks WHERE seq < ? ORDER BY seq DESC LIMIT ?"
        rows = await self._database.fetch(sql, (before or 2**62, limit + 1))
        records = [TaskRecord.model_validate_json(row["record"]) for row in rows[:limit]]
        return records, rows[limit - 1]["seq"] if len(rows) > limit else None

    async def steps(self, task: str, after: int = 0, limit: int = 5000) -> list[TaskStep]:
        sql = "SELECT * FROM task_steps WHERE task = ? AND seq > ? ORDER BY seq LIMIT ?"
        rows = await self._database.fetch(sql, (task, after, limit))
        names = ("seq", "at", "device", "step", "detail")
        return [TaskStep.model_validate({name: row[name] for name in names}) for row in rows]

    async def save(self, record: TaskRecord) -> None:
        sql = "UPDATE tasks SET record = ?, finished = ? WHERE id = ?"
        values = (record.model_dump_json(), int(record.state.finished), record.id)
        await self._database.execute(sql, values)

    async def forget(self, task: str) -> None:
        """A finished task nobody needs to know of."""
        async with self._database.transaction() as transaction:
            if await transaction.fetch("SELECT 1 FROM tasks WHERE id = ? AND finished = 1", (task,)):
                await _delete(transaction, task)

    async def take(self, row: WorkRow) -> bool:
        """Whether the row is ours to work on now."""
        sql = (
            "UPDATE task_devices SET lease = ?, state = 'running' WHERE task = ? AND position = ? "
            "AND state IN ('queued', 'running') AND (lease IS NULL OR lease = ?)"
        )
        async with self._database.transaction() as transaction:
            values = (self.lease, row.task, row.position, self.lease)
            return await transaction.execute(sql, values) == 1

    async def checkpoint(self, row: WorkRow, memory: dict[str, Any], step: str, detail: str) -> None:
        """How far the work got, before it goes on. Raises `LeaseLost`."""
        sql = "UPDATE task_devices SET memory = ?, step = ?, detail = ? WHERE task = ? AND position = ?"
        values = (json.dumps(memory), step, detail[:MAX_DETAIL], row.task, row.position)
        async with self._database.transaction() as transaction:
            await self._held(transaction, sql, values)
            if (step, detail) != (row.step, row.detail):
                await _log(transaction, row, step, detail)

    async def finish(self, row: WorkRow, outcome: Outcome) -> None:
        """Raises `LeaseLost`."""
        sql = "UPDATE task_devices SET state = ?, detail = ?, code = ?, lease = NULL WHERE task = ? AND position = ?"
        values = (outcome.state.value, outcome.detail, outcome.code, row.task, row.position)
        async with self._database.transaction() as transaction:
            await self._held(transaction, sql, values)
            await _log(transaction, row, outcome.state.value, outcome.detail)

    async def drop_queued(self, rows: Sequence[WorkRow], state: WorkState, detail: str) -> None:
        """End rows nobody has begun."""
        sql = (
            "UPDATE task_devices SET state = ?, detail = ?, code = ? "
            "WHERE task = ? AND position = ? AND state = 'queued'"
        )
        code = ErrorCode.PRECONDITION_FAILED if state is WorkState.SKIPPED else None
        async with self._database.transaction() as transaction:
            for row in rows:
                await transaction.execute(sql, (state.value, detail, code, row.task, row.position))
                await _log(transaction, row, state.value, detail)

    async def counts(self, task: str) -> WorkCounts:
        sql = "SELECT state, count(*) AS number FROM task_devices WHERE task = ? GROUP BY state"
        rows = await self._database.fetch(sql, (task,))
        return WorkCounts.model_validate({row["state"]: row["number"] for row in rows})

    async def _held(self, transaction: Transaction, sql: str, values: tuple[Any, ...]) -> None:
        if (
            await transaction.execute(f"{sql} AND lease = ? AND state = 'running'", (*values, self.lease))
            != 1
        ):
            raise LeaseLost


def _values(row: WorkRow) -> tuple[Any, ...]:
    payload = json.dumps(row.payload)
    return (row.task, row.position, row.device, row.state.value, row.step, row.detail, row.code, payload)


async def _log(transaction: Transaction, row: WorkRow, step: str, detail: str) -> None:
    sql = "INSERT INTO task_steps (task, device, at, step, detail) VALUES (?, ?, ?, ?, ?)"
    at = datetime.now(UTC).isoformat()
    await transaction.execute(sql, (row.task, row.device, at, step, detail[:MAX_DETAIL]))


async def _trim(transaction: Transaction) -> None:
    sql = "SELECT id FROM tasks WHERE finished = 1 ORDER BY seq DESC LIMIT -1 OFFSET ?"
    for old in await transaction.fetch(sql, (KEPT,)):
        await _delete(transaction, old["id"])


async def _delete(transaction: Transaction, task: str) -> None:
    for table, column in (("task_steps", "task"), ("task_devices", "task"), ("tasks", "id")):
        await transaction.execute(f"DELETE FROM {table} WHERE {column} = ?", (task,))  # noqa: S608
