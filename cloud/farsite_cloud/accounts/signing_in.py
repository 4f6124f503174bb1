"""Signing in with a password: the same answers, and the same work, whether or not there is such an account."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.accounts import service, tokens
from farsite_cloud.accounts.factors import Factors, factors_of
from farsite_cloud.accounts.guessing import Guess, guess_of
from farsite_cloud.accounts.models import Account
from farsite_cloud.accounts.staying import Stay
from farsite_cloud.api.call import Call
from farsite_cloud.organizations.service import memberships_of
from farsite_signaling.wire import cloud_api as wire
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

_NOBODY = Account(id="", email="", name="", password_hash="")


@dataclass(frozen=True)
class Candidate:
    """Who says that they are somebody. Nothing is proven yet."""

    account: Account | None
    organizations: list[str]
    factors: Factors
    guess: Guess

    @property
    def email(self) -> str:
        """For the audit log; an address without an account is not written down."""
        return self.account.email if self.account is not None else ""


async def candidate(call: Call, email: str) -> Candidate:
    """Looked up outside the transaction: hashing is slow, and only one writer writes at a time."""
    async with call.services.database.reading() as session:
        account = await service.find_account(session, email)
        looked_at = account or _NOBODY
        organizations = await organizations_of_account(session, looked_at)
        factors = await factors_of(session, looked_at)
        guess = await guess_of(call, session, email)
    await guess.begin()
    return Candidate(account, organizations, factors, guess)


async def organizations_of_account(session: AsyncSession, account: Account) -> list[str]:
    return [organization.id for organization, _ in await memberships_of(session, account.id)]


async def check_password(call: Call, who: Candidate, password: SecretStr) -> Account:
    """Raises `sign_in_failed`."""
    kept = None if who.account is None else who.account.password_hash
    right = await call.services.passwords.verify(kept, password.get_secret_value())
    if who.account is not None and right:
        return await _unchanged(call, who.account, who.factors)
    raise FarsiteError(ErrorCode.SIGN_IN_FAILED, "The e-mail address or the password is wrong.")


async def _unchanged(call: Call, account: Account, factors: Factors) -> Account:
    """The account, locked. Hashing takes a while: a password or factor that was changed meanwhile, whose change ended
    every other sign-in, must not be had by this one. Raises `sign_in_failed`."""
    found = await call.session.get(Account, account.id, with_for_update={"key_share": True})
    if (
        found is None
        or found.password_hash != account.password_hash
        or await factors_of(call.session, found) != factors
    ):
        raise FarsiteError(
            ErrorCode.SIGN_IN_FAILED, "The account was changed at this very moment. Sign in again."
        )
    tokens.check_enabled(found)
    return found


async def signed_in(
    call: Call, account: Account, *, mfa: bool, organization_id: str | None = None
) -> wire.SignInResult:
    origin = tokens.Origin(call.source, call.agent, mfa=mfa, organization_id=organization_id)
    token, expires_at = await tokens.issue(
        call.session, account, call.now, origin, Stay.of(call.services.settings)
    )
    answer = wire.Account(id=account.id, email=account.email, name=account.name)
    return wire.SignInResult(token=token, expires_at=expires_at, account=answer)
