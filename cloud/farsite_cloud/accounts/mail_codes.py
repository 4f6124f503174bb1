"""Codes by mail as a second factor: eight digits, ten minutes, five tries, one use, the newest only."""

from __future__ import annotations

import hmac
import secrets
from datetime import datetime, timedelta

from sqlalchemy import CursorResult, delete, update
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.accounts.models import Account, SignInCode
from farsite_cloud.vault import Vault

DIGITS = 8
LIFETIME = timedelta(minutes=10)
TRIES = 5


def looks_like_one(code: str) -> bool:
    return len(code) == DIGITS and code.isascii() and code.isdecimal()


async def new_code(
    session: AsyncSession, account: Account, vault: Vault, now: datetime
) -> tuple[str, datetime]:
    """A code and when it expires. Older ones are void, and what has expired of everybody is swept."""
    stale = (SignInCode.account_id == account.id) | (SignInCode.expires_at <= now)
    await session.execute(delete(SignInCode).where(stale))
    code = f"{secrets.randbelow(10**DIGITS):0{DIGITS}d}"
    sealed = vault.seal(code.encode(), _purpose(account.id))
    expires_at = now + LIFETIME
    session.add(
        SignInCode(account_id=account.id, code=sealed, tries=0, created_at=now, expires_at=expires_at)
    )
    return code, expires_at


async def use_code(session: AsyncSession, account: Account, code: str, vault: Vault, now: datetime) -> bool:
    """Whether it was the code. Of several that use it at once, one succeeds."""
    mailed = await session.get(SignInCode, account.id)
    if mailed is None or mailed.expires_at <= now or mailed.tries >= TRIES:
        return False
    right = vault.unseal(mailed.code, _purpose(account.id)).decode()
    if not hmac.compare_digest(right, code):
        return False
    this = (SignInCode.account_id == account.id) & (SignInCode.code == mailed.code)
    used = await session.execute(delete(SignInCode).where(this))
    return isinstance(used, CursorResult) and used.rowcount == 1


async def count_try(session: AsyncSession, account_id: str) -> None:
    """A wrong one; after a few of them the right one is void too."""
    tried = update(SignInCode).where(SignInCode.account_id == account_id)
    await session.execute(tried.values(tries=SignInCode.tries + 1))


async def drop(session: AsyncSession, account_id: str) -> None:
    await session.execute(delete(SignInCode).where(SignInCode.account_id == account_id))


def _purpose(account_id: str) -> str:
    return f"account {account_id} sign-in code"
