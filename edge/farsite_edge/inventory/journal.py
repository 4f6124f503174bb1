"""The journal of changes: kept by triggers in the transaction of each change, read in batches for the cloud.

It holds one row for each thing, with the number of its newest change: a thing that changes often is sent once, and after
a long time offline no more is sent than there is.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from sqlite3 import Row
from typing import Any

from pydantic import TypeAdapter, ValidationError

from farsite_edge.devices.record import DeviceRecord
from farsite_edge.inventory.cursor import Cursor
from farsite_edge.inventory.facts import device_facts, image_facts, tag_mark, task_facts, work_facts
from farsite_edge.store import Database, Facts
from farsite_signaling.wire.hub import MAX_MESSAGE, dump
from farsite_signaling.wire.inventory import (
    MAX_CHANGES,
    ImageFacts,
    InventoryDelta,
    TagMark,
    TaskFacts,
    WorkFacts,
)

MAX_BYTES = 60 * 1024
"""Of the facts in one delta; the hub takes `wire.hub.MAX_MESSAGE`."""
KEPT_GONE = 10_000
"""Records of what is gone; when the cloud falls back behind the oldest of them it gets everything anew."""
KEPT_TASKS = 100
"""Tasks that are sent anew with a snapshot, the newest."""
_CURSOR = "inventory_cursor"
_FLOOR = "inventory_floor"
_READ = """
SELECT seq, kind, key, gone, CASE kind
    WHEN 'device' THEN (SELECT record FROM devices WHERE id = key AND managed = 1)
    WHEN 'image' THEN (SELECT record FROM os_images WHERE file = key)
    WHEN 'work' THEN (
        SELECT json_object('task', task, 'position', position, 'device', device, 'state', state, 'step', step,
            'detail', detail, 'code', code)
        FROM task_devices
        WHERE task = substr(key, 1, instr(key, '/') - 1) AND position = CAST(substr(key, instr(key, '/') + 1) AS INTEGER)
    ) END AS record
