"""`farsite cloud account …`: what an operator does about one account. Audited, and told to its owner."""

from __future__ import annotations

from typing import Any

from farsite_cloud.accounts import mail_codes, mfa
from farsite_cloud.accounts.factors import factors_of
from farsite_cloud.accounts.mailed import Purpose, issue_code
from farsite_cloud.accounts.models import Account
from farsite_cloud.accounts.service import people
from farsite_cloud.accounts.tokens import live_tokens, revoke_all, revoke_sign_ins
from farsite_cloud.commands.desk import HERE, Desk
from farsite_cloud.mail.letters import Letter
from farsite_cloud.organizations.service import memberships_of
from farsite_cloud.passkeys.service import remove_all
from farsite_cloud.sessions.endings import end_of_account, end_of_tokens
from farsite_cloud.setup_codes.service import void_all_setup_codes
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


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
        "disabled_at": None if account.disabled_at is None else account.disabled_at.isoformat(),
    }


async def find(desk: Desk, email: str) -> dict[str, Any]:
    """One account, by its address. Raises `not_found`."""
    account = await desk.account(email)
    signed_in = await live_tokens(desk.session, account.id, desk.now, personal=False)
    access_tokens = await live_tokens(desk.session, account.id, desk.now, personal=True)
    uses = [token.used_at or token.created_at for token in signed_in + access_tokens]
    return await _shown(desk, account) | {
        "id": account.id,
        "access_tokens": len(access_tokens),
        "last_used": max(uses).isoformat() if uses else None,
    }


async def disable(desk: Desk, email: str, reason: str) -> dict[str, Any]:
    """Nobody signs in to it, its sign-ins and tunnels end, its access tokens work no more until it is enabled.

    Raises `not_found`, `conflict`.
    """
    account = await desk.account(email)
    if account.disabled_at is not None:
        raise FarsiteError(ErrorCode.CONFLICT, f"{account.email} is disabled already.")
    account.disabled_at = desk.now
    account.revision += 1
    ended = await revoke_sign_ins(desk.session, account.id, desk.now)
    await void_all_setup_codes(desk.session, account.id, desk.now)
    sessions = await end_of_account(desk.session, account.id, desk.now)
    await desk.audit("account.disabled", account, reason=reason)
    _tell(desk, account, "The operator disabled your account", reason)
    return {"email": account.email, "ended": len(ended), "sessions_ended": sessions}


async def enable(desk: Desk, email: str) -> dict[str, Any]:
    """Raises `not_found`, `conflict`."""
    account = await desk.account(email)
    if account.disabled_at is None:
        raise FarsiteError(ErrorCode.CONFLICT, f"{account.email} is not disabled.")
    account.disabled_at = None
    account.revision += 1
    await desk.audit("account.enabled", account)
    _tell(desk, account, "The operator enabled your account again", "")
    return {"email": account.email}


async def sign_out(desk: Desk, email: str) -> dict[str, Any]:
    """Every sign-in and access token ends, with their tunnels. Raises `not_found`."""
    account = await desk.held(email)
    ended = await revoke_all(desk.session, account.id, desk.now)
    sessions = await end_of_account(desk.session, account.id, desk.now)
    await desk.audit("account.signed_out_by_operator", account, ended=len(ended))
    _tell(desk, account, "The operator ended all your sign-ins and access tokens", "")
    return {"email": account.email, "ended": len(ended), "sessions_ended": sessions}


def _tell(desk: Desk, account: Account, what: str, reason: str) -> None:
    at = f"{desk.now:%Y-%m-%d %H:%M}"
    desk.mail(account.email, Letter.BY_OPERATOR, subject=what, what=what, at=at, reason=reason)


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
    desk.mail(account.email, Letter.MFA_CHANGED, subject=what, what=what, at=at, source=HERE)
    return {"email": account.email, "removed": had, "ended": len(ended)}


async def password_code(desk: Desk, email: str) -> dict[str, Any]:
    """A code to choose a new password with, for the operator to hand over; it is mailed to nobody. Raises `not_found`."""
    account = await desk.account(email)
    code, until = await issue_code(desk.session, Purpose.RESET, account.email, desk.now)
    await desk.audit("account.password_code_made", account)
    return {"email": account.email, "code": code, "until": until.isoformat(), "url": desk.url}
