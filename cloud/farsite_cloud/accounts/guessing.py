"""How often whom may guess: by account and place, and slower by account from everywhere.

A stranger who guesses must not keep the account's owner out, so failures are counted for the place they come from.
Many places together are slowed down too, except where the account is known to have signed in.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.accounts.models import Account, Token
from farsite_cloud.accounts.tokens import digest
from farsite_cloud.api.call import Call


@dataclass(frozen=True)
class Guess:
    """One attempt, counted as failed until `right`."""

    call: Call
    email: str
    device: str | None
    known: bool

    @property
    def _here(self) -> str:
        return f"{self.email}|{self.device or place(self.call.source)}"

    async def begin(self) -> None:
        """Raises `rate_limited`. Counted at once: parallel guesses do not slip through together."""
        limits, here = self.call.services.limits, place(self.call.source)
        if self.device is None:
            await limits.address.check(here)
        await limits.account.begin(self._here)
        if not self.known:
            await limits.everywhere.begin(self.email)
        await limits.address.failed(here)

    async def right(self) -> None:
        limits = self.call.services.limits
        await limits.account.succeeded(self._here)
        # Not all forgotten: an account of one's own must not pay for guesses at others'.
        await limits.address.forgive(place(self.call.source))
        if not self.known:
            await limits.everywhere.forgive(self.email)


async def guess_of(call: Call, session: AsyncSession, email: str) -> Guess:
    """Whoever shows a token the account once had, even an ended one, is on a device of its own."""
    email = email.lower()[:254]
    device = await _device(session, email, call.bearer)
    known = device is not None or await _was_here(session, email, call.source)
    return Guess(call, email, device, known)


def signed_in_guess(call: Call) -> Guess:
    """Somebody signed in proves the password or a code once more: nobody else uses up these tries."""
    return Guess(call, call.caller.email, f"device {call.caller.token_id}", known=True)


async def _device(session: AsyncSession, email: str, secret: str | None) -> str | None:
    mine = select(Token.id).join(Account, Account.id == Token.account_id).where(Account.email == email)
    found = await session.scalar(mine.where(Token.digest == digest((secret or "")[:200])))
    return None if found is None else f"device {found}"


async def _was_here(session: AsyncSession, email: str, source: str) -> bool:
    here = select(Token.id).join(Account, Account.id == Token.account_id)
    here = here.where(Account.email == email, Token.source == source[:64]).limit(1)
    return await session.scalar(here) is not None


def place(source: str) -> str:
    """An address; of IPv6 the /64, which one household has whole."""
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return source
    if isinstance(address, ipaddress.IPv4Address):
        return source
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))
