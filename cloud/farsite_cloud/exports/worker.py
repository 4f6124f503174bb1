"""Makes exports that were asked for, and removes those that have expired."""

from __future__ import annotations

import logging
from datetime import datetime

from farsite_cloud.database import Scope
from farsite_cloud.database.scope import due_rows
from farsite_cloud.exports.making import Maker
from farsite_cloud.exports.models import Export
from farsite_cloud.exports.service import MOST_ATTEMPTS, Exports, due, expired
from farsite_cloud.services import Services
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.lifecycle_api import ExportState

logger = logging.getLogger(__name__)


async def export_one(services: Services) -> bool:
    """False when there is nothing to do."""
    now = services.clock()
    async with services.database.reading() as session:
        old = await due_rows(session, Export, expired(now))
        wanted = await due_rows(session, Export, due(now))
    for organization_id, export_id in old:
        await _expire(services, organization_id, export_id)
    for organization_id, export_id in wanted:
        await _make(services, organization_id, export_id, now)
    return bool(old or wanted)


async def _expire(services: Services, organization_id: str, export_id: str) -> None:
    async with services.database.writing(patient=True) as session:
        exports = Exports(Scope(session, organization_id))
        await exports.clear(export_id)
        (await exports.get(export_id)).state = ExportState.EXPIRED


async def _make(services: Services, organization_id: str, export_id: str, now: datetime) -> None:
    async with services.database.writing(patient=True) as session:
        exports = Exports(Scope(session, organization_id))
        if not await exports.take(export_id, now):
            return
        await exports.clear(export_id)
        export = await exports.get(export_id)
        if export.attempts > MOST_ATTEMPTS:
            export.state, export.lease_until = ExportState.FAILED, None
            export.finished_at = now
            export.problem = (
                f"It broke off {MOST_ATTEMPTS} times. See the server's log, then ask for another."
            )
            return
    try:
        await Maker(services, organization_id, export_id).make()
    except FarsiteError as error:
        # The lease runs out, and it is begun again.
        logger.error("export %s broke off: %s", export_id, error)
