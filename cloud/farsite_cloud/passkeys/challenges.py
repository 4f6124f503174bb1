"""Challenges: kept as digests, good for one answer within five minutes."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import CursorResult, delete
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.accounts.tokens import digest
from farsite_cloud.passkeys.models import PasskeyChallenge

LIFETIME = timedelta(minutes=5)
_BYTES = 32


class Purpose(StrEnum):
    REGISTER = "register"
    PROVE = "prove"


async def new_challenge(
    session: AsyncSession, purpose: Purpose, now: datetime, account_id: str | None = None
) -> bytes:
    """Expired ones of everybody are swept on the way."""
    await session.execute(delete(PasskeyChallenge).where(PasskeyChallenge.expires_at <= now))
    challenge = secrets.token_bytes(_BYTES)
    row = PasskeyChallenge(
        id=_key(challenge), purpose=str(purpose), account_id=account_id, expires_at=now + LIFETIME
    )
    session.add(row)
    return challenge


async def use_challenge(
    session: AsyncSession, challenge: bytes, purpose: Purpose, now: datetime, account_id: str | None = None
) -> bool:
    """Whether it was one of ours for this, not answered before. Of several that answer at once, one counts."""
    this = PasskeyChallenge.id == _key(challenge)
    good = this & (PasskeyChallenge.purpose == str(purpose)) & (PasskeyChallenge.expires_at > now)
    if account_id is not None:
        good &= PasskeyChallenge.account_id == account_id
    used = await session.execute(delete(PasskeyChallenge).where(good))
    return isinstance(used, CursorResult) and used.rowcount == 1


async def spoil(session: AsyncSession, challenge: bytes) -> None:
    """A refused answer uses its challenge up as well."""
    await session.execute(delete(PasskeyChallenge).where(PasskeyChallenge.id == _key(challenge)))


def _key(challenge: bytes) -> str:
    return digest(challenge.hex())
