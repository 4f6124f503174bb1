"""Exports as durable rows: asked for, taken with a lease, finished once, expiring."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, or_

from farsite_cloud.database import Scope
from farsite_cloud.exports.models import Export, ExportChunk
from farsite_cloud.ids import new_id
from farsite_cloud.vault import Vault
from farsite_signaling.wire import lifecycle_api as wire
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.lifecycle_api import ExportState

KEPT_FOR = timedelta(days=3)
LEASE = timedelta(minutes=1)
MOST_ATTEMPTS = 3
MOST_KEPT = 5
_UNFINISHED = (ExportState.QUEUED, ExportState.RUNNING)


def purpose(export_id: str) -> str:
    """What its chunks are sealed for."""
    return f"export {export_id}"


def due(now: datetime) -> ColumnElement[bool]:
    free = or_(Export.lease_until.is_(None), Export.lease_until <= now)
    return and_(Export.state.in_(_UNFINISHED), free)


def expired(now: datetime) -> ColumnElement[bool]:
    return and_(Export.state == ExportState.DONE, Export.expires_at <= now)


class Exports:
    """Those of the scope's organization."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def list(self) -> list[Export]:
        """Newest first."""
        return await self._scope.all(self._scope.select(Export).order_by(Export.id.desc()).limit(100))

    async def get(self, export_id: str) -> Export:
        """Raises `not_found`."""
        return await self._scope.get(Export, export_id, "export")

    async def request(self, by: str, now: datetime) -> Export:
        """Raises `conflict` while one is being made, and when as many are kept as may be."""
        kept = [*_UNFINISHED, ExportState.DONE]
        there = await self._scope.all(self._scope.select(Export).where(Export.state.in_(kept)))
        if any(export.state != ExportState.DONE for export in there):
            raise FarsiteError(ErrorCode.CONFLICT, "An export is being made already. Wait for it.")
        if len(there) >= MOST_KEPT:
            detail = f"At most {MOST_KEPT} exports are kept at a time. Remove one first."
            raise FarsiteError(ErrorCode.CONFLICT, detail)
        export = Export(
            id=new_id(now),
            state=ExportState.QUEUED,
            requested_by=by,
            step="",
            rows_done=0,
            rows_total=0,
            created_at=now,
            attempts=0,
            size=0,
            sha256="",
            problem="",
        )
        self._scope.add(export)
        return export

    async def take(self, export_id: str, now: datetime) -> bool:
        """The update decides who makes it, however many processes look."""
        mine = self._scope.update(Export).where(Export.id == export_id, due(now))
        taken = mine.values(
            state=ExportState.RUNNING, lease_until=now + LEASE, attempts=Export.attempts + 1, rows_done=0
        )
        return await self._scope.change(taken) == 1

    async def clear(self, export_id: str) -> None:
        """Its file, or what an attempt that broke off left of it."""
        gone = self._scope.delete(ExportChunk).where(ExportChunk.export_id == export_id)
        await self._scope.change(gone)

    async def remove(self, export: Export) -> None:
        await self.clear(export.id)
        await self._scope.change(self._scope.delete(Export).where(Export.id == export.id))

    async def add_chunk(self, export_id: str, number: int, data: bytes, vault: Vault, now: datetime) -> None:
        sealed = vault.seal(data, purpose(export_id))
        self._scope.add(ExportChunk(id=new_id(now), export_id=export_id, number=number, data=sealed))

    async def chunk(self, export_id: str, number: int, vault: Vault) -> bytes | None:
        """None behind the last one."""
        found = await self._scope.first(
            self._scope.select(ExportChunk).where(
                ExportChunk.export_id == export_id, ExportChunk.number == number
            )
        )
        return None if found is None else vault.unseal(found.data, purpose(export_id))


def export_answer(export: Export) -> wire.Export:
    return wire.Export(
        id=export.id,
        state=ExportState(export.state),
        requested_by=export.requested_by,
        step=export.step,
        rows_done=export.rows_done,
        rows_total=export.rows_total,
        created_at=export.created_at,
        finished_at=export.finished_at,
        expires_at=export.expires_at,
        size=export.size,
        sha256=export.sha256,
        problem=export.problem,
    )
