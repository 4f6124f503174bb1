"""Signing in and out, and who one is."""

from __future__ import annotations

from aiohttp import web

from farsite_cloud.accounts.endings import sign_out_tokens
from farsite_cloud.accounts.models import Account
from farsite_cloud.accounts.proving import mail_code, prove
from farsite_cloud.accounts.signing_in import candidate, check_password, signed_in
from farsite_cloud.api.call import call_of
from farsite_cloud.api.etags import etag
from farsite_cloud.organizations.entrance import entrance_answer, entrances
from farsite_cloud.organizations.service import memberships_of
from farsite_signaling.rest import AUTHENTICATED, PUBLIC, Answer, Api
from farsite_signaling.wire import cloud_api as wire
from farsite_signaling.wire import factor_api
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

api = Api()


@api.route(
    "POST",
    "/auth/sign-in",
    need=PUBLIC,
    request=wire.SignInRequest,
    response=wire.SignInResult,
    errors=(ErrorCode.SIGN_IN_FAILED, ErrorCode.MFA_REQUIRED),
)
async def sign_in(request: web.Request, body: wire.SignInRequest) -> wire.SignInResult:
    """Exchange e-mail address and password, and a second factor where one is on, for a token."""
    call = call_of(request)
    who = await candidate(call, body.email)
    with call.act("account.sign_in", actor=who.email, organizations=who.organizations):
        account = await check_password(call, who, body.password)
        proven = await prove(call, account, who.factors, body.code, body.passkey)
        result = await signed_in(call, account, mfa=proven)
    await who.guess.right()
    return result


@api.route(
    "POST",
    "/auth/mail-code",
    need=PUBLIC,
    request=factor_api.MailCodeRequest,
    errors=(ErrorCode.SIGN_IN_FAILED,),
)
async def mail_sign_in_code(request: web.Request, body: factor_api.MailCodeRequest) -> None:
    """Have a code mailed, where codes by mail are the second factor. Older ones are void."""
    call = call_of(request)
    who = await candidate(call, body.email)
    with call.act("account.code_mailed", actor=who.email, organizations=who.organizations):
        account = await check_password(call, who, body.password)
        if not who.factors.codes_by_mail:
            raise FarsiteError(ErrorCode.CONFLICT, "Codes by mail are not a second factor of this account.")
        await mail_code(call, account)
    await who.guess.right()


@api.route("POST", "/auth/sign-out", need=AUTHENTICATED)
async def sign_out(request: web.Request) -> None:
    """Revoke the token this request was made with; its tunnels close."""
    call = call_of(request)
    found = await memberships_of(call.session, call.caller.account_id)
    with call.act("account.sign_out", organizations=[organization.id for organization, _ in found]) as act:
        act.details["sessions_ended"] = await sign_out_tokens(call, [call.caller.token_id], "You signed out.")


@api.route("GET", "/me", need=AUTHENTICATED, response=wire.Me)
async def me(request: web.Request) -> Answer:
    """The signed-in account and its organizations."""
    call = call_of(request)
    caller = call.caller
    found = await entrances(call.session, caller, call.now)
    account = await call.session.get(Account, caller.account_id)
    assert account is not None, "a token is of an account"
    answer = wire.Me(
        account=wire.Account(id=account.id, email=account.email, name=account.name),
        organizations=[entrance_answer(entrance) for entrance in found],
        token_expires_at=caller.expires_at,
    )
    # Of the account, which is what can be edited at this address.
    return Answer(answer, etag(account.revision))
