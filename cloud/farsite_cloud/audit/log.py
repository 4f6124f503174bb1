"""Writing and reading the audit log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.audit.models import AuditEvent
from farsite_cloud.database import Scope
from farsite_cloud.ids import new_id
from farsite_signaling.wire import cloud_api as wire
from farsite_signaling.wire.hub import AuditEntry
from farsite_signaling.wire.ids import clean

ALLOWED, REFUSED, FAILED = "allowed", "refused", "failed"


@dataclass
class Act:
    """One audited act. Handlers add to `target`, `session` and `details` while they find them out."""

    action: str
    actor: str
    source: str
    organizations: list[str]
    target: str = ""
    session: str | None = None
    outcome: str = ALLOWED
    details: dict[str, Any] = field(default_factory=dict)


def write(session: AsyncSession, act: Act, now: datetime) -> None:
    """One row in the log of each organization it concerns."""
    for organization_id in act.organizations:
        Scope(session, organization_id).add(_row(act, now))


def _row(act: Act, now: datetime) -> AuditEvent:
    return AuditEvent(
        id=new_id(now),
        at=now,
        actor=clean(act.actor[:400]),
        action=act.action,
        target=clean(act.target[:400]),
        outcome=act.outcome,
        source=act.source[:64],
        session=act.session,
        details=act.details,
    )


async def keep_reported(scope: Scope, edge_id: str, entries: Iterable[AuditEntry], now: datetime) -> None:
    """Rows an edge host reported; those kept before are left out, so that sending twice is harmless."""
    fresh = {entry.id: entry for entry in entries}
    statement = scope.select(AuditEvent).where(
        AuditEvent.origin == edge_id, AuditEvent.origin_id.in_(list(fresh))
    )
    for row in await scope.all(statement):
        fresh.pop(row.origin_id or "", None)
    for entry in fresh.values():
        scope.add(_reported(edge_id, entry, now))


def _reported(edge_id: str, entry: AuditEntry, now: datetime) -> AuditEvent:
    return AuditEvent(
        id=new_id(now),
        at=entry.at,
        actor=clean(entry.actor),
        action=clean(entry.action),
        target=clean(entry.target),
        outcome=entry.outcome,
        source=f"edge {edge_id}",
        session=clean(entry.session or "")[:64] or None,
        details=entry.details,
        origin=edge_id,
        origin_id=entry.id,
    )


def audit_answer(row: AuditEvent) -> wire.AuditRow:
    return wire.AuditRow(
        id=row.id,
        at=row.at,
        actor=row.actor,
        action=row.action,
        target=row.target,
        outcome=row.outcome,
        source=row.source,
        session=row.session,
        details=row.details,
    )
