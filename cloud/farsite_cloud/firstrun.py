"""The first start on an empty database: the owner's account and organization."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.accounts.passwords import Passwords, new_password
from farsite_cloud.accounts.service import any_account, create_account
from farsite_cloud.audit.log import Act, write
from farsite_cloud.clock import Clock
from farsite_cloud.database import Database
from farsite_cloud.database.schema import wait_turn
from farsite_cloud.organizations.keys import OrganizationKeys
from farsite_cloud.organizations.service import any_organization, create_organization
from farsite_cloud.settings import CloudSettings
from farsite_cloud.vault import Vault
from farsite_signaling.identity.keys import write_private

PASSWORD_FILE = "owner-password"


@dataclass(frozen=True)
class FirstRun:
    """`password_file` holds the password that was made, unless one was given."""

    owner_email: str
    password_file: Path | None


async def open_vault(
    settings: CloudSettings, database: Database, passwords: Passwords, clock: Clock
) -> tuple[Vault, FirstRun | None]:
    """The key to what is sealed; on an empty database a new one, with the owner's account and organization.

    Of several processes that start on an empty database one does this, and the others wait for it. Raises
    `storage_failed` when the key is missing or another one than the database's.
    """
    async with database.writing() as session:
        await wait_turn(session)
        first = not await any_account(session)
        vault = Vault.open(settings.data_dir, create=first, given=settings.given_key)
        if first:
            return vault, await _set_up_owner(settings, session, vault, passwords, clock())
        organization = await any_organization(session)
        if organization is not None:
            OrganizationKeys(organization, vault).check()
    return vault, None


async def _set_up_owner(
    settings: CloudSettings, session: AsyncSession, vault: Vault, passwords: Passwords, now: datetime
) -> FirstRun:
    """The file is written before the commit, so that no password is ever lost."""
    password, file = _password(settings)
    owner = create_account(session, settings.owner_email, await passwords.hash(password), now)
    await session.flush()
    organization = await create_organization(session, settings.organization, owner.id, vault, now)
    act = Act("organization.created", owner.email, "farsite up", [organization.id], organization.name)
    write(session, act, now)
    return FirstRun(settings.owner_email, file)


def _password(settings: CloudSettings) -> tuple[str, Path | None]:
    if settings.owner_password is not None:
        return settings.owner_password.get_secret_value(), None
    password = new_password()
    file = settings.data_dir / PASSWORD_FILE
    write_private(file, password.encode() + b"\n")
    return password, file
