"""Writing to the audit log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.audit.append import put
from farsite_cloud.audit.entry import Entry
from farsite_cloud.database import Scope
from farsite_signaling.wire.audit_chain import OPERATOR
from farsite_signaling.wire.hub import AuditEntry

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
    """One row in the log of each organization it concerns, in the operator's when it concerns none.

    Appended last in the unit of work: the rows are there once it is committed, and not before.
    """
    entry = Entry(
        at=now,
        actor=act.actor,
        action=act.action,
        target=act.target,
        outcome=act.outcome,
        source=act.source,
        session=act.session,
        details=act.details,
    )
    for chain in dict.fromkeys(act.organizations or [OPERATOR]):
        put(session, chain, entry, now)


def keep_reported(scope: Scope, edge_id: str, entries: Iterable[AuditEntry], now: datetime) -> None:
    """Rows an edge host reported, in its order; those kept before are left out when they are appended."""
    for entry in entries:
        put(scope.session, scope.organization_id, _reported(edge_id, entry), now)


def _reported(edge_id: str, entry: AuditEntry) -> Entry:
    return Entry(
        at=entry.at,
        actor=entry.actor,
        action=entry.action,
        target=entry.target,
        outcome=entry.outcome,
        source=f"edge {edge_id}",
        session=entry.session,
        details=entry.details,
        origin=edge_id,
        origin_id=entry.id,
    )
