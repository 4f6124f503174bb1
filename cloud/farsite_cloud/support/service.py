"""Support access: granted to an address, in force until its time, ended."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.database import EVERYWHERE, Reach, Scope
from farsite_cloud.database.scope import owners_of
from farsite_cloud.ids import new_id
from farsite_cloud.support.models import SupportAccess
from farsite_signaling.wire import access_api as wire
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import EVERY_FOLDER, Role

MOST = 100


class SupportAccesses:
    """Those of the scope's organization, ended ones too."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def page(self, after: str | None, limit: int) -> list[SupportAccess]:
        """Newest first; one more than `limit`, if there are."""
        statement = self._scope.select(SupportAccess)
        if after is not None:
            statement = statement.where(SupportAccess.id < after)
        return await self._scope.all(statement.order_by(SupportAccess.id.desc()).limit(limit + 1))

    async def get(self, access_id: str) -> SupportAccess:
        """Raises `not_found`."""
        return await self._scope.get(SupportAccess, access_id, "support access")

    async def active(self, now: datetime) -> list[SupportAccess]:
        return await self._scope.all(_in_force(self._scope, now))

    async def grant(
        self, body: wire.SupportRequest, until: datetime, granted_by: str, now: datetime
    ) -> SupportAccess:
        """Raises `conflict` for an address that has access already."""
        if await find_support(self._scope.session, self._scope.organization_id, body.email, now):
            detail = f"{body.email} has support access already. Change when it ends, or end it first."
            raise FarsiteError(ErrorCode.CONFLICT, detail)
        if len(await self.active(now)) >= MOST:
            raise FarsiteError(ErrorCode.CONFLICT, f"At most {MOST} people have support access at a time.")
        access = SupportAccess(
            id=new_id(now),
            email=body.email,
            role=body.role,
            all_folders=body.all_folders or body.role in EVERY_FOLDER,
            folder_ids=sorted(set(body.folder_ids)),
            reason=body.reason,
            granted_by=granted_by,
            created_at=now,
            until=until,
            ended_by="",
            cut=False,
            revision=1,
        )
        self._scope.add(access)
        return access


def end_now(access: SupportAccess, by: str, now: datetime) -> None:
    """The sweeper cuts what is live."""
    access.ended_at, access.ended_by = now, by
    access.revision += 1


def _in_force(scope: Scope, now: datetime) -> Select[SupportAccess]:
    return scope.select(SupportAccess).where(SupportAccess.ended_at.is_(None), SupportAccess.until > now)


async def find_support(
    session: AsyncSession, organization_id: str, email: str, now: datetime
) -> SupportAccess | None:
    """What is in force for this address, by the clock: it ends by itself."""
    scope = Scope(session, organization_id)
    return await scope.first(_in_force(scope, now).where(SupportAccess.email == email))


async def supported_by(session: AsyncSession, email: str, now: datetime) -> list[str]:
    """Organizations that let this address in."""
    return await owners_of(
        session,
        SupportAccess,
        SupportAccess.email == email,
        SupportAccess.ended_at.is_(None),
        SupportAccess.until > now,
    )


def supporters_reach(access: SupportAccess) -> Reach:
    if access.all_folders or access.role in EVERY_FOLDER:
        return EVERYWHERE
    return Reach(frozenset(access.folder_ids))


def support_answer(access: SupportAccess, now: datetime) -> wire.SupportAccess:
    return wire.SupportAccess(
        id=access.id,
        email=access.email,
        role=Role(access.role),
        folder_ids=None if access.all_folders else access.folder_ids,
        reason=access.reason,
        granted_by=access.granted_by,
        created_at=access.created_at,
        until=access.until,
        active=access.ended_at is None and access.until > now,
        ended_at=access.ended_at or (access.until if access.until <= now else None),
        ended_by=access.ended_by,
    )
