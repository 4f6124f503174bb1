"""Devices that wait to be signed in: asked for, approved or denied once, collected once (RFC 8628)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.accounts.models import Account, AccountKind
from farsite_cloud.accounts.tokens import digest
from farsite_cloud.browser.models import BrowserSignIn, DeviceSignIn
from farsite_cloud.database.changes import changed_one
from farsite_cloud.vault import Vault
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

LIFETIME = timedelta(minutes=10)
INTERVAL = 5
LONGEST_INTERVAL = 60
MOST_WAITING = 10_000
# What has expired is kept for a while, so that a late question is told so.
_KEPT = timedelta(hours=1)
# RFC 8628, 6.1: no vowels, nothing that looks like something else; 34 bits.
_ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
_LENGTH = 8
_LONGEST = 200


class State(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"


@dataclass(frozen=True)
class Asker:
    """Which device asks, and from where."""

    name: str
    email: str
    source: str
    agent: str


def user_digest(code: str, vault: Vault) -> str:
    """The same however it is typed. Keyed: the code is short, and a stolen database must not give it away."""
    plain = "".join(character for character in code[:_LONGEST].upper() if character in _ALPHABET)
    return vault.mac(plain.encode(), "device sign-in")


async def start(session: AsyncSession, asker: Asker, vault: Vault, now: datetime) -> tuple[str, str]:
    """Device code (256 bits) and user code. Raises `unavailable` when too many wait."""
    await session.execute(delete(DeviceSignIn).where(DeviceSignIn.expires_at < now - _KEPT))
    await session.execute(delete(BrowserSignIn).where(BrowserSignIn.expires_at < now))
    waiting = select(func.count()).select_from(DeviceSignIn).where(DeviceSignIn.expires_at > now)
    if (await session.scalar(waiting) or 0) >= MOST_WAITING:
        detail = "Too many devices wait to be signed in. Try again later, or sign in with your password."
        raise FarsiteError(ErrorCode.UNAVAILABLE, detail, retry_after=60)
    device_code, user_code = secrets.token_urlsafe(32), _user_code()
    session.add(
        DeviceSignIn(
            id=digest(device_code),
            user_digest=user_digest(user_code, vault),
            state=State.PENDING,
            name=asker.name,
            email=asker.email,
            source=asker.source[:64],
            agent=asker.agent[:200],
            interval=INTERVAL,
            created_at=now,
            expires_at=now + LIFETIME,
            mfa=False,
        )
    )
    return device_code, user_code


def _user_code() -> str:
    code = "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
    return f"{code[:4]}-{code[4:]}"


async def poll(session: AsyncSession, device_code: str, now: datetime) -> ErrorCode | None:
    """Why there is no token yet; None when there is one to collect. Changes are for the caller to keep in any case."""
    waiting = await session.get(DeviceSignIn, digest(device_code))
    if waiting is None:
        return ErrorCode.CODE_INVALID
    if waiting.expires_at <= now:
        return ErrorCode.EXPIRED_TOKEN
    if waiting.state != State.PENDING:
        return ErrorCode.ACCESS_DENIED if waiting.state == State.DENIED else None
    early = waiting.polled_at is not None and now - waiting.polled_at < timedelta(seconds=waiting.interval)
    waiting.polled_at = now
    if early:
        waiting.interval = min(waiting.interval + INTERVAL, LONGEST_INTERVAL)
    return ErrorCode.SLOW_DOWN if early else ErrorCode.AUTHORIZATION_PENDING


async def collect(session: AsyncSession, device_code: str, now: datetime) -> tuple[Account, DeviceSignIn]:
    """Whoever approved it. However many ask at once, one gets it. Raises `code_invalid`, `access_denied`."""
    waiting = await session.get(DeviceSignIn, digest(device_code))
    mine = delete(DeviceSignIn).where(
        DeviceSignIn.id == digest(device_code),
        DeviceSignIn.state == State.APPROVED,
        DeviceSignIn.expires_at > now,
    )
    if waiting is None or not await changed_one(session, mine):
        raise used()
    account = await session.get(Account, waiting.account_id)
    if account is None or account.kind != AccountKind.PERSON or account.disabled_at is not None:
        raise FarsiteError(ErrorCode.ACCESS_DENIED, "The account that approved it is there no longer.")
    return account, waiting


async def find(session: AsyncSession, user_code: str, vault: Vault, now: datetime) -> DeviceSignIn | None:
    """What waits under this code."""
    statement = select(DeviceSignIn).where(
        DeviceSignIn.user_digest == user_digest(user_code, vault),
        DeviceSignIn.state == State.PENDING,
        DeviceSignIn.expires_at > now,
    )
    return (await session.scalars(statement)).first()


async def decide(
    session: AsyncSession, waiting: DeviceSignIn, by: BrowserSignIn, now: datetime, *, approved: bool
) -> None:
    """However many answer at once, one does. Raises `code_invalid`."""
    state = State.APPROVED if approved else State.DENIED
    mine = update(DeviceSignIn).where(
        DeviceSignIn.id == waiting.id, DeviceSignIn.state == State.PENDING, DeviceSignIn.expires_at > now
    )
    said = {"account_id": by.account_id, "mfa": by.mfa, "organization_id": by.organization_id}
    if not await changed_one(session, mine.values(state=state, **said)):
        raise used()


def used() -> FarsiteError:
    detail = "This code is wrong, was used before or has expired. Start again with: farsite login --browser"
    return FarsiteError(ErrorCode.CODE_INVALID, detail)
