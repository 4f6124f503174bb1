"""Where an operator works: one unit of work on the cloud's data, beside its processes. What is done is audited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.accounts.models import Account
from farsite_cloud.accounts.service import addresses_of, find_account
from farsite_cloud.audit.log import Act, write
from farsite_cloud.clock import Clock, system_clock
from farsite_cloud.database.moved import refuse_moved
from farsite_cloud.database.opening import database_exists, open_database
from farsite_cloud.mail.letters import Letter, render
from farsite_cloud.mail.queue import put
from farsite_cloud.organizations.models import Organization
from farsite_cloud.organizations.service import members_of, memberships_of
from farsite_cloud.settings import CloudSettings
from farsite_cloud.urls import public_urls
from farsite_cloud.vault import Vault
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

T = TypeVar("T")
OPERATOR, HERE = "operator", "this machine"


@dataclass(frozen=True)
class Desk:
    session: AsyncSession
    vault: Vault
    url: str
    now: datetime
    settings: CloudSettings

    async def account(self, email: str) -> Account:
        """Raises `not_found`."""
        account = await find_account(self.session, email)
        if account is None:
            raise FarsiteError(ErrorCode.NOT_FOUND, f"There is no account {email[:254]!r}.")
        return account

    async def held(self, email: str) -> Account:
        """Locked: whoever makes a token for it right now has done so before, or is refused. Raises `not_found`."""
        account = await self.account(email)
        await self.session.refresh(account, with_for_update={"key_share": True})
        return account

    async def audit(self, action: str, account: Account, **details: Any) -> None:
        """In the logs of the account's organizations, and in the operator's own when it has none."""
        found = await memberships_of(self.session, account.id)
        organizations = [organization.id for organization, _ in found]
        act = Act(action, OPERATOR, HERE, organizations, account.email, details=details)
        write(self.session, act, self.now)

    def mail(self, recipient: str, letter: Letter, **values: object) -> None:
        content = render(letter, email=recipient, url=self.url, **values)
        put(self.session, recipient, content, self.vault, self.now)

    async def mail_members(self, organization: Organization, letter: Letter, **values: object) -> int:
        """How many people were told."""
        people = await addresses_of(self.session, await members_of(self.session, organization.id))
        for email in people:
            self.mail(email, letter, organization=organization.name, by=f"The {OPERATOR}", **values)
        return len(people)


@asynccontextmanager
async def _desk(settings: CloudSettings, clock: Clock) -> AsyncIterator[Desk]:
    vault = Vault.open(settings.data_dir, create=False, given=settings.given_key)
    bind, port = settings.listen_address, settings.listen_port
    url = public_urls(settings.public_url, bind=bind, port=port, tls=settings.tls).api
    database = open_database(settings)
    try:
        async with database.writing() as session:
            await refuse_moved(session)
            yield Desk(session, vault, url, clock(), settings)
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
