"""Reports that bring nothing new, as most do, every minute from every edge host: all of a moment are kept together."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from farsite_cloud.database import Database
from farsite_cloud.database.scope import anybodys_rows, touch_rows
from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.notices.storage import organizations_of_failing
from farsite_signaling.wire.edge_api import StorageState
from farsite_signaling.wire.hub import Report
from farsite_signaling.wire.ids import EdgeName, clean

_TOLD = (
    EdgeHost.id,
    EdgeHost.organization_id,
    EdgeHost.revoked_at,
    EdgeHost.version,
    EdgeHost.hostname,
    EdgeHost.remote_access,
    EdgeHost.path,
    EdgeHost.devices_managed,
    EdgeHost.devices_other,
    EdgeHost.devices_discovered,
)


async def keep_quiet(
    database: Database, reports: Mapping[int, tuple[EdgeName, Report]], now: datetime
) -> dict[int, bool]:
    """Which of them, by number, are nothing but signs of life. Those are kept; the others are still to be."""
    quiet = await _quiet(database, {number: one for number, one in reports.items() if _is_plain(one[1])})
    if quiet:
        async with database.writing() as session:
            await touch_rows(session, EdgeHost, quiet.values(), {EdgeHost.last_seen: now})
    return {number: number in quiet for number in reports}


def _is_plain(report: Report) -> bool:
    return not report.audit and report.storage == StorageState.OK


async def _quiet(database: Database, reports: Mapping[int, tuple[EdgeName, Report]]) -> dict[int, str]:
    """Ids of the edge hosts."""
    ids = {name.edge for name, _ in reports.values()}
    if not ids:
        return {}
    async with database.reading() as session:
        rows = await anybodys_rows(session, EdgeHost, ids, _TOLD)
        failing = await organizations_of_failing(session, ids)
    return {
        number: name.edge
        for number, (name, report) in reports.items()
        if name.org not in failing and _is_known(name, report, rows.get(name.edge))
    }


def _is_known(name: EdgeName, report: Report, row: Any) -> bool:
    if row is None or row.organization_id != name.org or row.revoked_at is not None:
        return False
    return _values(row) == (
        clean(report.version),
        clean(report.hostname),
        report.remote_access,
        clean(report.path),
        report.devices_managed,
        min(report.devices_other, report.devices_managed),
        report.devices_discovered,
    )


def _values(row: Any) -> tuple[Any, ...]:
    return (
        row.version,
        row.hostname,
        row.remote_access,
        row.path,
        row.devices_managed,
        row.devices_other,
        row.devices_discovered,
    )
