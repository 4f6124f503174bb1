"""A second factor: time-based codes of an authenticator app (RFC 6238), and recovery codes beside it."""

from __future__ import annotations

import hmac
import io
from datetime import datetime

import pyotp
import segno
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.accounts.mailed import new_code
from farsite_cloud.accounts.models import Account, RecoveryCode
from farsite_cloud.accounts.tokens import digest
from farsite_cloud.database.changes import changed_one
from farsite_cloud.vault import Vault
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

ISSUER = "Farsite"
STEP_SECONDS = 30
# Codes of one step earlier and later count: clocks of telephones are not ours (RFC 6238, 5.2).
_STEPS = (-1, 0, 1)
_RECOVERY_CODES = 10
_LONGEST = 100


def _purpose(account: Account) -> str:
    return f"account {account.id} totp"


def new_secret(account: Account, vault: Vault) -> str:
    """Kept, but without effect until `enable`."""
    secret = pyotp.random_base32()
    account.totp_secret = vault.seal(secret.encode(), _purpose(account))
    account.totp_since = None
    return secret


def uri_of(account: Account, secret: str) -> str:
    return pyotp.TOTP(secret).provisioning_uri(name=account.email, issuer_name=ISSUER)


def qr_svg(uri: str) -> str:
    picture = io.BytesIO()
    segno.make(uri, error="m").save(picture, kind="svg", scale=4, xmldecl=False)
    return picture.getvalue().decode()


def is_on(account: Account) -> bool:
    return account.totp_since is not None


async def prove(session: AsyncSession, account: Account, code: str, vault: Vault, now: datetime) -> None:
    """Use a code of the app, which must be on, or a recovery code; each works once. Raises `sign_in_failed`."""
    plain = "".join(code[:_LONGEST].split())
    if not (plain.isdecimal() and len(plain) == 6):
        if not await _use_recovery_code(session, account, plain):
            raise _wrong()
    elif is_on(account):
        await prove_app(session, account, plain, vault, now)
    else:
        raise _wrong()


async def prove_app(session: AsyncSession, account: Account, code: str, vault: Vault, now: datetime) -> None:
    """Also before it counts, to turn it on. Raises `sign_in_failed`."""
    if not await _use_app_code(session, account, "".join(code[:_LONGEST].split()), vault, now):
        raise _wrong()


def _wrong() -> FarsiteError:
    detail = "The code is wrong or was used before. Wait for the app's next one."
    return FarsiteError(ErrorCode.SIGN_IN_FAILED, detail)


async def _use_app_code(
    session: AsyncSession, account: Account, code: str, vault: Vault, now: datetime
) -> bool:
    """The update decides: of two that use one code at the same moment, one succeeds."""
    if account.totp_secret is None:
        return False
    totp = pyotp.TOTP(vault.unseal(account.totp_secret, _purpose(account)).decode())
    current = int(now.timestamp()) // STEP_SECONDS
    for step in (current + offset for offset in _STEPS):
        if hmac.compare_digest(totp.generate_otp(step), code):
            unused = update(Account).where(Account.id == account.id, Account.totp_step < step)
            return await changed_one(session, unused.values(totp_step=step))
    return False


async def _use_recovery_code(session: AsyncSession, account: Account, code: str) -> bool:
    used = delete(RecoveryCode).where(
        RecoveryCode.id == digest(code.lower()), RecoveryCode.account_id == account.id
    )
    return await changed_one(session, used)


async def drop_recovery_codes(session: AsyncSession, account_id: str) -> None:
    await session.execute(delete(RecoveryCode).where(RecoveryCode.account_id == account_id))


async def new_recovery_codes(session: AsyncSession, account: Account) -> list[str]:
    """They replace the old ones."""
    await drop_recovery_codes(session, account.id)
    codes = [new_code()[0] for _ in range(_RECOVERY_CODES)]
    session.add_all(RecoveryCode(id=digest(code), account_id=account.id) for code in codes)
    return codes


async def recovery_codes_left(session: AsyncSession, account_id: str) -> int:
    statement = select(func.count()).select_from(RecoveryCode).where(RecoveryCode.account_id == account_id)
    return await session.scalar(statement) or 0
