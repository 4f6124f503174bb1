"""Opaque tokens: random, kept as digests, revocable at once.

Two kinds: a sign-in, which may do what its account may, and a personal access token, which has scopes.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.accounts.models import Account, AccountKind, Token
from farsite_cloud.accounts.staying import VOUCHED, Ends, Stay, ends_of
from farsite_cloud.browser.models import BrowserSignIn, DeviceSignIn
from farsite_cloud.database.watching import INCIDENTAL
from farsite_cloud.ids import new_id
from farsite_cloud.organizations.models import Membership, Organization
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import Right

PREFIX = "fst_"
PERSONAL_PREFIX = "fsp_"
KEPT = timedelta(days=7)
"""A token that has ended is known for so long, to say so."""
SERVICE_PREFIX = "fsa_"
MOST_PERSONAL = 50
_LONGEST = 200


@dataclass(frozen=True)
class Caller:
    """Who is signed in, and with which token. `scopes` is None for a sign-in.

    A token may be for one organization only, and for `folders` of it.
    """

    account_id: str
    email: str
    name: str
    token_id: str
    scopes: frozenset[Right] | None = None
    mfa: bool = False
    kind: AccountKind = AccountKind.PERSON
    organization_id: str | None = None
    folders: frozenset[str] | None = None
    expires_at: datetime | None = None
    unused_until: datetime | None = None
    """A sign-in ends then, unless it is used before."""


@dataclass(frozen=True)
class Terms:
    """Of an access token: what it is for, what it may do, where, and how long."""

    name: str
    scopes: frozenset[Right]
    days: int
    organization_id: str | None = None
    folders: Sequence[str] | None = None
    mfa: bool = False


@dataclass(frozen=True)
class Origin:
    """Where a sign-in comes from, for its account to recognise."""

    source: str = ""
    agent: str = ""
    mfa: bool = False
    organization_id: str | None = None
    """The only one it is for: its identity provider said who this is."""


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def digest_of(given: str) -> str:
    """Of what somebody sent."""
    return digest(given[:_LONGEST])


async def issue(
    session: AsyncSession,
    account: Account,
    now: datetime,
    origin: Origin | None = None,
    stay: Stay | None = None,
) -> tuple[str, datetime]:
    """A new token and when it expires; tokens that expired long ago are swept on the way.

    Raises `sign_in_failed` for an account that is disabled.
    """
    check_enabled(account)
    secret = PREFIX + secrets.token_urlsafe(32)
    origin = origin or Origin()
    await session.execute(delete(Token).where(Token.account_id == account.id, Token.expires_at < now - KEPT))
    longest = (stay or Stay()).longest
    expires_at = now + (longest if origin.organization_id is None else min(longest, VOUCHED))
    session.add(
        Token(
            id=new_id(now),
            account_id=account.id,
            digest=digest(secret),
            mfa=origin.mfa,
            source=origin.source[:64],
            agent=origin.agent[:200],
            organization_id=origin.organization_id,
            created_at=now,
            expires_at=expires_at,
        )
    )
    return secret, expires_at


def check_enabled(account: Account) -> None:
    """For whoever has proven who they are. Raises `sign_in_failed`."""
    if account.disabled_at is not None:
        detail = "This account is disabled. Ask whoever runs this cloud."
        raise FarsiteError(ErrorCode.SIGN_IN_FAILED, detail)


async def issue_access(
    session: AsyncSession, account_id: str, terms: Terms, now: datetime, prefix: str = PERSONAL_PREFIX
) -> tuple[str, Token]:
    """A token that may do what its terms say. Raises `conflict` when there are too many."""
    if len(await live_tokens(session, account_id, now, personal=True)) >= MOST_PERSONAL:
        detail = f"An account has at most {MOST_PERSONAL} access tokens. Revoke one that is no longer used."
        raise FarsiteError(ErrorCode.CONFLICT, detail)
    secret = prefix + secrets.token_urlsafe(32)
    token = Token(
        id=new_id(now),
        account_id=account_id,
        digest=digest(secret),
        name=terms.name,
        scopes=sorted(str(scope) for scope in terms.scopes),
        mfa=terms.mfa,
        created_at=now,
        expires_at=now + timedelta(days=terms.days),
        organization_id=terms.organization_id,
        folder_ids=None if terms.folders is None else sorted(set(terms.folders)),
        used_from="",
    )
    session.add(token)
    return secret, token


async def rotate(
    session: AsyncSession,
    token: Token,
    days: int,
    overlap: timedelta,
    now: datetime,
    prefix: str = PERSONAL_PREFIX,
) -> tuple[str, Token]:
    """A new secret on the same terms; the old one goes on working for `overlap`, and not at all without one."""
    terms = Terms(
        token.name, scopes_of(token) or frozenset(), days, token.organization_id, token.folder_ids, token.mfa
    )
    token.expires_at = min(token.expires_at, now + overlap)
    if not overlap:
        token.revoked_at = now
    await session.flush()
    return await issue_access(session, token.account_id, terms, now, prefix)


async def find_caller(session: AsyncSession, secret: str, now: datetime, stay: Stay | None = None) -> Caller:
    """Raises `unauthenticated` or `token_expired`."""
    idle, longest = _asked_by_organizations()
    statement = select(Token, Account, idle, longest).join(Account, Account.id == Token.account_id)
    found = (await session.execute(statement.where(Token.digest == digest_of(secret)))).first()
    if found is None or found.Token.revoked_at is not None:
        raise FarsiteError(ErrorCode.UNAUTHENTICATED, "You are not signed in (any more). Sign in again.")
    token, account, idle_days, days = found
    if account.disabled_at is not None:
        raise FarsiteError(ErrorCode.UNAUTHENTICATED, "This account is disabled.")
    if token.expires_at <= now:
        raise FarsiteError(ErrorCode.TOKEN_EXPIRED, _expired(token))
    expires_at, unused_until = token.expires_at, None
    if token.scopes is None:
        ends = ends_of_token(token, (stay or Stay()).shortened(idle_days, days))
        ends.check(now)
        expires_at, unused_until = ends.at_last, ends.unused
    return Caller(
        account.id,
        account.email,
        account.name,
        token.id,
        scopes_of(token),
        token.mfa,
        AccountKind(account.kind),
        token.organization_id,
        None if token.folder_ids is None else frozenset(token.folder_ids),
        expires_at,
        unused_until,
    )


def _expired(token: Token) -> str:
    if token.scopes is None:
        return "Your sign-in has expired. Sign in again (farsite login)."
    return "This access token has expired. Make another one, or sign in again."


def ends_of_token(token: Token, stay: Stay) -> Ends:
    return ends_of(token.created_at, token.used_at, token.expires_at, stay)


def _asked_by_organizations() -> tuple[ColumnElement[int | None], ColumnElement[int | None]]:
    """The fewest days unused, and at all, that an account's organizations ask for."""
    mine = (Membership.organization_id == Organization.id) & (Membership.account_id == Account.id)
    idle, longest = (
        select(func.min(days)).where(mine).correlate(Account).scalar_subquery()
        for days in (Organization.sign_in_idle_days, Organization.sign_in_days)
    )
    return idle, longest


