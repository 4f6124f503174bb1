"""Edge hosts that came and went: all of a moment are kept together, and what waited for them is looked at."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.database import Database, Scope
from farsite_cloud.database.scope import touch_rows
from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.notices.watch import edges_are_back, organizations_of_absent
from farsite_cloud.work.reports import edges_changed, organizations_with_orders
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.ids import EdgeName

logger = logging.getLogger(__name__)
Changes = Mapping[int, tuple[EdgeName, bool]]
"""By number: which edge host, and whether it is online now."""


async def keep_presence(
    database: Database, changes: Changes, now: datetime
) -> tuple[dict[int, FarsiteError | None], bool]:
    """What of each change could not be kept; whether there is now something to be done.

    Most edge hosts that come or go are waited for by nobody. So their organizations are gone into only where there are
    orders for them, or where it was told that they are away.
    """
    ids = {name.edge for name, _ in changes.values()}
    back = {name.edge for name, online in changes.values() if online}
    async with database.writing() as session:
        await touch_rows(session, EdgeHost, ids, {EdgeHost.last_seen: now})
    async with database.reading() as session:
        concerned = await _concerned(session, ids, back)
    failed = await _tell_all(database, changes, concerned, now)
    return {number: failed.get(name.org) for number, (name, _) in changes.items()}, bool(concerned)


async def _concerned(session: AsyncSession, ids: Collection[str], back: Collection[str]) -> set[str]:
    found = await organizations_with_orders(session, ids)
    return found | await organizations_of_absent(session, back) if back else found


async def _tell_all(
    database: Database, changes: Changes, concerned: Collection[str], now: datetime
) -> dict[str, FarsiteError]:
    """One organization's failure is not the others'."""
    failed: dict[str, FarsiteError] = {}
    for organization, ours in _by_organization(changes.values()).items():
        if organization not in concerned:
            continue
        try:
            async with database.writing() as session:
                await _tell(Scope(session, organization), ours, now)
        except FarsiteError as error:
            logger.error("organization %s: %s", organization, error)
            failed[organization] = error
    return failed


async def _tell(scope: Scope, changes: Iterable[tuple[EdgeName, bool]], now: datetime) -> None:
    ids = {name.edge for name, _ in changes}
    back = {name.edge for name, online in changes if online}
    await edges_changed(scope, ids, now)
    if back:
        await edges_are_back(scope, back, now)


def _by_organization(
    changes: Iterable[tuple[EdgeName, bool]],
) -> dict[str, list[tuple[EdgeName, bool]]]:
    ours: dict[str, list[tuple[EdgeName, bool]]] = defaultdict(list)
    for change in changes:
        ours[change[0].org].append(change)
    return ours
