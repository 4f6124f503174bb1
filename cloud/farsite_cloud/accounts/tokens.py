"""Opaque tokens: random, kept as digests, revocable at once.

Two kinds: a sign-in, which may do what its account may, and a personal access token, which has scopes.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.accounts.models import Account, Token
from farsite_cloud.ids import new_id
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import Right

PREFIX = "fst_"
PERSONAL_PREFIX = "fsp_"
LIFETIME = timedelta(days=7)
MOST_PERSONAL = 50
_LONGEST = 200


@dataclass(frozen=True)
class Caller:
    """Who is signed in, and with which token. `scopes` is None for a sign-in."""

    account_id: str
    email: str
    name: str
    token_id: str
    scopes: frozenset[Right] | None = None
    mfa: bool = False
    vouched_by: str | None = None
    """The one organization it opens, whose identity provider said who this is."""


@dataclass(frozen=True)
class Origin:
    """Where a sign-in comes from, for its account to recognise."""

    source: str = ""
    agent: str = ""
    mfa: bool = False
    vouched_by: str | None = None


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


async def issue(
    session: AsyncSession, account: Account, now: datetime, origin: Origin | None = None
) -> tuple[str, datetime]:
    """A new token and when it expires; tokens that expired long ago are swept on the way."""
    secret = PREFIX + secrets.token_urlsafe(32)
    origin = origin or Origin()
    await session.execute(
        delete(Token).where(Token.account_id == account.id, Token.expires_at < now - LIFETIME)
    )
    expires_at = now + LIFETIME
    session.add(
        Token(
            id=new_id(now),
            account_id=account.id,
            digest=digest(secret),
            mfa=origin.mfa,
            source=origin.source[:64],
            agent=origin.agent[:200],
            vouched_by=origin.vouched_by,
            created_at=now,
            expires_at=expires_at,
        )
    )
    return secret, expires_at


async def issue_personal(
    session: AsyncSession, caller: Caller, name: str, scopes: Sequence[Right], days: int, now: datetime
) -> tuple[str, Token]:
    """A token that may do what its scopes say. Raises `conflict` when there are too many."""
    if len(await live_tokens(session, caller.account_id, now, personal=True)) >= MOST_PERSONAL:
        detail = f"An account has at most {MOST_PERSONAL} access tokens. Revoke one you no longer use."
        raise FarsiteError(ErrorCode.CONFLICT, detail)
    secret = PERSONAL_PREFIX + secrets.token_urlsafe(32)
    token = Token(
        id=new_id(now),
        account_id=caller.account_id,
        digest=digest(secret),
        name=name,
        scopes=sorted({str(scope) for scope in scopes}),
        mfa=caller.mfa,
        created_at=now,
        expires_at=now + timedelta(days=days),
    )
    session.add(token)
    return secret, token


async def find_caller(session: AsyncSession, secret: str, now: datetime) -> Caller:
    """Raises `unauthenticated` or `token_expired`."""
    statement = select(Token, Account).join(Account, Account.id == Token.account_id)
    found = (await session.execute(statement.where(Token.digest == digest(secret[:_LONGEST])))).first()
    if found is None or found.Token.revoked_at is not None:
        raise FarsiteError(ErrorCode.UNAUTHENTICATED, "You are not signed in (any more). Sign in again.")
    token, account = found
    if token.expires_at <= now:
        raise FarsiteError(ErrorCode.TOKEN_EXPIRED, "Your sign-in has expired. Sign in again.")
    scopes = scopes_of(token)
    return Caller(
        account.id, account.email, account.name, token.id, scopes, token.mfa, vouched_by=token.vouched_by
    )


def scopes_of(token: Token) -> frozenset[Right] | None:
    """A right that this release does not know gives nothing."""
    if token.scopes is None:
        return None
    return frozenset(Right(scope) for scope in token.scopes if scope in set(Right))


async def live_tokens(
    session: AsyncSession, account_id: str, now: datetime, *, personal: bool
) -> list[Token]:
    """Newest first."""
    live = select(Token).where(
        Token.account_id == account_id, Token.revoked_at.is_(None), Token.expires_at > now
    )
    kind = Token.scopes.is_not(None) if personal else Token.scopes.is_(None)
    return list(await session.scalars(live.where(kind).order_by(Token.id.desc())))


async def own_token(
    session: AsyncSession, account_id: str, token_id: str, now: datetime, *, personal: bool
) -> Token:
    """Raises `not_found`, for another account's as for none at all."""
    for token in await live_tokens(session, account_id, now, personal=personal):
        if token.id == token_id:
            return token
    what = "access token" if personal else "sign-in"
    raise FarsiteError(ErrorCode.NOT_FOUND, f"There is no {what} {token_id[:64]!r} of yours.")


async def revoke(session: AsyncSession, token_id: str, now: datetime) -> None:
    await session.execute(update(Token).where(Token.id == token_id).values(revoked_at=now))


async def revoke_all(
    session: AsyncSession, account_id: str, now: datetime, *, but: str | None = None
) -> list[str]:
    """The ids of what was revoked: sign-ins and personal tokens, all but one."""
    live = (Token.account_id == account_id) & Token.revoked_at.is_(None)
    if but is not None:
        live &= Token.id != but
    ids = list(await session.scalars(select(Token.id).where(live)))
    await session.execute(update(Token).where(live).values(revoked_at=now))
    return ids


async def mark_mfa(session: AsyncSession, token_id: str) -> None:
    await session.execute(update(Token).where(Token.id == token_id).values(mfa=True))


async def clear_mfa(session: AsyncSession, account_id: str) -> None:
    """What was proven with a factor that is off now counts no longer."""
    await session.execute(update(Token).where(Token.account_id == account_id).values(mfa=False))