async def stay_of(session: AsyncSession, account_id: str, stay: Stay) -> Stay:
    """With what the account's organizations ask for."""
    asked = select(*_asked_by_organizations()).where(Account.id == account_id)
    idle_days, days = (await session.execute(asked)).one()
    return stay.shortened(idle_days, days)


async def keep_token(session: AsyncSession, token_id: str) -> None:
    """Whoever revokes it waits for the end of this unit of work."""
    await session.execute(select(Token.id).where(Token.id == token_id).with_for_update(read=True))


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


async def limits_of(session: AsyncSession, token_ids: Sequence[str]) -> dict[str, frozenset[str]]:
    """Folders by token, of those that are for chosen folders only."""
    chosen = select(Token).where(Token.id.in_(token_ids), Token.folder_ids.is_not(None))
    return {token.id: frozenset(token.folder_ids or ()) for token in await session.scalars(chosen)}


async def unproven_among(session: AsyncSession, token_ids: Sequence[str]) -> set[str]:
    """Which of these people's tokens were made without a second factor."""
    mine = select(Token.id).join(Account, Account.id == Token.account_id)
    without = mine.where(Token.id.in_(token_ids), Token.mfa.is_(False), Account.kind == AccountKind.PERSON)
    return set(await session.scalars(without))


async def note_use(session: AsyncSession, token_id: str, at: datetime, source: str) -> None:
    used = update(Token).where(Token.id == token_id)
    values = used.values(used_at=at, used_from=source[:64])
    await session.execute(values.execution_options(**{INCIDENTAL: True}))


async def revoke(session: AsyncSession, token_id: str, now: datetime) -> None:
    await session.execute(update(Token).where(Token.id == token_id).values(revoked_at=now))


async def revoke_sign_ins(session: AsyncSession, account_id: str, now: datetime) -> list[str]:
    """All of them; access tokens stay."""
    # First what waits: whoever collects it right now is waited for, and found among the tokens.
    for waiting in (DeviceSignIn, BrowserSignIn):
        await session.execute(delete(waiting).where(waiting.account_id == account_id))
    live = (Token.account_id == account_id) & Token.revoked_at.is_(None) & Token.scopes.is_(None)
    ids = list(await session.scalars(select(Token.id).where(live)))
    await session.execute(update(Token).where(Token.id.in_(ids)).values(revoked_at=now))
    return ids


async def revoke_all(
    session: AsyncSession, account_id: str, now: datetime, *, but: str | None = None
) -> list[str]:
    """The ids of what was revoked: sign-ins and personal tokens, all but one."""
    live = (Token.account_id == account_id) & Token.revoked_at.is_(None)
    if but is not None:
        live &= Token.id != but
    # What was approved in a browser before is collected no more.
    for waiting in (DeviceSignIn, BrowserSignIn):
        await session.execute(delete(waiting).where(waiting.account_id == account_id))
    ids = list(await session.scalars(select(Token.id).where(live)))
    await session.execute(update(Token).where(live).values(revoked_at=now))
    return ids


async def vouched_tokens(
    session: AsyncSession, organization_id: str, only: str | None = None
) -> list[tuple[str, str]]:
    """Accounts and tokens of sign-ins that an organization's identity provider vouched for; `only` of one account."""
    live = select(Token.account_id, Token.id).where(
        Token.organization_id == organization_id, Token.scopes.is_(None), Token.revoked_at.is_(None)
    )
    if only is not None:
        live = live.where(Token.account_id == only)
    return [(row.account_id, row.id) for row in await session.execute(live)]


async def drop_vouched(session: AsyncSession, organization_id: str, only: str | None = None) -> None:
    """What it vouched for in a browser, and no device has collected: before its tokens are looked for, so that whoever
    collects one right now has done so before or finds nothing."""
    for waiting in (DeviceSignIn, BrowserSignIn):
        gone = delete(waiting).where(waiting.organization_id == organization_id)
        await session.execute(gone if only is None else gone.where(waiting.account_id == only))


async def mark_mfa(session: AsyncSession, token_id: str) -> None:
    await session.execute(update(Token).where(Token.id == token_id).values(mfa=True))


async def clear_mfa(session: AsyncSession, account_id: str) -> None:
    """What was proven with a factor that is off now counts no longer."""
    await session.execute(update(Token).where(Token.account_id == account_id).values(mfa=False))
