"""Invitations: made, renewed, revoked, accepted by the invited address alone."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.accounts.mailed import code_digest, new_code
from farsite_cloud.database import Scope
from farsite_cloud.database.scope import owners_of
from farsite_cloud.ids import new_id
from farsite_cloud.invitations.models import Invitation
from farsite_cloud.organizations.models import Organization
from farsite_signaling.rest.etags import tag_of
from farsite_signaling.wire import people_api as wire
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import EVERY_FOLDER, Role

LIFETIME = timedelta(days=7)
MOST_PENDING = 2_000


class Invitations:
    """Those of the scope's organization. Accepted and revoked ones are no longer there."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def list(self, after: str | None, limit: int) -> list[Invitation]:
        """One more than `limit`, if there are; expired ones too, for they can be sent again."""
        statement = self._scope.select(Invitation)
        if after is not None:
            statement = statement.where(Invitation.id > after)
        return await self._scope.all(statement.order_by(Invitation.id).limit(limit + 1))

    async def get(self, invitation_id: str) -> Invitation:
        """Raises `not_found`."""
        return await self._scope.get(Invitation, invitation_id, "invitation")

    async def invite(
        self, email: str, body: wire.InvitationRequest, invited_by: str, now: datetime
    ) -> tuple[Invitation, str]:
        """The invitation and its code. Inviting an address again replaces what was pending."""
        await self.withdraw(email)
        if await self._scope.count(self._scope.select(Invitation)) >= MOST_PENDING:
            detail = f"An organization has at most {MOST_PENDING} pending invitations."
            raise FarsiteError(ErrorCode.CONFLICT, detail)
        code, digest = new_code()
        invitation = Invitation(
            id=new_id(now),
            email=email,
            role=body.role,
            all_folders=body.all_folders or body.role in EVERY_FOLDER,
            folder_ids=sorted(set(body.folder_ids)),
            digest=digest,
            invited_by=invited_by,
            created_at=now,
            expires_at=now + LIFETIME,
        )
        self._scope.add(invitation)
        return invitation, code

    async def withdraw(self, email: str) -> None:
        await self._scope.change(self._scope.delete(Invitation).where(Invitation.email == email))

    async def take(self, invitation: Invitation) -> None:
        """However many accept it at once, one succeeds. Raises `code_invalid`."""
        taken = self._scope.delete(Invitation).where(Invitation.id == invitation.id)
        if await self._scope.change(taken) != 1:
            raise gone()

    async def pending_of(self, email: str, now: datetime) -> Invitation | None:
        return await self._scope.first(
            self._scope.select(Invitation).where(Invitation.email == email, Invitation.expires_at > now)
        )

    async def with_code(self, code: str, now: datetime) -> Invitation:
        """Raises `code_invalid`."""
        found = await self._scope.first(
            self._scope.select(Invitation).where(
                Invitation.digest == code_digest(code), Invitation.expires_at > now
            )
        )
        if found is None:
            raise gone()
        return found


def renew(invitation: Invitation, now: datetime) -> str:
    """A new code and a new time to use it; the old code is void."""
    code, invitation.digest = new_code()
    invitation.expires_at = now + LIFETIME
    return code


async def organizations_inviting(session: AsyncSession, email: str) -> list[str]:
    return await owners_of(session, Invitation, Invitation.email == email)


async def organization_of_code(session: AsyncSession, code: str) -> str:
    """Raises `code_invalid`."""
    found = await owners_of(session, Invitation, Invitation.digest == code_digest(code))
    if not found:
        raise gone()
    return found[0]


async def any_invitation(session: AsyncSession, email: str, now: datetime) -> bool:
    return bool(await owners_of(session, Invitation, Invitation.email == email, Invitation.expires_at > now))


def gone() -> FarsiteError:
    detail = (
        "This invitation is not there any more: it was accepted or revoked, or has expired. Ask for another."
    )
    return FarsiteError(ErrorCode.CODE_INVALID, detail)


def starting_role(invitation: Invitation, organization: Organization) -> Role:
    return Role.VIEWER if organization.invited_start_as_viewers else Role(invitation.role)


def invitation_answer(invitation: Invitation, organization: Organization, now: datetime) -> wire.Invitation:
    return wire.Invitation(
        id=invitation.id,
        email=invitation.email,
        role=Role(invitation.role),
        starts_as=starting_role(invitation, organization),
        folder_ids=None if invitation.all_folders else invitation.folder_ids,
        invited_by=invitation.invited_by,
        created_at=invitation.created_at,
        expires_at=invitation.expires_at,
        expired=invitation.expires_at <= now,
        etag=tag_of(revision_of(invitation)),
    )


def revision_of(invitation: Invitation) -> int:
    """Sending it again is all that changes one, and gives it a new end."""
    return int(invitation.expires_at.timestamp() * 1000)
