"""Orders in the database."""

from __future__ import annotations

from farsite_edge.store import Database
from farsite_edge.work.record import OrderRecord

KEPT = 2000
"""Orders that are over and known to the cloud beyond these are forgotten, the oldest first."""


class OrderStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self) -> list[OrderRecord]:
        """What the cloud does not know the end of, oldest first."""
        rows = await self._database.fetch("SELECT * FROM work_orders WHERE closed = 0 ORDER BY seq")
        return [OrderRecord.read(row) for row in rows]

    async def find(self, order: str) -> OrderRecord | None:
        rows = await self._database.fetch("SELECT * FROM work_orders WHERE id = ?", (order,))
        return OrderRecord.read(rows[0]) if rows else None

    async def add(self, record: OrderRecord) -> None:
        async with self._database.transaction() as transaction:
            sql = "INSERT INTO work_orders (id, claims, task, ended, code, detail) VALUES (?, ?, ?, ?, ?, ?)"
            await transaction.execute(sql, (record.id, *_said(record)))
            sql = (
                "DELETE FROM work_orders WHERE seq IN "
                "(SELECT seq FROM work_orders WHERE closed = 1 ORDER BY seq DESC LIMIT -1 OFFSET ?)"
            )
            await transaction.execute(sql, (KEPT,))

    async def keep(self, record: OrderRecord) -> None:
        """What the order is now; there is something to tell again. What was told already is not touched."""
        sql = (
            "UPDATE work_orders SET claims = ?, task = ?, ended = ?, code = ?, detail = ?, closed = 0, "
            "touched = touched + 1 WHERE id = ?"
        )
        await self._database.execute(sql, (*_said(record), record.id))

    async def next_revision(self, order: str) -> int:
        async with self._database.transaction() as transaction:
            sql = "UPDATE work_orders SET revision = revision + 1 WHERE id = ?"
            await transaction.execute(sql, (order,))
            rows = await transaction.fetch("SELECT revision FROM work_orders WHERE id = ?", (order,))
        return int(rows[0]["revision"])

    async def told(self, order: str, steps: int, devices: int) -> None:
        """How much of its task the cloud has."""
        sql = "UPDATE work_orders SET steps_sent = ?, devices_sent = ? WHERE id = ?"
        await self._database.execute(sql, (steps, devices, order))

    async def close(self, order: str, touched: int | None = None) -> None:
        """Nothing more to tell, unless something was done to it since `touched`."""
        sql = "UPDATE work_orders SET closed = 1 WHERE id = ? AND (? IS NULL OR touched = ?)"
        await self._database.execute(sql, (order, touched, touched))


def _said(record: OrderRecord) -> tuple[object, ...]:
    return (record.order.model_dump_json(), record.task, record.ended, record.code, record.detail)
