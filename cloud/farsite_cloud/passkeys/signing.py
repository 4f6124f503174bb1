"""Proving that one has a passkey, alone or beside a password."""

from __future__ import annotations

import logging

from sqlalchemy.ext.asyncio import AsyncSession
from webauthn.helpers import base64url_to_bytes

from farsite_cloud.accounts.guessing import place
from farsite_cloud.accounts.models import Account
from farsite_cloud.accounts.signing_in import organizations_of_account
from farsite_cloud.api.call import Call
from farsite_cloud.audit.log import Act
from farsite_cloud.mail.letters import Letter
from farsite_cloud.organizations.service import memberships_of
from farsite_cloud.passkeys.challenges import Purpose, spoil, use_challenge
from farsite_cloud.passkeys.checking import Proven, Refused, challenge_in, check_assertion, counts_back
from farsite_cloud.passkeys.models import Passkey
from farsite_cloud.passkeys.party import party_of
from farsite_cloud.passkeys.service import passkey_with, used
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.passkeys import PasskeyAssertion

logger = logging.getLogger(__name__)


async def find_passkey(session: AsyncSession, answer: PasskeyAssertion) -> tuple[Passkey, Account] | None:
    """Whose passkey is claimed to answer; nothing is proven yet."""
    passkey = await passkey_with(session, answer.id)
    account = None if passkey is None else await session.get(Account, passkey.account_id)
    return None if passkey is None or account is None else (passkey, account)


async def prove_alone(call: Call, answer: PasskeyAssertion, action: str) -> Account:
    """Signing in with nothing else: counted and audited. Raises `sign_in_failed`, `rate_limited`."""
    limits, here = call.services.limits, place(call.source)
    await limits.address.begin(here)
    async with call.services.database.reading() as session:
        found = await find_passkey(session, answer)
        organizations = [] if found is None else await organizations_of_account(session, found[1])
    actor = "" if found is None else found[1].email
    with call.act(action, actor=actor, organizations=organizations) as act:
        act.details["method"] = "passkey"
        account = await prove_passkey(call, answer)
    # Failures stay: a passkey of one's own must not pay for guesses at others' accounts.
    await limits.address.forgive(here)
    await limits.passkeys.succeeded(here)
    return account


async def prove_passkey(call: Call, answer: PasskeyAssertion, account: Account | None = None) -> Account:
    """Whose passkey it is; `account` says whose it must be. Raises `sign_in_failed`, the same for whatever is wrong."""
    try:
        return await _prove(call, answer, account)
    except Refused as refusal:
        logger.warning("passkey refused from %s: %s", call.source, refusal)
        detail = "The passkey was not accepted. Ask for new options and try again, or sign in another way."
        raise FarsiteError(ErrorCode.SIGN_IN_FAILED, detail) from None


async def _prove(call: Call, answer: PasskeyAssertion, expected: Account | None) -> Account:
    challenge = challenge_in(answer)
    call.even_refused(lambda session: spoil(session, challenge))
    if not await use_challenge(call.session, challenge, Purpose.PROVE, call.now):
        raise Refused("the challenge is not ours, was answered before or has expired")
    found = await find_passkey(call.session, answer)
    if found is None:
        raise Refused("nobody's")
    passkey, account = found
    _check_owner(answer, account, expected)
    proven = check_assertion(answer, challenge, party_of(call.services.urls), passkey.public_key)
    await _count(call, passkey, account, proven)
    return account


def _check_owner(answer: PasskeyAssertion, account: Account, expected: Account | None) -> None:
    handle = answer.response.userHandle
    if expected is not None and account.id != expected.id:
        raise Refused("another account's")
    if handle is None and expected is None:
        raise Refused("it does not say whose it is")
    if handle is not None and _text(handle) != account.id:
        raise Refused("it says that it is another account's")


def _text(handle: str) -> str:
    try:
        return base64url_to_bytes(handle).decode()
    except ValueError:
        raise Refused("no user handle of ours") from None


async def _count(call: Call, passkey: Passkey, account: Account, proven: Proven) -> None:
    if counts_back(passkey.sign_count, proven.sign_count):
        await _tell_of_copy(call, passkey, account)
        raise Refused(f"passkey {passkey.id} counts back: {passkey.sign_count} to {proven.sign_count}")
    if not await used(call.session, passkey, proven, call.now):
        raise Refused(f"passkey {passkey.id} was used at the same moment")


async def _tell_of_copy(call: Call, passkey: Passkey, account: Account) -> None:
    """Somebody else may have the key: its owner learns of it although the sign-in is refused."""
    organizations = [organization.id for organization, _ in await memberships_of(call.session, account.id)]
    act = Act("account.passkey_counts_back", account.email, call.source, organizations, passkey.name)
    act.details["passkey"] = passkey.id
    call.refused(act, FarsiteError(ErrorCode.SIGN_IN_FAILED, "The passkey counts back."))
    values = {"name": passkey.name, "at": f"{call.now:%Y-%m-%d %H:%M}", "source": call.source}
    call.mail_even_refused(account.email, Letter.PASSKEY_COPIED, **values)
