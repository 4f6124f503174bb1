"""What an audit query asks for, as conditions on rows."""

from __future__ import annotations

import json

from sqlalchemy import ColumnElement, String, cast, or_

from farsite_cloud.audit.models import AuditEvent
from farsite_signaling.wire.audit_api import AuditFilter


def conditions(wanted: AuditFilter) -> list[ColumnElement[bool]]:
    found = [
        column.icontains(text, autoescape=True)
        for column, text in (
            (AuditEvent.actor, wanted.actor),
            (AuditEvent.target, wanted.target),
            (AuditEvent.source, wanted.source),
        )
        if text is not None
    ]
    if wanted.action is not None:
        group = AuditEvent.action.istartswith(wanted.action.rstrip(".") + ".", autoescape=True)
        found.append(or_(AuditEvent.action == wanted.action, group))
    if wanted.outcome is not None:
        found.append(AuditEvent.outcome == wanted.outcome)
    if wanted.session is not None:
        found.append(AuditEvent.session == wanted.session)
    if wanted.edge is not None:
        found.append(_edge(wanted.edge))
    if wanted.since is not None:
        found.append(AuditEvent.at >= wanted.since)
    if wanted.until is not None:
        found.append(AuditEvent.at < wanted.until)
    if wanted.text is not None:
        found.append(_anywhere(wanted.text))
    return found


def _edge(edge: str) -> ColumnElement[bool]:
    name = AuditEvent.target.endswith(f":edge:{edge}", autoescape=True)
    return or_(AuditEvent.origin == edge, AuditEvent.target == edge, name)


def _anywhere(text: str) -> ColumnElement[bool]:
    columns = (AuditEvent.actor, AuditEvent.action, AuditEvent.target, AuditEvent.source)
    details = cast(AuditEvent.details, String)
    # Stored as JSON in ASCII: quotes and other scripts are escaped there.
    escaped = json.dumps(text)[1:-1]
    return or_(
        *(column.icontains(text, autoescape=True) for column in columns),
        details.icontains(escaped, autoescape=True),
    )
