"""What an edge host is told of its organization's licences."""

from __future__ import annotations

from datetime import datetime

from farsite_cloud.licences.counting import Standing
from farsite_signaling.wire.licence import LicenceClaims


def claims_for(standing: Standing, organization_id: str, edge_id: str, now: datetime) -> LicenceClaims:
    until = standing.changes_until(edge_id)
    return LicenceClaims(
        org=organization_id,
        at=int(now.timestamp()),
        state=standing.state,
        changes_until=None if until is None else int(until.timestamp()),
    )
