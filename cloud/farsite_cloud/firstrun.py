"""The first start on an empty database: the owner's account and organization."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from farsite_cloud.accounts.passwords import Passwords, new_password
from farsite_cloud.accounts.service import any_account, create_account
from farsite_cloud.audit.log import Act, write
from farsite_cloud.clock import Clock
from farsite_cloud.database import Database
from farsite_cloud.organizations.service import create_organization
from farsite_cloud.settings import CloudSettings
from farsite_cloud.vault import Vault
from farsite_signaling.identity.keys import write_private

PASSWORD_FILE = "owner-password"


@dataclass(frozen=True)
class FirstRun:
    """`password_file` holds the password that was made, unless one was given."""

    owner_email: str
    password_file: Path | None


async def empty(database: Database) -> bool:
    async with database.reading() as session:
        return not await any_account(session)


async def set_up_owner(
    settings: CloudSettings, database: Database, vault: Vault, passwords: Passwords, clock: Clock
) -> FirstRun:
    """Everything in one transaction; the file is written first, so that no password is ever lost."""
    password, file = _password(settings)
    password_hash = await passwords.hash(password)
    now = clock()
    async with database.writing() as session:
        owner = create_account(session, settings.owner_email, password_hash, now)
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
