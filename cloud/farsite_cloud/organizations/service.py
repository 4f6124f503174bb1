"""Organizations and memberships: which ones an account may enter, and as what."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ColumnElement, CursorResult, Select, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.accounts.models import Account, AccountKind, Token
from farsite_cloud.database import EVERYWHERE, Reach, Scope
from farsite_cloud.database.base import UtcDateTime
from farsite_cloud.folders.models import Folder
from farsite_cloud.ids import new_id
from farsite_cloud.organizations.keys import seal_new_keys
from farsite_cloud.organizations.models import ErasedOrganization, FolderAccess, Membership, Organization
from farsite_cloud.vault import Vault
from farsite_signaling.wire import cloud_api as wire
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import EVERY_FOLDER, Role

DEFAULT_FOLDER = "Default folder"
MOST_OWNED = 100


async def memberships_of(session: AsyncSession, account_id: str) -> list[tuple[Organization, Role]]:
    found = await all_memberships(session, account_id)
    return [(organization, Role(member.role)) for organization, member in found]


async def all_memberships(session: AsyncSession, account_id: str) -> list[tuple[Organization, Membership]]:
    statement = _memberships(account_id).order_by(Organization.id)
    return [(row.Organization, row.Membership) for row in await session.execute(statement)]


def _memberships(account_id: str) -> Select[Organization, Membership]:
    return (
        select(Organization, Membership)
        .join(Membership, Membership.organization_id == Organization.id)
        .where(Membership.account_id == account_id)
    )


async def membership(
    session: AsyncSession, organization_id: str, account_id: str
) -> tuple[Organization, Membership] | None:
    statement = _memberships(account_id).where(Organization.id == organization_id)
    row = (await session.execute(statement)).first()
    return None if row is None else (row.Organization, row.Membership)


async def members_of(session: AsyncSession, organization_id: str) -> list[str]:
    """Account ids of people."""
    people = (
        select(Membership.account_id)
        .join(Account, Account.id == Membership.account_id)
        .where(Membership.organization_id == organization_id, Account.kind == AccountKind.PERSON)
    )
    return list(await session.scalars(people))


async def members_in_role_not(session: AsyncSession, organization_id: str, role: Role) -> list[str]:
    """Account ids."""
    others = (Membership.organization_id == organization_id) & (Membership.role != role)
    return list(await session.scalars(select(Membership.account_id).where(others)))


async def reach_of(session: AsyncSession, member: Membership) -> Reach:
    if member.role in EVERY_FOLDER or member.all_folders:
        return EVERYWHERE
    scope = Scope(session, member.organization_id)
    rows = await scope.all(scope.select(FolderAccess).where(FolderAccess.account_id == member.account_id))
    return Reach(frozenset(row.folder_id for row in rows))


async def lock(session: AsyncSession, organization_id: str) -> Organization:
    """One change of an organization's people at a time, so that two of them cannot undo what a check relied on."""
    # Rows that refer to it may be written meanwhile (PostgreSQL: FOR NO KEY UPDATE).
    organization = await session.get(Organization, organization_id, with_for_update={"key_share": True})
    assert organization is not None, "the caller is in it"
    return organization


async def stay(session: AsyncSession, organization_id: str) -> None:
    """Nobody's `lock` is had before the end of this unit of work; others that `stay` are not waited for."""
    await session.get(Organization, organization_id, with_for_update={"read": True})


async def check_may_create(session: AsyncSession, account_id: str) -> None:
    """Raises `conflict` when the account owns as many as one may."""
    owned = (Membership.account_id == account_id) & (Membership.role == Role.OWNER)
    count = await session.scalar(select(func.count()).select_from(Membership).where(owned)) or 0
    if count >= MOST_OWNED:
        raise FarsiteError(ErrorCode.CONFLICT, f"An account owns at most {MOST_OWNED} organizations.")


async def all_organizations(session: AsyncSession) -> list[str]:
    """Ids."""
    return list(await session.scalars(select(Organization.id).order_by(Organization.id)))


async def every_organization(session: AsyncSession) -> list[Organization]:
    """Oldest first."""
    return list(await session.scalars(select(Organization).order_by(Organization.id)))


