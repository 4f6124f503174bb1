"""The signed-in account's second factors: the app, codes by mail, recovery codes."""

from __future__ import annotations

from aiohttp import web

from farsite_cloud.accounts import mail_codes, mfa
from farsite_cloud.accounts.changing import FactorChange, begin_change
from farsite_cloud.accounts.factors import Factors, factors_of
from farsite_cloud.accounts.guessing import signed_in_guess
from farsite_cloud.accounts.own import own_account
from farsite_cloud.accounts.proving import mail_code
from farsite_cloud.api.call import Call, call_of
from farsite_signaling.rest import INTERACTIVE, Api
from farsite_signaling.wire import factor_api, people_api
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

api = Api()
_MFA = "/me/mfa"


@api.route("GET", _MFA, need=INTERACTIVE, response=factor_api.Mfa)
async def get_mfa(request: web.Request) -> factor_api.Mfa:
    """Which second factors are on, and how many recovery codes are left."""
    call = call_of(request)
    account = await own_account(call)
    factors = await factors_of(call.session, account)
    left = await mfa.recovery_codes_left(call.session, account.id)
    return _state(factors, left)


def _state(factors: Factors, left: int) -> factor_api.Mfa:
    return factor_api.Mfa(
        enabled=bool(factors.chosen),
        app=factors.app,
        email=factors.email,
        passkeys=factors.passkeys,
        required=factors.required,
        recovery_codes_left=left,
    )


@api.route(
    "POST",
    f"{_MFA}/secret",
    need=INTERACTIVE,
    request=factor_api.FactorProof,
    response=people_api.MfaSecret,
    status=201,
)
async def start_mfa(request: web.Request, body: factor_api.FactorProof) -> people_api.MfaSecret:
    """A secret for an authenticator app, as text and QR code. Nothing is on until a code proves it."""
    call = call_of(request)
    account = await own_account(call)
    if mfa.is_on(account):
        raise FarsiteError(ErrorCode.CONFLICT, "An authenticator app is on already. Turn it off first.")
    await begin_change(call, account, body)
    secret = mfa.new_secret(account, call.services.vault)
    uri = mfa.uri_of(account, secret)
    return people_api.MfaSecret(secret=secret, uri=uri, qr_svg=mfa.qr_svg(uri))


@api.route(
    "POST",
    f"{_MFA}/enable",
    need=INTERACTIVE,
    request=people_api.MfaConfirm,
    response=people_api.RecoveryCodes,
)
async def enable_mfa(request: web.Request, body: people_api.MfaConfirm) -> people_api.RecoveryCodes:
    """Turn the app on with a code of it. The first second factor ends other sign-ins and gives recovery codes, once."""
    call = call_of(request)
    account = await own_account(call)
    if mfa.is_on(account) or account.totp_secret is None:
        raise FarsiteError(ErrorCode.CONFLICT, "Ask for a secret first (POST /me/mfa/secret).")
    async with FactorChange(call, account, "account.mfa_enabled", "app") as change:
        guess = signed_in_guess(call)
        await guess.begin()
        code = body.code.get_secret_value()
        await mfa.prove_app(call.session, account, code, call.services.vault, call.now)
        await guess.right()
        account.totp_since = call.now
        codes = await change.turned_on("A second factor was turned on")
    return people_api.RecoveryCodes(codes=codes)


@api.route("POST", f"{_MFA}/email", need=INTERACTIVE, request=factor_api.FactorProof)
async def start_email_codes(request: web.Request, body: factor_api.FactorProof) -> None:
    """Begin to turn codes by mail on: one is mailed. Nothing is on until it is given back."""
    call = call_of(request)
    account = await own_account(call)
    if account.email_codes_since is not None:
        raise FarsiteError(ErrorCode.CONFLICT, "Codes by mail are on already.")
    await begin_change(call, account, body)
    await mail_code(call, account)


@api.route(
    "POST",
    f"{_MFA}/email/enable",
    need=INTERACTIVE,
    request=people_api.MfaConfirm,
    response=people_api.RecoveryCodes,
)
async def enable_email_codes(request: web.Request, body: people_api.MfaConfirm) -> people_api.RecoveryCodes:
    """Turn codes by mail on with the one that was mailed. As for the app, others sign-ins end with the first factor."""
    call = call_of(request)
    account = await own_account(call)
    if account.email_codes_since is not None:
        raise FarsiteError(ErrorCode.CONFLICT, "Codes by mail are on already.")
    async with FactorChange(call, account, "account.mfa_enabled", "email") as change:
        await _use_mailed(call, body.code.get_secret_value())
        account.email_codes_since = call.now
        codes = await change.turned_on("Codes by mail were turned on as a second factor")
    return people_api.RecoveryCodes(codes=codes)


async def _use_mailed(call: Call, code: str) -> None:
    """Raises `sign_in_failed`."""
    account = await own_account(call)
    account_id = account.id
    guess = signed_in_guess(call)
    await guess.begin()
    plain = "".join(code.split())
    if not await mail_codes.use_code(call.session, account, plain, call.services.vault, call.now):
        call.even_refused(lambda session: mail_codes.count_try(session, account_id))
        detail = "The code is wrong, was used before or has expired. Have another one mailed."
        raise FarsiteError(ErrorCode.SIGN_IN_FAILED, detail)
    await guess.right()
    await call.services.limits.resends.succeeded(account.id)


@api.route("POST", f"{_MFA}/mail-code", need=INTERACTIVE)
async def mail_own_code(request: web.Request) -> None:
    """Have a code mailed, to prove the second factor where a change asks for it."""
    call = call_of(request)
    account = await own_account(call)
    if not (await factors_of(call.session, account)).codes_by_mail:
        raise FarsiteError(ErrorCode.CONFLICT, "Codes by mail are not a second factor of yours.")
    await mail_code(call, account)


@api.route("POST", f"{_MFA}/disable", need=INTERACTIVE, request=factor_api.FactorOff)
async def disable_mfa(request: web.Request, body: factor_api.FactorOff) -> None:
    """Turn codes off: of the app, by mail, or both. Refused for the last factor while an organization asks for one."""
    call = call_of(request)
    account = await own_account(call)
    if not _is_on(await factors_of(call.session, account), body.factor):
        raise FarsiteError(ErrorCode.CONFLICT, "That second factor is not on.")
    async with FactorChange(call, account, "account.mfa_disabled", body.factor or "codes") as change:
        await begin_change(call, account, body)
        if body.factor != "email":
            account.totp_secret = account.totp_since = None
        if body.factor != "app":
            account.email_codes_since = None
        await change.turned_off("The second factor was turned off")


def _is_on(factors: Factors, which: str | None) -> bool:
    if which is None:
        return factors.app or factors.email
    return factors.app if which == "app" else factors.email


@api.route(
    "POST",
    f"{_MFA}/recovery-codes",
    need=INTERACTIVE,
    request=factor_api.FactorProof,
    response=people_api.RecoveryCodes,
)
async def replace_recovery_codes(
    request: web.Request, body: factor_api.FactorProof
) -> people_api.RecoveryCodes:
    """New recovery codes, shown once; the old ones are void."""
    call = call_of(request)
    account = await own_account(call)
    if not (await factors_of(call.session, account)).chosen:
        raise FarsiteError(ErrorCode.CONFLICT, "No second factor is on.")
    async with FactorChange(call, account, "account.recovery_codes_replaced") as change:
        await begin_change(call, account, body)
        codes = await mfa.new_recovery_codes(call.session, account)
        change.tell("The recovery codes were replaced")
    return people_api.RecoveryCodes(codes=codes)
