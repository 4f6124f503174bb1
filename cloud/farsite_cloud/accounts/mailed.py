"""Codes sent by mail: they prove that whoever uses one reads the address's mail. Single use, kept as digests."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import CursorResult, delete
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.accounts.models import MailedCode
from farsite_cloud.accounts.passwords import new_password
from farsite_cloud.accounts.tokens import digest
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

_LONGEST = 100


class Purpose(StrEnum):
    CONFIRM = "confirm"
    RESET = "reset"
    ADDRESS = "address"


LIFETIME = {
    Purpose.CONFIRM: timedelta(hours=24),
    Purpose.RESET: timedelta(hours=1),
    Purpose.ADDRESS: timedelta(hours=1),
}


def new_code() -> tuple[str, str]:
    """A code (99 bits) and its digest."""
    code = new_password()
    return code, code_digest(code)


def code_digest(code: str, account_id: str = "") -> str:
    """The same however the code is cased and spaced. With `account_id` it is that account's alone."""
    return digest(account_id + "".join(code[:_LONGEST].lower().split()))


async def issue_code(
    session: AsyncSession, purpose: Purpose, email: str, now: datetime, *, account_id: str = ""
) -> tuple[str, datetime]:
    """A new code and when it expires. It replaces older ones; expired ones of everybody are swept on the way.

    With `account_id` no other account can use it.
    """
    stale = (MailedCode.email == email) & (MailedCode.purpose == purpose)
    await session.execute(delete(MailedCode).where(stale | (MailedCode.expires_at <= now)))
    code, _ = new_code()
    key, expires_at = code_digest(code, account_id), now + LIFETIME[purpose]
    session.add(MailedCode(id=key, purpose=str(purpose), email=email, created_at=now, expires_at=expires_at))
    return code, expires_at


async def address_of_code(
    session: AsyncSession, purpose: Purpose, code: str, now: datetime, *, account_id: str = ""
) -> str:
    """The address it was mailed to; the code stays usable. Raises `code_invalid`."""
    mailed = await session.get(MailedCode, code_digest(code, account_id))
    if mailed is None or mailed.purpose != purpose or mailed.expires_at <= now:
        raise code_invalid()
    return mailed.email


async def use_code(
    session: AsyncSession, purpose: Purpose, code: str, now: datetime, *, account_id: str = ""
) -> str:
    """The address it was mailed to. However many use it at once, one succeeds. Raises `code_invalid`."""
    email = await address_of_code(session, purpose, code, now, account_id=account_id)
    used = await session.execute(delete(MailedCode).where(MailedCode.id == code_digest(code, account_id)))
    if not isinstance(used, CursorResult) or used.rowcount != 1:
        raise code_invalid()
    return email


async def drop_codes(session: AsyncSession, email: str) -> None:
    """What was mailed before the password changed no longer opens anything."""
    await session.execute(delete(MailedCode).where(MailedCode.email == email))


def code_invalid() -> FarsiteError:
    detail = "This code is wrong, was used before or has expired. Ask for a new one."
    return FarsiteError(ErrorCode.CODE_INVALID, detail)
