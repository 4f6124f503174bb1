"""Edge hosts whose disk is full, read-only or broken: what they report of it, as notices."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.database import Scope
from farsite_cloud.database.scope import owners_of
from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.edge_hosts.service import EdgeHosts
from farsite_cloud.notices.events import emit
from farsite_cloud.notices.models import NoticeEvent
from farsite_signaling.wire.edge_api import StorageState
from farsite_signaling.wire.hub import AuditEntry, Report
from farsite_signaling.wire.notices_api import NoticeKind

REPAIRED = "edge.database_repaired"
_WORDS = {
    StorageState.FULL: "The disk of the edge host {name!r} is full: nothing can be changed there.",
    StorageState.READ_ONLY: "The data folder of the edge host {name!r} is read-only: nothing can be changed there.",
    StorageState.DAMAGED: "The database of the edge host {name!r} is damaged. It is repaired by itself.",
}
_FAILING = (NoticeEvent.kind == NoticeKind.EDGE_STORAGE_FAILING, NoticeEvent.lasting.is_(True))
_OTHER = "The storage of the edge host {name!r} fails: nothing can be changed there."


async def storage_reported(scope: Scope, edge_id: str, report: Report, now: datetime) -> None:
    """Told once, until it is well again. A database that was repaired is told of, too."""
    told = await _told(scope, edge_id)
    bad = report.storage != StorageState.OK
    repairs = [row for row in report.audit if row.action == REPAIRED]
    if not repairs and bad == bool(told):
        return
    edge = await EdgeHosts(scope).get(edge_id)
    for row in repairs:
        await _tell_repair(scope, edge, row, now)
    if bad and not told:
        await _tell_failing(scope, edge, report, now)
    elif not bad and told:
        await _tell_recovered(scope, edge, told, now)


async def organizations_of_failing(session: AsyncSession, edges: Collection[str]) -> set[str]:
    """Those that were told, or are about to be told, that the storage of one of these edge hosts fails."""
    theirs = NoticeEvent.edge_host_id.in_(sorted(edges))
    return set(await owners_of(session, NoticeEvent, theirs, *_FAILING))


async def _told(scope: Scope, edge_id: str) -> list[NoticeEvent]:
    """What was told of it and is not over."""
    statement = scope.select(NoticeEvent).where(NoticeEvent.edge_host_id == edge_id, *_FAILING)
    return list(await scope.all(statement))


async def _tell_failing(scope: Scope, edge: EdgeHost, report: Report, now: datetime) -> None:
    known = report.storage in list(StorageState)
    words = _WORDS.get(StorageState(report.storage), _OTHER) if known else _OTHER
    await emit(
        scope,
        NoticeKind.EDGE_STORAGE_FAILING,
        words.format(name=edge.name),
        key=f"storage {edge.id} {now.isoformat()}",
        now=now,
        edge_host_id=edge.id,
        details={"name": edge.name, "storage": report.storage, "detail": report.storage_detail},
        lasting=True,
    )


async def _tell_recovered(scope: Scope, edge: EdgeHost, told: list[NoticeEvent], now: datetime) -> None:
    """What nobody was told of yet is not told of any more."""
    for event in told:
        event.lasting = False
        if event.due_at is not None:
            event.due_at = None
            continue
        await emit(
            scope,
            NoticeKind.EDGE_STORAGE_RECOVERED,
            f"The storage of the edge host {edge.name!r} works again.",
            key=f"storage fine {event.id}",
            now=now,
            edge_host_id=edge.id,
            details={"name": edge.name},
        )


async def _tell_repair(scope: Scope, edge: EdgeHost, row: AuditEntry, now: datetime) -> None:
    await emit(
        scope,
        NoticeKind.EDGE_STORAGE_FAILING,
        f"The database of the edge host {edge.name!r} was damaged and has been repaired. "
        f"{row.details.get('detail', '')}",
        key=f"repaired {edge.id} {row.id}",
        now=now,
        edge_host_id=edge.id,
        details={"name": edge.name, "storage": "repaired"},
    )
