"""Opaque tokens: random, kept as digests, revocable at once."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.accounts.models import Account, Token
from farsite_cloud.ids import new_id
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

PREFIX = "fst_"
LIFETIME = timedelta(days=7)
_LONGEST = 200


@dataclass(frozen=True)
class Caller:
    """Who is signed in, and with which token."""

    account_id: str
    email: str
    name: str
    token_id: str


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


async def issue(session: AsyncSession, account: Account, now: datetime) -> tuple[str, datetime]:
    """A new token and when it expires; tokens that expired long ago are swept on the way."""
    secret = PREFIX + secrets.token_urlsafe(32)
    await session.execute(
        delete(Token).where(Token.account_id == account.id, Token.expires_at < now - LIFETIME)
    )
    expires_at = now + LIFETIME
    session.add(
        Token(
            id=new_id(now),
            account_id=account.id,
            digest=digest(secret),
            created_at=now,
            expires_at=expires_at,
        )
    )
    return secret, expires_at


async def find_caller(session: AsyncSession, secret: str, now: datetime) -> Caller:
    """Raises `unauthenticated` or `token_expired`."""
    statement = select(Token, Account).join(Account, Account.id == Token.account_id)
    found = (await session.execute(statement.where(Token.digest == digest(secret[:_LONGEST])))).first()
    if found is None or found.Token.revoked_at is not None:
        raise FarsiteError(ErrorCode.UNAUTHENTICATED, "You are not signed in (any more). Sign in again.")
    token, account = found
    if token.expires_at <= now:
        raise FarsiteError(ErrorCode.TOKEN_EXPIRED, "Your sign-in has expired. Sign in again.")
    return Caller(account.id, account.email, account.name, token.id)


async def revoke(session: AsyncSession, token_id: str, now: datetime) -> None:
    await session.execute(update(Token).where(Token.id == token_id).values(revoked_at=now))


async def revoke_all(session: AsyncSession, account_id: str, now: datetime) -> None:
    statement = update(Token).where(Token.account_id == account_id, Token.revoked_at.is_(None))
    await session.execute(statement.values(revoked_at=now))