async def count_members(session: AsyncSession, kind: AccountKind) -> dict[str, int]:
    """People, or service accounts, by organization."""
    statement = (
        select(Membership.organization_id, func.count())
        .join(Account, Account.id == Membership.account_id)
        .where(Account.kind == kind)
        .group_by(Membership.organization_id)
    )
    return {row[0]: row[1] for row in await session.execute(statement)}


async def owners_by_organization(session: AsyncSession) -> dict[str, list[str]]:
    """Addresses."""
    statement = (
        select(Membership.organization_id, Account.email)
        .join(Account, Account.id == Membership.account_id)
        .where(Membership.role == Role.OWNER)
        .order_by(Account.email)
    )
    found: dict[str, list[str]] = {}
    for row in await session.execute(statement):
        found.setdefault(row[0], []).append(row[1])
    return found


async def last_uses(session: AsyncSession) -> dict[str, datetime]:
    """When a member of each organization was here for the last time, in whichever organization."""
    statement = (
        select(
            Membership.organization_id,
            func.max(func.coalesce(Token.used_at, Token.created_at, type_=UtcDateTime())),
        )
        .join(Token, Token.account_id == Membership.account_id)
        .group_by(Membership.organization_id)
    )
    return {row[0]: row[1] for row in await session.execute(statement)}


async def find_organization(session: AsyncSession, organization_id: str) -> Organization | None:
    return await session.get(Organization, organization_id)


async def authorities_of(session: AsyncSession, ids: Collection[str]) -> dict[str, str]:
    """Certificates in PEM of those organizations that there are."""
    columns = select(Organization.id, Organization.authority_certificate)
    rows = await session.execute(columns.where(Organization.id.in_(sorted(ids))))
    return {row.id: row.authority_certificate for row in rows}


async def any_organization(session: AsyncSession) -> Organization | None:
    """The newest."""
    return (await session.scalars(select(Organization).order_by(Organization.id.desc()).limit(1))).first()


async def deletion_due(session: AsyncSession, now: datetime) -> str | None:
    """An organization whose time has passed, and which no process is erasing."""
    return await session.scalar(select(Organization.id).where(*_deletion_due(now)).limit(1))


async def take_deletion(session: AsyncSession, organization_id: str, now: datetime, until: datetime) -> bool:
    """The update decides who erases it, however many processes look."""
    mine = update(Organization).where(Organization.id == organization_id, *_deletion_due(now))
    result = await session.execute(mine.values(lease_until=until))
    return isinstance(result, CursorResult) and result.rowcount == 1


def _deletion_due(now: datetime) -> list[ColumnElement[bool]]:
    free = or_(Organization.lease_until.is_(None), Organization.lease_until <= now)
    return [Organization.deletes_at <= now, free]


async def was_erased(session: AsyncSession, organization_id: str) -> bool:
    return await session.get(ErasedOrganization, organization_id) is not None


async def erased_among(session: AsyncSession, ids: Collection[str]) -> set[str]:
    found = select(ErasedOrganization.id).where(ErasedOrganization.id.in_(sorted(ids)))
    return set(await session.scalars(found))


async def create_organization(
    session: AsyncSession, name: str, owner_id: str, vault: Vault, now: datetime
) -> Organization:
    """With its authority, its grant key, a default folder and its owner."""
    folder = Folder(id=new_id(now), name=DEFAULT_FOLDER, parent_id=None, created_at=now)
    organization = Organization(id=new_id(now), name=name, default_folder_id=folder.id, created_at=now)
    seal_new_keys(organization, vault, now)
    session.add(organization)
    await session.flush()
    Scope(session, organization.id).add(folder)
    session.add(
        Membership(organization_id=organization.id, account_id=owner_id, role=Role.OWNER, created_at=now)
    )
    return organization


def organization_answer(
    organization: Organization, role: Role, until: datetime | None = None
) -> wire.Organization:
    """`until`: when support access ends."""
    return wire.Organization(
        id=organization.id,
        name=organization.name,
        role=role,
        default_folder_id=organization.default_folder_id,
        invited_start_as_viewers=organization.invited_start_as_viewers,
        require_mfa=organization.require_mfa,
        support_until=until,
        deletes_at=organization.deletes_at,
        sign_in_idle_days=organization.sign_in_idle_days,
        sign_in_days=organization.sign_in_days,
        suspended_at=organization.suspended_at,
        suspended_reason=organization.suspended_reason,
    )
