"""Passkeys of accounts, as rows."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CursorResult, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.ids import new_id
from farsite_cloud.passkeys.checking import Proven, Registered
from farsite_cloud.passkeys.models import LONGEST_CREDENTIAL, Passkey
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

MOST = 20


async def passkeys_of(session: AsyncSession, account_id: str) -> list[Passkey]:
    """Oldest first."""
    statement = select(Passkey).where(Passkey.account_id == account_id).order_by(Passkey.id)
    return list(await session.scalars(statement))


async def own_passkey(session: AsyncSession, account_id: str, passkey_id: str) -> Passkey:
    """Raises `not_found`, for another account's as for none at all."""
    mine = select(Passkey).where(Passkey.account_id == account_id, Passkey.id == passkey_id)
    passkey = (await session.scalars(mine)).first()
    if passkey is None:
        raise FarsiteError(ErrorCode.NOT_FOUND, f"There is no passkey {passkey_id[:64]!r} of yours.")
    return passkey


async def passkey_with(session: AsyncSession, credential_id: str) -> Passkey | None:
    statement = select(Passkey).where(Passkey.credential_id == credential_id.rstrip("="))
    return (await session.scalars(statement)).first()


async def check_room(session: AsyncSession, account_id: str) -> None:
    """Raises `conflict` when the account has as many as one may."""
    mine = select(func.count()).select_from(Passkey).where(Passkey.account_id == account_id)
    if (await session.scalar(mine) or 0) >= MOST:
        raise FarsiteError(ErrorCode.CONFLICT, f"An account has at most {MOST} passkeys. Remove one first.")


async def add(
    session: AsyncSession,
    account_id: str,
    name: str,
    made: Registered,
    transports: list[str],
    now: datetime,
) -> Passkey:
    """Raises `conflict` for one that is registered already, with whatever account."""
    if len(made.credential_id) > LONGEST_CREDENTIAL or await passkey_with(session, made.credential_id):
        raise FarsiteError(ErrorCode.CONFLICT, "This passkey is registered already.")
    passkey = Passkey(
        id=new_id(now),
        account_id=account_id,
        credential_id=made.credential_id,
        public_key=made.public_key,
        sign_count=made.sign_count,
        name=name,
        transports=transports,
        backed_up=made.backed_up,
        created_at=now,
    )
    session.add(passkey)
    await session.flush()
    return passkey


async def used(session: AsyncSession, passkey: Passkey, proven: Proven, now: datetime) -> bool:
    """False when another answer was counted meanwhile."""
    mine = update(Passkey).where(Passkey.id == passkey.id, Passkey.sign_count == passkey.sign_count)
    values = {"sign_count": proven.sign_count, "backed_up": proven.backed_up, "used_at": now}
    result = await session.execute(mine.values(**values).execution_options(synchronize_session=False))
    return isinstance(result, CursorResult) and result.rowcount == 1


async def remove(session: AsyncSession, passkey: Passkey) -> None:
    await session.execute(delete(Passkey).where(Passkey.id == passkey.id))


async def remove_all(session: AsyncSession, account_id: str) -> None:
    await session.execute(delete(Passkey).where(Passkey.account_id == account_id))
