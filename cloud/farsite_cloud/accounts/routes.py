"""Signing in and out, and who one is."""

from __future__ import annotations

from aiohttp import web

from farsite_cloud.accounts import mfa, service, tokens
from farsite_cloud.accounts.endings import sign_out_tokens
from farsite_cloud.accounts.models import Account
from farsite_cloud.api.call import Call, call_of
from farsite_cloud.organizations.entrance import entrance_answer, entrances
from farsite_cloud.organizations.service import memberships_of
from farsite_signaling.rest import AUTHENTICATED, PUBLIC, Api
from farsite_signaling.wire import cloud_api as wire
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

api = Api()


@api.route("POST", "/auth/sign-in", need=PUBLIC, request=wire.SignInRequest, response=wire.SignInResult)
async def sign_in(request: web.Request, body: wire.SignInRequest) -> wire.SignInResult:
    """Exchange e-mail address and password, and a code where a second factor is on, for a token."""
    call = call_of(request)
    await call.services.limits.address.check(call.source)
    # Read and verified outside the transaction: hashing is slow, and only one writer writes at a time.
    account, organizations = await _look_up(call, body.email)
    await _begin_attempt(call, body.email)
    actor = account.email if account is not None else ""
    with call.act("account.sign_in", actor=actor, organizations=organizations):
        password_hash = account.password_hash if account is not None else None
        right = await call.services.passwords.verify(password_hash, body.password.get_secret_value())
        if account is None or not right:
            detail = "The e-mail address or the password is wrong."
            raise FarsiteError(ErrorCode.SIGN_IN_FAILED, detail)
        proven = await _second_factor(call, account, body)
        origin = tokens.Origin(call.source, call.agent, mfa=proven)
        token, expires_at = await tokens.issue(call.session, account, call.now, origin)
    await call.services.limits.account.succeeded(account.email)
    await call.services.limits.address.succeeded(call.source)
    return wire.SignInResult(token=token, expires_at=expires_at, account=_account(account))


async def _begin_attempt(call: Call, email: str) -> None:
    """Counted once the database has answered: that it is away is nobody's guess."""
    limits = call.services.limits
    await limits.account.begin(email.lower())
    await limits.address.failed(call.source)


async def _second_factor(call: Call, account: Account, body: wire.SignInRequest) -> bool:
    """Whether there is one, proven by `code`. Raises `mfa_required` without a code, `sign_in_failed` for a wrong one."""
    if not mfa.is_on(account):
        return False
    if body.code is None:
        detail = (
            "This account has a second factor: give a code of your authenticator app, or a recovery code."
        )
        raise FarsiteError(ErrorCode.MFA_REQUIRED, detail)
    code = body.code.get_secret_value()
    await mfa.prove(call.session, account, code, call.services.vault, call.now)
    return True


async def _look_up(call: Call, email: str) -> tuple[Account | None, list[str]]:
    async with call.services.database.reading() as session:
        account = await service.find_account(session, email)
        if account is None:
            return None, []
        found = await memberships_of(session, account.id)
        return account, [organization.id for organization, _ in found]


@api.route("POST", "/auth/sign-out", need=AUTHENTICATED)
async def sign_out(request: web.Request) -> None:
    """Revoke the token this request was made with; its tunnels close."""
    call = call_of(request)
    found = await memberships_of(call.session, call.caller.account_id)
    with call.act("account.sign_out", organizations=[organization.id for organization, _ in found]) as act:
        act.details["sessions_ended"] = await sign_out_tokens(call, [call.caller.token_id], "You signed out.")


@api.route("GET", "/me", need=AUTHENTICATED, response=wire.Me)
async def me(request: web.Request) -> wire.Me:
    """The signed-in account and its organizations."""
    call = call_of(request)
    caller = call.caller
    found = await entrances(call.session, caller, call.now)
    return wire.Me(
        account=wire.Account(id=caller.account_id, email=caller.email, name=caller.name),
        organizations=[entrance_answer(entrance) for entrance in found],
    )


def _account(account: Account) -> wire.Account:
    return wire.Account(id=account.id, email=account.email, name=account.name)
