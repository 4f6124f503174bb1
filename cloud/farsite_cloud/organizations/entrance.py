"""How an account is let into an organization: as a member, or for a limited time as support."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.accounts.tokens import Caller
from farsite_cloud.database import Reach
from farsite_cloud.organizations.models import Organization
from farsite_cloud.organizations.service import (
    all_memberships,
    find_organization,
    membership,
    organization_answer,
    reach_of,
)
from farsite_cloud.support.service import find_support, supported_by, supporters_reach
from farsite_signaling.wire import cloud_api as wire
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import (
    IN_CHOSEN_FOLDERS,
    IN_CHOSEN_SESSIONS,
    NOT_FOR_SUPPORT,
    Right,
    Role,
    rights_of,
)


@dataclass(frozen=True)
class Entrance:
    """`until` is when support access ends; None for members."""

    organization: Organization
    role: Role
    reach: Reach
    until: datetime | None = None

    def may(self, caller: Caller) -> frozenset[Right]:
        """What may be done in the cloud: by the role, and by the token's scopes if it has any."""
        rights = self._scoped(caller)
        return rights if caller.folders is None else rights & IN_CHOSEN_FOLDERS

    def may_in_session(self, caller: Caller) -> frozenset[Right]:
        """What a session's grant allows on the edge host."""
        rights = self._scoped(caller)
        return rights if caller.folders is None else rights & IN_CHOSEN_SESSIONS

    @property
    def rights(self) -> frozenset[Right]:
        """Of the role, as it is let in."""
        return rights_of(self.role) if self.until is None else rights_of(self.role) - NOT_FOR_SUPPORT

    def _scoped(self, caller: Caller) -> frozenset[Right]:
        return self.rights if caller.scopes is None else self.rights & caller.scopes


async def enter(session: AsyncSession, organization_id: str, caller: Caller, now: datetime) -> Entrance:
    """Raises `not_found`: a foreign organization looks like one that does not exist."""
    entrance = None
    if caller.organization_id in (None, organization_id):
        entrance = await entrance_of(session, organization_id, caller.account_id, caller.email, now)
    if entrance is None:
        raise FarsiteError(ErrorCode.NOT_FOUND, f"There is no organization {organization_id[:64]!r}.")
    return replace(entrance, reach=replace(entrance.reach, within=caller.folders))


async def entrance_of(
    session: AsyncSession, organization_id: str, account_id: str, email: str, now: datetime
) -> Entrance | None:
    found = await membership(session, organization_id, account_id)
    if found is not None:
        return Entrance(found[0], Role(found[1].role), await reach_of(session, found[1]))
    support = await find_support(session, organization_id, email, now)
    organization = await find_organization(session, organization_id) if support else None
    if support is None or organization is None:
        return None
    return Entrance(organization, Role(support.role), supporters_reach(support), support.until)


async def entrances(session: AsyncSession, caller: Caller, now: datetime) -> list[Entrance]:
    """Every organization the caller may enter, oldest first."""
    found = {
        organization.id: Entrance(organization, Role(member.role), await reach_of(session, member))
        for organization, member in await all_memberships(session, caller.account_id)
    }
    for one in set(await supported_by(session, caller.email, now)) - set(found):
        entrance = await entrance_of(session, one, caller.account_id, caller.email, now)
        if entrance is not None:
            found[one] = entrance
    only = caller.organization_id
    return [found[one] for one in sorted(found) if only in (None, one)]


def entrance_answer(entrance: Entrance) -> wire.Organization:
    return organization_answer(entrance.organization, entrance.role, entrance.until)
