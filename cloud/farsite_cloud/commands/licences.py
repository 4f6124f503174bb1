"""`farsite cloud forget-clock`: what was remembered of a clock that was wrong."""

from __future__ import annotations

import asyncio
from datetime import datetime

from farsite_cloud.audit.log import Act, write
from farsite_cloud.clock import system_clock
from farsite_cloud.commands.store import stored
from farsite_cloud.database import Database, Scope
from farsite_cloud.licences.models import LicenceRecord
from farsite_cloud.organizations.service import all_organizations
from farsite_cloud.settings import CloudSettings


def forget_clock(settings: CloudSettings) -> int:
    """How many organizations had a later time than now."""
    return asyncio.run(_forget(settings))


async def _forget(settings: CloudSettings) -> int:
    async with stored(settings) as database:
        return await forget(database, system_clock())


async def forget(database: Database, now: datetime) -> int:
    changed = 0
    async with database.writing() as session:
        for organization_id in await all_organizations(session):
            record = await Scope(session, organization_id).find(LicenceRecord, organization_id)
            if record is None or record.seen_at <= now:
                continue
            changed += 1
            record.seen_at = now
            if record.covered_at is not None:
                record.covered_at = min(record.covered_at, now)
            act = Act("licence.clock_forgotten", "operator", "farsite cloud", [organization_id])
            write(session, act, now)
    return changed
