"""Support access that is over: its live sessions and tunnels are cut within a second, whether or not anybody asks."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, or_

from farsite_cloud.accounts.cutting import Cut, cut_off
from farsite_cloud.accounts.service import find_account
from farsite_cloud.audit.log import Act, write
from farsite_cloud.clients.models import ClientDevice
from farsite_cloud.database import Scope
from farsite_cloud.database.scope import due_rows
from farsite_cloud.organizations.service import membership
from farsite_cloud.services import Services
from farsite_cloud.sessions.models import RemoteSession
from farsite_cloud.sessions.service import end_session
from farsite_cloud.support.models import SupportAccess
from farsite_signaling.wire.errors import ErrorCode

# A process that dies while it cuts is followed by another one after this.
LEASE = timedelta(seconds=10)
ACTOR = "farsite"
OVER = "The support access has ended."


async def cut_one(services: Services) -> bool:
    """Cut one that is due. False when there was none."""
    now = services.clock()
    async with services.database.reading() as session:
        due = await due_rows(session, SupportAccess, *_due(now))
    if not due:
        return False
    organization_id, access_id = due[0]
    if not await _take(services, organization_id, access_id, now):
        return True
    await (await _end(services, organization_id, access_id, now)).tell(services.peers)
    async with services.database.writing() as session:
        (await Scope(session, organization_id).get(SupportAccess, access_id, "support access")).cut = True
    return True


def _due(now: datetime) -> list[ColumnElement[bool]]:
    return [
        SupportAccess.cut.is_(False),
        or_(SupportAccess.until <= now, SupportAccess.ended_at.is_not(None)),
        or_(SupportAccess.lease_until.is_(None), SupportAccess.lease_until <= now),
    ]


async def _take(services: Services, organization_id: str, access_id: str, now: datetime) -> bool:
    """The update decides who has it, however many processes look."""
    async with services.database.writing() as session:
        scope = Scope(session, organization_id)
        mine = scope.update(SupportAccess).where(SupportAccess.id == access_id, *_due(now))
        return await scope.change(mine.values(lease_until=now + LEASE)) == 1


async def _end(services: Services, organization_id: str, access_id: str, now: datetime) -> Cut:
    async with services.database.writing() as session:
        scope = Scope(session, organization_id)
        access = await scope.get(SupportAccess, access_id, "support access")
        if access.ended_at is None:
            access.ended_at, access.ended_by = access.until, ""
            act = Act("support.expired", ACTOR, "", [organization_id], access.email)
            act.details = {"role": access.role, "granted_by": access.granted_by}
            write(session, act, now)
        account = await find_account(session, access.email)
        if account is None:
            return Cut(OVER)
        return await _cut(scope, account.id, access, now)


async def _cut(scope: Scope, account_id: str, access: SupportAccess, now: datetime) -> Cut:
    """Also what another process ended that could not tell anybody any more."""
    if await membership(scope.session, scope.organization_id, account_id) is None:
        await cut_off(scope, account_id, OVER, now)
    # Its sessions were granted until then, so that by now they count as over: their ends are told all the same.
    theirs = scope.select(RemoteSession).where(
        RemoteSession.account_id == account_id, RemoteSession.created_at >= access.created_at
    )
    for session in await scope.all(theirs.where(RemoteSession.ended_at.is_(None))):
        end_session(session, ErrorCode.SESSION_ENDED, now)
    await scope.session.flush()
    revoked = scope.select(ClientDevice).where(
        ClientDevice.account_id == account_id, ClientDevice.revoked_at >= access.ended_at
    )
    ended = theirs.where(RemoteSession.ended_at >= access.ended_at)
    return Cut(OVER, await scope.all(ended), await scope.all(revoked))