FROM journal WHERE seq > ? ORDER BY seq LIMIT ?
"""
_TASK = """
SELECT id, record, (
    SELECT json_group_object(state, number) FROM (
        SELECT state, count(*) AS number FROM task_devices WHERE task = tasks.id GROUP BY state)
) AS counts FROM tasks WHERE id = ?
"""
logger = logging.getLogger(__name__)
_cursor: TypeAdapter[Cursor] = TypeAdapter(Cursor)


@dataclass
class _Batch:
    """Of one delta; `room` shrinks with every fact."""

    last: int
    room: int = MAX_BYTES
    devices: list[DeviceRecord] = field(default_factory=list)
    devices_gone: list[str] = field(default_factory=list)
    images: list[ImageFacts] = field(default_factory=list)
    images_gone: list[str] = field(default_factory=list)
    tasks: dict[str, None] = field(default_factory=dict)
    work: list[WorkFacts] = field(default_factory=list)
    host: bool = False


class Journal:
    def __init__(self, database: Database, facts: Facts) -> None:
        self._database = database
        self._facts = facts
        self._read_cursor: Cursor | None = None

    async def cursor(self) -> Cursor:
        if self._read_cursor is None:
            kept = self._facts.get(_CURSOR)
            try:
                self._read_cursor = _cursor.validate_json(kept) if kept else None
            except ValidationError:
                logger.warning("how far the cloud is told cannot be read: everything is sent anew")
        return self._read_cursor or await self.begin_anew()

    async def begin_anew(self) -> Cursor:
        """Everything there is will be sent; the cloud forgets what is not among it."""
        cursor = Cursor.anew(await self._head())
        await self._keep(cursor)
        # After the new epoch is kept: records of what is gone must outlive the one they belong to.
        async with self._database.transaction() as transaction:
            await transaction.execute("DELETE FROM journal WHERE gone = 1 AND seq <= ?", (cursor.whole,))
            old = "SELECT id FROM tasks WHERE finished = 1 ORDER BY seq DESC LIMIT -1 OFFSET ?"
            for row in await transaction.fetch(old, (KEPT_TASKS,)):
                await transaction.execute("DELETE FROM journal WHERE kind = 'task' AND key = ?", (row["id"],))
                sql = "DELETE FROM journal WHERE kind = 'work' AND key > ? AND key < ?"
                await transaction.execute(sql, (f"{row['id']}/", f"{row['id']}0"))
        logger.info("the cloud is told everything anew: epoch %s, %d changes", cursor.epoch, cursor.whole)
        return cursor

    async def keep_to_ourselves(self) -> None:
        """What was done in one organization is not told to the next; devices are."""
        await self._database.execute("DELETE FROM journal WHERE kind IN ('task', 'work')")
        await self.begin_anew()

    async def next(self, *, always: bool = False) -> InventoryDelta | None:
        """What is to be sent now; None when the cloud has everything, unless something is to be sent `always`."""
        cursor = await self.cursor()
        rows = await self._database.fetch(_READ, (cursor.acked, MAX_CHANGES))
        if not rows and cursor.told and not always:
            return None
        while True:
            batch = _gather(rows, cursor.acked)
            if not rows:
                batch.last = max(cursor.acked, cursor.whole)
            delta = await self._delta(cursor, batch)
            if len(rows) < 2 or len(dump(delta).encode()) <= MAX_MESSAGE:
                return delta
            # Tags and characters that JSON writes longer were not foreseen.
            rows = rows[: len(rows) // 2]

    async def sending(self, delta: InventoryDelta) -> None:
        """Kept before it is sent: an answer that is lost with this process is understood by the next one."""
        cursor = await self.cursor()
        if delta.last > cursor.sent:
            await self._keep(cursor.sending(delta.last))

    async def accepted(self, epoch: str, position: int, *, complete: bool) -> None:
        cursor = await self.cursor()
        moved = cursor.accepted(epoch, position, complete=complete)
        if moved != cursor:
            await self._keep(moved)
            await self._trim(moved)

    async def wanted(self, epoch: str | None, position: int) -> None:
        moved = (await self.cursor()).wanted(epoch, position, floor=int(self._facts.get(_FLOOR) or 0))
        if moved is None:
            await self.begin_anew()
        else:
            await self._keep(moved)

    async def _keep(self, cursor: Cursor) -> None:
        await self._facts.set({_CURSOR: _cursor.dump_json(cursor).decode()})
        self._read_cursor = cursor

    async def _head(self) -> int:
        return int((await self._database.fetch("SELECT coalesce(max(seq), 0) FROM journal"))[0][0])

    async def _trim(self, cursor: Cursor) -> None:
        sql = "SELECT seq FROM journal WHERE gone = 1 AND seq <= ? ORDER BY seq DESC LIMIT 1 OFFSET ?"
        for row in await self._database.fetch(sql, (cursor.acked, KEPT_GONE)):
            await self._facts.set({_FLOOR: str(row["seq"])})
            await self._database.execute("DELETE FROM journal WHERE gone = 1 AND seq <= ?", (row["seq"],))

    async def _delta(self, cursor: Cursor, batch: _Batch) -> InventoryDelta:
        tags = await self._tags([record.id for record in batch.devices] + [""] * batch.host)
        return InventoryDelta(
            epoch=cursor.epoch,
            after=cursor.acked,
            last=batch.last,
            complete=batch.last >= cursor.whole,
            devices=[device_facts(record, tags.get(record.id, [])) for record in batch.devices],
            devices_gone=batch.devices_gone,
            images=batch.images,
            images_gone=batch.images_gone,
            tasks=await self._tasks(batch.tasks),
            work=batch.work,
            tags=tags.get("", []) if batch.host else None,
        )

    async def _tags(self, things: Sequence[str]) -> dict[str, list[TagMark]]:
        found: dict[str, list[TagMark]] = {}
        marks = ", ".join("?" * len(things))
        sql = f"SELECT * FROM tags WHERE thing IN ({marks}) ORDER BY tag"  # noqa: S608 (only question marks)
        for row in await self._database.fetch(sql, things):
            found.setdefault(row["thing"], []).append(tag_mark(row))
        return found

    async def _tasks(self, ids: Iterable[str]) -> list[TaskFacts]:
        found = [row for task in ids for row in await self._database.fetch(_TASK, (task,))]
        return [task_facts(row["record"], row["counts"]) for row in found]


def _gather(rows: Sequence[Row], after: int) -> _Batch:
    """As many as fit into one message; the first always does."""
    batch = _Batch(after)
    for row in rows:
        size = (
            len((row["record"] or "").encode()) + len(row["key"]) + 1200 * (row["kind"] in ("task", "host"))
        )
        if batch.last > after and size > batch.room:
            break
        batch.room -= size
        batch.last = row["seq"]
        try:
            _add(batch, row)
        except (ValidationError, ValueError) as error:
            logger.error("%s %s cannot be told to the cloud: %s", row["kind"], row["key"], error)
    return batch


def _add(batch: _Batch, row: Row) -> None:
    kind, key, record = row["kind"], row["key"], row["record"]
    if kind == "host":
        batch.host = True
    elif kind == "task":
        batch.tasks[key] = None
    elif kind == "work" and record is not None:
        work = work_facts(record)
        batch.work.append(work)
        if work.task not in batch.tasks:
            # Its counts changed too, and the cloud must know it.
            batch.room -= 1200
            batch.tasks[work.task] = None
    elif kind == "device":
        _add_device(batch, key, record)
    elif kind == "image":
        _add_image(batch, key, record)


def _add_device(batch: _Batch, key: str, record: Any) -> None:
    if record is None:
        batch.devices_gone.append(key)
    else:
        # Tags are read for all of them at once.
        batch.room -= 400
        batch.devices.append(DeviceRecord.model_validate_json(record))


def _add_image(batch: _Batch, key: str, record: Any) -> None:
    facts = None if record is None else image_facts(record)
    if facts is None:
        batch.images_gone.append(key[:300])
    else:
        batch.images.append(facts)
