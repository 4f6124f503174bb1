"""Tasks in the database.

A device's row is worked on under a lease: a name that each run of the edge host makes for itself. Nothing is written
to a row by anyone but the holder of its lease, so that what is finished stays finished. Leases of earlier runs
are void once the data folder's lock is held again: their process is gone.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from sqlite3 import Connection
from typing import Any

from farsite_edge.store import Database
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

    async def was_made(self, idempotency: str) -> bool:
        return bool(await self._database.fetch("SELECT 1 FROM tasks WHERE idempotency = ?", (idempotency,)))

    async def create(
        self, record: TaskRecord, rows: Sequence[WorkRow], idempotency: str | None
    ) -> TaskRecord | None:
        """`None` when made; else the task that was made with the same idempotency key before."""

        def make(connection: Connection) -> TaskRecord | None:
            if idempotency is not None:
                sql = "SELECT record FROM tasks WHERE idempotency = ?"
                if known := connection.execute(sql, (idempotency,)).fetchone():
                    return TaskRecord.model_validate_json(known["record"])
            sql = "INSERT INTO tasks (id, idempotency, record) VALUES (?, ?, ?)"
            connection.execute(sql, (record.id, idempotency, record.model_dump_json()))
            sql = (
                "INSERT INTO task_devices (task, position, device, state, step, detail, code, payload, memory) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
            )
            connection.executemany(sql, map(_values, rows))
            _log(connection, [(row, row.state.value, row.detail) for row in rows if row.detail])
            _trim(connection)
            return None

        return await self._database.write(make)

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
        await self._database.write(lambda connection: _save(connection, record))

    async def forget(self, task: str) -> None:
        """A finished task nobody needs to know of."""

        def act(connection: Connection) -> None:
            if connection.execute("SELECT 1 FROM tasks WHERE id = ? AND finished = 1", (task,)).fetchone():
                _delete(connection, task)

        await self._database.write(act)

    async def take(self, rows: Sequence[WorkRow], record: TaskRecord | None = None) -> list[bool]:
        """Whether each row is ours to work on now; with what is new about their task."""
        sql = (
            "UPDATE task_devices SET lease = ?, state = 'running' WHERE task = ? AND position = ? "
            "AND state IN ('queued', 'running') AND (lease IS NULL OR lease = ?)"
        )

        def act(connection: Connection) -> list[bool]:
            if record is not None:
                _save(connection, record)
            values = [(self.lease, row.task, row.position, self.lease) for row in rows]
            return [connection.execute(sql, one).rowcount == 1 for one in values]

        return await self._database.write(act)

    async def checkpoint(self, row: WorkRow, memory: dict[str, Any], step: str, detail: str) -> None:
        """How far the work got, before it goes on. Raises `LeaseLost`."""
        sql = "UPDATE task_devices SET memory = ?, step = ?, detail = ? WHERE task = ? AND position = ?"
        values = (json.dumps(memory), step, detail[:MAX_DETAIL], row.task, row.position)
        told = (step, detail) != (row.step, row.detail)

        def act(connection: Connection) -> None:
            self._held(connection, sql, values)
            if told:
                _log(connection, [(row, step, detail)])

        await self._database.write(act)

    async def finish(self, row: WorkRow, outcome: Outcome) -> None:
        """Raises `LeaseLost`."""
        sql = "UPDATE task_devices SET state = ?, detail = ?, code = ?, lease = NULL WHERE task = ? AND position = ?"
        values = (outcome.state.value, outcome.detail, outcome.code, row.task, row.position)

        def act(connection: Connection) -> None:
            self._held(connection, sql, values)
            _log(connection, [(row, outcome.state.value, outcome.detail)])

        await self._database.write(act)

    async def drop_queued(self, rows: Sequence[WorkRow], state: WorkState, detail: str) -> None:
        """End rows nobody has begun."""
        sql = (
            "UPDATE task_devices SET state = ?, detail = ?, code = ? "
            "WHERE task = ? AND position = ? AND state = 'queued'"
        )
        code = ErrorCode.PRECONDITION_FAILED if state is WorkState.SKIPPED else None

        def act(connection: Connection) -> None:
            values = [(state.value, detail, code, row.task, row.position) for row in rows]
            connection.executemany(sql, values)
            _log(connection, [(row, state.value, detail) for row in rows])

        await self._database.write(act)

    async def counts(self, task: str) -> WorkCounts:
        sql = "SELECT state, count(*) AS number FROM task_devices WHERE task = ? GROUP BY state"
        rows = await self._database.fetch(sql, (task,))
        return WorkCounts.model_validate({row["state"]: row["number"] for row in rows})

    def _held(self, connection: Connection, sql: str, values: tuple[Any, ...]) -> None:
        held = f"{sql} AND lease = ? AND state = 'running'"
        if connection.execute(held, (*values, self.lease)).rowcount != 1:
            raise LeaseLost


def _values(row: WorkRow) -> tuple[Any, ...]:
    payload = json.dumps(row.payload)
    memory = None if row.memory is None else json.dumps(row.memory)
    told = (row.state.value, row.step, row.detail, row.code)
    return (row.task, row.position, row.device, *told, payload, memory)


def _save(connection: Connection, record: TaskRecord) -> None:
    sql = "UPDATE tasks SET record = ?, finished = ? WHERE id = ?"
    connection.execute(sql, (record.model_dump_json(), int(record.state.finished), record.id))


def _log(connection: Connection, steps: Iterable[tuple[WorkRow, str, str]]) -> None:
    sql = "INSERT INTO task_steps (task, device, at, step, detail) VALUES (?, ?, ?, ?, ?)"
    at = datetime.now(UTC).isoformat()
    values = [(row.task, row.device, at, step, detail[:MAX_DETAIL]) for row, step, detail in steps]
    connection.executemany(sql, values)


def _trim(connection: Connection) -> None:
    sql = "SELECT id FROM tasks WHERE finished = 1 ORDER BY seq DESC LIMIT -1 OFFSET ?"
    for old in connection.execute(sql, (KEPT,)).fetchall():
        _delete(connection, old["id"])


def _delete(connection: Connection, task: str) -> None:
    for table, column in (("task_steps", "task"), ("task_devices", "task"), ("tasks", "id")):
        connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (task,))  # noqa: S608
