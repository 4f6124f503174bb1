"""Which second factors an account has, and which of them count when it signs in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.accounts.models import Account
from farsite_cloud.organizations.service import memberships_of
from farsite_cloud.passkeys.models import Passkey
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


@dataclass(frozen=True)
class Factors:
    """`app`, `email` and `passkeys`: turned on by the person. `required`: an organization asks for one."""

    app: bool
    email: bool
    passkeys: int
    required: bool

    @property
    def chosen(self) -> int:
        return self.app + self.email + bool(self.passkeys)

    @property
    def codes_by_mail(self) -> bool:
        """Also for those who chose nothing, while an organization asks for a second factor."""
        return self.email or (self.required and not self.chosen)

    @property
    def on(self) -> bool:
        return bool(self.chosen) or self.required

    @property
    def methods(self) -> list[str]:
        """What may be given at sign-in, best first. Recovery codes work beside what was chosen."""
        found = [("passkey", bool(self.passkeys)), ("app", self.app), ("email", self.codes_by_mail)]
        return [name for name, there in found if there]


async def factors_of(session: AsyncSession, account: Account) -> Factors:
    asked = [organization.require_mfa for organization, _ in await memberships_of(session, account.id)]
    return Factors(
        app=account.totp_since is not None,
        email=account.email_codes_since is not None,
        passkeys=await _passkeys(session, account.id),
        required=any(asked),
    )


async def _passkeys(session: AsyncSession, account_id: str) -> int:
    statement = select(func.count()).select_from(Passkey).where(Passkey.account_id == account_id)
    return await session.scalar(statement) or 0


async def accounts_with_factor(session: AsyncSession, account_ids: Sequence[str]) -> set[str]:
    """Which of these accounts chose a second factor."""
    with_passkey = select(Passkey.account_id).where(Passkey.account_id.in_(account_ids))
    statement = select(Account.id).where(
        Account.id.in_(account_ids),
        or_(
            Account.totp_since.is_not(None),
            Account.email_codes_since.is_not(None),
            Account.id.in_(with_passkey),
        ),
    )
    return set(await session.scalars(statement))


def missing_factor(factors: Factors) -> FarsiteError:
    """`mfa_required`; its `errors` name the methods, for programs."""
    words = {
        "passkey": "your passkey",
        "app": "a code of your authenticator app",
        "email": "a code that is mailed to you (POST /auth/mail-code)",
    }
    ways = [words[method] for method in factors.methods]
    recovery = ", or a recovery code" if factors.chosen else ""
    detail = f"This account has a second factor: give {' or '.join(ways)}{recovery}."
    errors = [{"method": method} for method in factors.methods]
    return FarsiteError(ErrorCode.MFA_REQUIRED, detail, errors=errors)
