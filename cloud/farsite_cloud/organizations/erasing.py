"""Organizations whose time to be restored has passed: their peers are told, then everything is erased."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from farsite_cloud.accounts.cutting import Cut
from farsite_cloud.accounts.service import addresses_of
from farsite_cloud.audit.log import Act, write
from farsite_cloud.clients.models import ClientDevice
from farsite_cloud.database import Scope
from farsite_cloud.database.erase import erase_organization
from farsite_cloud.edge_hosts.service import EdgeHosts, edge_name
from farsite_cloud.mail.letters import Letter, render
from farsite_cloud.mail.queue import put
from farsite_cloud.organizations.models import ErasedOrganization
from farsite_cloud.organizations.service import (
    deletion_due,
    find_organization,
    lock,
    members_of,
    take_deletion,
)
from farsite_cloud.services import Services
from farsite_cloud.sessions.models import RemoteSession
from farsite_cloud.sessions.service import end_session
from farsite_signaling.wire.errors import ErrorCode

logger = logging.getLogger(__name__)
# A process that dies while it erases is followed by another one after this; every step can be done again.
LEASE = timedelta(minutes=2)
ACTOR = "farsite"
DELETED = "The organization was deleted."


async def erase_one(services: Services) -> bool:
    """False when none is due."""
    now = services.clock()
    async with services.database.reading() as session:
        organization_id = await deletion_due(session, now)
    if organization_id is None:
        return False
    async with services.database.writing() as session:
        if not await take_deletion(session, organization_id, now, now + LEASE):
            return True
    await _cut(services, organization_id, now)
    await _erase(services, organization_id, now)
    return True


async def _cut(services: Services, organization_id: str, now: datetime) -> None:
    """From here on no certificate of the organization is accepted."""
    async with services.database.writing() as session:
        scope = Scope(session, organization_id)
        edges = await EdgeHosts(scope).revoke_all(now)
        sessions = await scope.all(scope.select(RemoteSession).where(RemoteSession.ended_at.is_(None)))
        for one in sessions:
            end_session(one, ErrorCode.SESSION_ENDED, now)
        clients = await scope.all(scope.select(ClientDevice))
        for client in clients:
            client.revoked_at = client.revoked_at or now
    await Cut(DELETED, sessions, clients).tell(services.peers)
    for edge in edges:
        urn = str(edge_name(edge))
        await services.peers.disconnect(urn, ErrorCode.CERTIFICATE_REVOKED, DELETED, retry=False)


async def _erase(services: Services, organization_id: str, now: datetime) -> None:
    async with services.database.writing(patient=True) as session:
        if await find_organization(session, organization_id) is None:
            return
        # Nobody adds a row to it from here on.
        organization = await lock(session, organization_id)
        people = await addresses_of(session, await members_of(session, organization_id))
        name, by = organization.name, organization.deletion_by
        session.expunge(organization)
        erased = await erase_organization(session, organization_id)
        session.add(ErasedOrganization(id=organization_id, erased_at=now))
        for email in people:
            letter = render(Letter.ERASED, email=email, url=services.urls.api, organization=name, by=by)
            put(session, email, letter, services.vault, now)
        act = Act("organization.erased", ACTOR, "", [], organization_id)
        act.details = {"requested_by": by, "rows": sum(erased.values())}
        write(session, act, now)
    await services.mailer.wake()
    logger.warning("organization %s was erased: %d rows", organization_id, sum(erased.values()))
