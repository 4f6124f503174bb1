"""The signed-in account's second factor."""

from __future__ import annotations

from aiohttp import web

from farsite_cloud.accounts import mfa, tokens
from farsite_cloud.accounts.endings import close_tunnels, organizations_of
from farsite_cloud.accounts.models import Account
from farsite_cloud.accounts.own import check_password, own_account
from farsite_cloud.api.call import Call, call_of
from farsite_cloud.mail.letters import Letter
from farsite_cloud.organizations.service import memberships_of
from farsite_signaling.rest import INTERACTIVE, Api
from farsite_signaling.wire import people_api as wire
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

api = Api()
_MFA = "/me/mfa"


@api.route("GET", _MFA, need=INTERACTIVE, response=wire.Mfa)
async def get_mfa(request: web.Request) -> wire.Mfa:
    """Whether a second factor is on, and how many recovery codes are left."""
    call = call_of(request)
    account = await own_account(call)
    left = await mfa.recovery_codes_left(call.session, account.id)
    return wire.Mfa(enabled=mfa.is_on(account), recovery_codes_left=left)


@api.route(
    "POST", f"{_MFA}/secret", need=INTERACTIVE, request=wire.MfaStart, response=wire.MfaSecret, status=201
)
async def start_mfa(request: web.Request, body: wire.MfaStart) -> wire.MfaSecret:
    """A secret for an authenticator app, as text and QR code. Nothing is on until a code proves it."""
    call = call_of(request)
    account = await own_account(call)
    if mfa.is_on(account):
        raise FarsiteError(ErrorCode.CONFLICT, "A second factor is on already. Turn it off first.")
    await check_password(call, account, body.password.get_secret_value())
    secret = mfa.new_secret(account, call.services.vault)
    uri = mfa.uri_of(account, secret)
    return wire.MfaSecret(secret=secret, uri=uri, qr_svg=mfa.qr_svg(uri))


@api.route("POST", f"{_MFA}/enable", need=INTERACTIVE, request=wire.MfaConfirm, response=wire.RecoveryCodes)
async def enable_mfa(request: web.Request, body: wire.MfaConfirm) -> wire.RecoveryCodes:
    """Turn the second factor on with a code of the app. Other sign-ins end. Gives the recovery codes, once."""
    call = call_of(request)
    account = await own_account(call)
    if mfa.is_on(account) or account.totp_secret is None:
        raise FarsiteError(ErrorCode.CONFLICT, "Ask for a secret first (POST /me/mfa/secret).")
    with call.act("account.mfa_enabled", organizations=await organizations_of(call, account.id)):
        await _prove(call, account, body.code.get_secret_value())
        codes = await mfa.enable(call.session, account, call.now)
        await tokens.mark_mfa(call.session, call.caller.token_id)
        ended = await tokens.revoke_all(call.session, account.id, call.now, but=call.caller.token_id)
        await close_tunnels(call, account.id, ended)
    _tell(call, account, "A second factor was turned on")
    return wire.RecoveryCodes(codes=codes)


@api.route("POST", f"{_MFA}/disable", need=INTERACTIVE, request=wire.MfaProof)
async def disable_mfa(request: web.Request, body: wire.MfaProof) -> None:
    """Turn the second factor off, with password and code. Refused while an organization asks for one."""
    call = call_of(request)
    account = await _owner_of_factor(call)
    with call.act("account.mfa_disabled", organizations=await organizations_of(call, account.id)):
        await _check_not_required(call, account)
        await check_password(call, account, body.password.get_secret_value())
        await _prove(call, account, body.code.get_secret_value())
        await mfa.disable(call.session, account)
        await tokens.clear_mfa(call.session, account.id)
    _tell(call, account, "The second factor was turned off")


@api.route(
    "POST", f"{_MFA}/recovery-codes", need=INTERACTIVE, request=wire.MfaProof, response=wire.RecoveryCodes
)
async def replace_recovery_codes(request: web.Request, body: wire.MfaProof) -> wire.RecoveryCodes:
    """New recovery codes, shown once; the old ones are void."""
    call = call_of(request)
    account = await _owner_of_factor(call)
    with call.act("account.recovery_codes_replaced", organizations=await organizations_of(call, account.id)):
        await check_password(call, account, body.password.get_secret_value())
        await _prove(call, account, body.code.get_secret_value())
        codes = await mfa.new_recovery_codes(call.session, account)
    _tell(call, account, "The recovery codes were replaced")
    return wire.RecoveryCodes(codes=codes)


async def _owner_of_factor(call: Call) -> Account:
    account = await own_account(call)
    if not mfa.is_on(account):
        raise FarsiteError(ErrorCode.CONFLICT, "No second factor is on.")
    return account


async def _prove(call: Call, account: Account, code: str) -> None:
    limits = call.services.limits.account
    await limits.begin(account.email)
    await mfa.prove(call.session, account, code, call.services.vault, call.now)
    await limits.succeeded(account.email)


async def _check_not_required(call: Call, account: Account) -> None:
    for organization, _ in await memberships_of(call.session, account.id):
        if organization.require_mfa:
            detail = f"The organization {organization.name!r} asks for a second factor: it stays on."
            raise FarsiteError(ErrorCode.CONFLICT, detail)


def _tell(call: Call, account: Account, what: str) -> None:
    at = f"{call.now:%Y-%m-%d %H:%M}"
    call.mail(account.email, Letter.MFA_CHANGED, subject=what, what=what, at=at, source=call.source)
