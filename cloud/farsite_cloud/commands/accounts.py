"""`farsite cloud account …`: what an operator does for somebody who cannot get in. Audited, and told to the owner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.accounts import mail_codes, mfa
from farsite_cloud.accounts.factors import factors_of
from farsite_cloud.accounts.mailed import Purpose, issue_code
from farsite_cloud.accounts.models import Account
from farsite_cloud.accounts.service import find_account, people
from farsite_cloud.accounts.tokens import live_tokens, revoke_all
from farsite_cloud.audit.log import Act, write
from farsite_cloud.clock import Clock, system_clock
from farsite_cloud.database.opening import database_exists, open_database
from farsite_cloud.mail.letters import Letter, render
from farsite_cloud.mail.queue import put
from farsite_cloud.organizations.service import memberships_of
from farsite_cloud.passkeys.service import remove_all
from farsite_cloud.sessions.endings import end_of_tokens
from farsite_cloud.settings import CloudSettings
from farsite_cloud.urls import public_urls
from farsite_cloud.vault import Vault
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

T = TypeVar("T")
OPERATOR, HERE = "operator", "this machine"


@dataclass(frozen=True)
class Desk:
    """Where the operator works: one unit of work on the cloud's data."""

    session: AsyncSession
    vault: Vault
    url: str
    now: datetime

    async def account(self, email: str) -> Account:
        """Raises `not_found`."""
        account = await find_account(self.session, email)
        if account is None:
            raise FarsiteError(ErrorCode.NOT_FOUND, f"There is no account {email[:254]!r}.")
        return account

    async def audit(self, action: str, account: Account) -> None:
        found = await memberships_of(self.session, account.id)
        organizations = [organization.id for organization, _ in found]
        write(self.session, Act(action, OPERATOR, HERE, organizations, account.email), self.now)

    def mail(self, account: Account, letter: Letter, **values: object) -> None:
        content = render(letter, email=account.email, url=self.url, **values)
        put(self.session, account.email, content, self.vault, self.now)


@asynccontextmanager
async def _desk(settings: CloudSettings, clock: Clock) -> AsyncIterator[Desk]:
    vault = Vault.open(settings.data_dir, create=False, given=settings.given_key)
    bind, port = settings.listen_address, settings.listen_port
    url = public_urls(settings.public_url, bind=bind, port=port, tls=settings.tls).api
    database = open_database(settings)
    try:
        async with database.writing() as session:
            yield Desk(session, vault, url, clock())
    finally:
        await database.aclose()


def run(settings: CloudSettings, act: Callable[[Desk], Awaitable[T]], clock: Clock = system_clock) -> T:
    """Raises `not_found` without a cloud there, `storage_failed` without its key."""
    if not database_exists(settings):
        detail = f"There is no cloud in {settings.data_dir}. Name its folder with --data-dir."
        raise FarsiteError(ErrorCode.NOT_FOUND, detail)

    async def work() -> T:
        async with _desk(settings, clock) as desk:
            return await act(desk)

    return asyncio.run(work())


async def list_accounts(desk: Desk) -> list[dict[str, Any]]:
    """Of people, by address."""
    return [await _shown(desk, account) for account in await people(desk.session)]


async def _shown(desk: Desk, account: Account) -> dict[str, Any]:
    organizations = await memberships_of(desk.session, account.id)
    signed_in = await live_tokens(desk.session, account.id, desk.now, personal=False)
    factors = await factors_of(desk.session, account)
    return {
        "email": account.email,
        "name": account.name,
        "created_at": account.created_at.isoformat(),
        "second_factors": factors.methods,
        "organizations": [f"{one.name} ({role})" for one, role in organizations],
        "sign_ins": len(signed_in),
    }


async def reset_mfa(desk: Desk, email: str) -> dict[str, Any]:
    """Every second factor is off and everybody is signed out; the password stays. Raises `not_found`."""
    account = await desk.account(email)
    had = (await factors_of(desk.session, account)).methods
    account.totp_secret = account.totp_since = account.email_codes_since = None
    await remove_all(desk.session, account.id)
    await mfa.drop_recovery_codes(desk.session, account.id)
    await mail_codes.drop(desk.session, account.id)
    ended = await revoke_all(desk.session, account.id, desk.now)
    await end_of_tokens(desk.session, account.id, ended, desk.now)
    await desk.audit("account.mfa_reset", account)
    what = "The operator removed your second factors"
    at = f"{desk.now:%Y-%m-%d %H:%M}"
    desk.mail(account, Letter.MFA_CHANGED, subject=what, what=what, at=at, source=HERE)
    return {"email": account.email, "removed": had, "ended": len(ended)}


async def password_code(desk: Desk, email: str) -> dict[str, Any]:
    """A code to choose a new password with, for the operator to hand over; it is mailed to nobody. Raises `not_found`."""
    account = await desk.account(email)
    code, until = await issue_code(desk.session, Purpose.RESET, account.email, desk.now)
    await desk.audit("account.password_code_made", account)
    return {"email": account.email, "code": code, "until": until.isoformat(), "url": desk.url}
