"""Organizations and memberships: which ones an account may enter, and as what."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.database import Scope
from farsite_cloud.folders.models import Folder
from farsite_cloud.ids import new_id
from farsite_cloud.organizations.keys import seal_new_keys
from farsite_cloud.organizations.models import Membership, Organization
from farsite_cloud.vault import Vault
from farsite_signaling.wire import cloud_api as wire
from farsite_signaling.wire.rights import Role

DEFAULT_FOLDER = "Default folder"


async def memberships_of(session: AsyncSession, account_id: str) -> list[tuple[Organization, Role]]:
    statement = (
        select(Organization, Membership.role)
        .join(Membership, Membership.organization_id == Organization.id)
        .where(Membership.account_id == account_id)
        .order_by(Organization.id)
    )
    return [(row.Organization, Role(row.role)) for row in await session.execute(statement)]


async def membership(
    session: AsyncSession, organization_id: str, account_id: str
) -> tuple[Organization, Role] | None:
    statement = (
        select(Organization, Membership.role)
        .join(Membership, Membership.organization_id == Organization.id)
        .where(Membership.account_id == account_id, Organization.id == organization_id)
    )
    row = (await session.execute(statement)).first()
    return None if row is None else (row.Organization, Role(row.role))


async def find_organization(session: AsyncSession, organization_id: str) -> Organization | None:
    return await session.get(Organization, organization_id)


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


def organization_answer(organization: Organization, role: Role) -> wire.Organization:
    return wire.Organization(
        id=organization.id,
        name=organization.name,
        role=role,
        default_folder_id=organization.default_folder_id,
    )
