"""Accounts by address, and signing in."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.accounts.mailed import drop_codes
from farsite_cloud.accounts.models import Account, AccountKind
from farsite_cloud.accounts.passwords import Passwords
from farsite_cloud.accounts.tokens import revoke_all
from farsite_cloud.ids import new_id
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


async def find_account(session: AsyncSession, email: str) -> Account | None:
    """A person's: programs neither sign in nor get mail."""
    found = select(Account).where(Account.email == email.lower(), Account.kind == AccountKind.PERSON)
    return (await session.scalars(found)).first()


async def find_accounts(session: AsyncSession, emails: Collection[str]) -> list[Account]:
    found = select(Account).where(Account.email.in_(list(emails)), Account.kind == AccountKind.PERSON)
    return list(await session.scalars(found))


async def people(session: AsyncSession) -> list[Account]:
    """Everybody with an account, by address."""
    found = select(Account).where(Account.kind == AccountKind.PERSON).order_by(Account.email)
    return list(await session.scalars(found))


async def address_of(session: AsyncSession, account_id: str) -> str:
    """Empty for an account that is not there."""
    account = await session.get(Account, account_id)
    return "" if account is None else account.email


async def addresses_of(session: AsyncSession, account_ids: Collection[str]) -> list[str]:
    found = select(Account.email).where(Account.id.in_(list(account_ids)))
    return list(await session.scalars(found.order_by(Account.email)))


async def is_enabled(session: AsyncSession, account_id: str) -> bool:
    """Whether it may do anything at all; not for one that is not there."""
    found = select(Account.id).where(Account.id == account_id, Account.disabled_at.is_(None))
    return await session.scalar(found) is not None


async def any_account(session: AsyncSession) -> bool:
    return bool(await session.scalar(select(func.count()).select_from(Account)))


def create_account(
    session: AsyncSession, email: str, password_hash: str, now: datetime, name: str = ""
) -> Account:
    """Of an address that is proven, or that the operator named."""
    account = Account(
        id=new_id(now), email=email.lower(), name=name, password_hash=password_hash, created_at=now
    )
    session.add(account)
    return account


async def set_password(
    session: AsyncSession, email: str, password: str, passwords: Passwords, now: datetime
) -> None:
    """A new password; whoever is signed in with the old one no longer is. Raises `not_found`."""
    account = await find_account(session, email)
    if account is None:
        raise FarsiteError(ErrorCode.NOT_FOUND, f"There is no account {email!r}.")
    account.password_hash = await passwords.hash(password)
    await drop_codes(session, account.email)
    await revoke_all(session, account.id, now)
