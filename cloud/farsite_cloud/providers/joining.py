"""Who a person is whom an organization's provider vouches for, and what that opens.

A provider is the organization's own: it may say anything. So what it says counts inside that organization only, for
identities it has vouched for before, and for addresses of domains the organization has proven to be its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from farsite_signaling.wire.errors import ErrorCode, FarsiteError


class Verdict(StrEnum):
    ENTER = "enter"
    """Known from before."""
    LINK = "link"
    """A member, seen for the first time."""
    ADD = "add"
    """Has an account, and becomes a member."""
    CREATE = "create"


@dataclass(frozen=True)
class Facts:
    """`linked` and `account` are ids: of who this identity was before, of who has the address. Each a member or not.

    `account_linked_elsewhere`: the address's account belongs to another identity of the same provider.
    """

    linked: str | None
    linked_is_member: bool
    email: str | None
    domain_proven: bool
    account: str | None
    account_is_member: bool
    account_linked_elsewhere: bool
    new_members: bool


def decide(facts: Facts) -> Verdict:
    """Raises `provider_refused` with what to do about it."""
    if facts.linked is not None:
        if not facts.linked_is_member:
            raise _no("You are no longer a member of this organization. Ask to be invited again.")
        return Verdict.ENTER
    if facts.email is None:
        raise _no("Your identity provider does not say that it has verified your e-mail address.")
    if not facts.domain_proven:
        raise _no("Your e-mail address is not of a domain that this organization has proven to be its own.")
    if facts.account_linked_elsewhere:
        raise _no(
            "Your e-mail address belonged to somebody else at your provider before. Ask an owner to unlink it."
        )
    if facts.account is not None and facts.account_is_member:
        return Verdict.LINK
    if not facts.new_members:
        raise _no("You are not a member of this organization yet. Ask to be invited.")
    return Verdict.CREATE if facts.account is None else Verdict.ADD


def _no(why: str) -> FarsiteError:
    return FarsiteError(ErrorCode.PROVIDER_REFUSED, why)
