"""The signed-in account's password, sign-ins and access tokens."""

from __future__ import annotations

from datetime import timedelta

from aiohttp import web

from farsite_cloud.accounts import tokens
from farsite_cloud.accounts.endings import close_tunnels, organizations_of, sign_out_tokens
from farsite_cloud.accounts.guessing import signed_in_guess
from farsite_cloud.accounts.mailed import drop_codes
from farsite_cloud.accounts.models import Account, Token
from farsite_cloud.accounts.registration import tell_changed
from farsite_cloud.accounts.staying import Ends, Stay
from farsite_cloud.api.call import Call, call_of
from farsite_cloud.api.idempotency import HEADER, once
from farsite_cloud.database import Scope
from farsite_cloud.folders.service import Folders
from farsite_cloud.organizations.entrance import enter
from farsite_signaling.rest import INTERACTIVE, Api
from farsite_signaling.wire import people_api as wire
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

api = Api()
_OTHERS_END = "Other sign-ins and access tokens have ended."


async def own_account(call: Call) -> Account:
    account = await call.session.get(Account, call.caller.account_id)
    assert account is not None, "a token is of an account"
    return account


async def check_password(call: Call, account: Account, password: str) -> None:
    """Counted like a sign-in. Raises `sign_in_failed`, `rate_limited`."""
    guess = signed_in_guess(call)
    await guess.begin()
    if not await call.services.passwords.verify(account.password_hash, password):
        raise FarsiteError(ErrorCode.SIGN_IN_FAILED, "The password is wrong.")
    await guess.right()


@api.route("POST", "/me/password", need=INTERACTIVE, request=wire.PasswordChange)
async def change_password(request: web.Request, body: wire.PasswordChange) -> None:
    """A new password. Every other sign-in and access token of the account ends."""
    call = call_of(request)
    account = await own_account(call)
    organizations = await organizations_of(call, account.id)
    with call.act("account.password_changed", organizations=organizations):
        await check_password(call, account, body.current_password.get_secret_value())
        account.password_hash = await call.services.passwords.hash(body.password.get_secret_value())
        ended = await tokens.revoke_all(call.session, account.id, call.now, but=call.caller.token_id)
        await close_tunnels(call, account.id, ended)
        await drop_codes(call.session, account.email)
    tell_changed(call, account, _OTHERS_END)


@api.route("GET", "/me/sessions", need=INTERACTIVE, response=wire.SignedInList)
async def list_sign_ins(request: web.Request) -> wire.SignedInList:
    """Where the account is signed in, newest first."""
    call = call_of(request)
    found = await tokens.live_tokens(call.session, call.caller.account_id, call.now, personal=False)
    stay = await tokens.stay_of(call.session, call.caller.account_id, Stay.of(call.services.settings))
    ends = {token.id: tokens.ends_of_token(token, stay) for token in found}
    # The one that asks is being used now, whatever is written about it.
    current = call.caller.token_id
    live = [token for token in found if token.id == current or ends[token.id].first > call.now]
    return wire.SignedInList(sessions=[_signed_in(token, current, ends[token.id]) for token in live])


def _signed_in(token: Token, current: str, ends: Ends) -> wire.SignedIn:
    return wire.SignedIn(
        id=token.id,
        created_at=token.created_at,
        expires_at=ends.at_last,
        used_at=token.used_at,
        used_from=token.used_from,
        unused_until=ends.unused,
        source=token.source,
        agent=token.agent,
        mfa=token.mfa,
        current=token.id == current,
    )


@api.route("DELETE", "/me/sessions/{token}", need=INTERACTIVE)
async def end_sign_in(request: web.Request) -> None:
    """End one sign-in; its tunnels close."""
    await _revoke(call_of(request), request.match_info["token"], personal=False)


async def _revoke(call: Call, token_id: str, *, personal: bool) -> None:
    action = "account.token_revoked" if personal else "account.signed_out_elsewhere"
    organizations = await organizations_of(call, call.caller.account_id)
    with call.act(action, token_id, organizations=organizations):
        account_id = call.caller.account_id
        token = await tokens.own_token(call.session, account_id, token_id, call.now, personal=personal)
        await sign_out_tokens(call, [token.id])


@api.route("DELETE", "/me/sessions", need=INTERACTIVE)
async def end_other_sign_ins(request: web.Request) -> None:
    """End every sign-in but this one; their tunnels close. Access tokens stay."""
    call = call_of(request)
    account_id = call.caller.account_id
    with call.act(
        "account.signed_out_elsewhere", organizations=await organizations_of(call, account_id)
    ) as act:
        found = await tokens.live_tokens(call.session, account_id, call.now, personal=False)
        others = [token.id for token in found if token.id != call.caller.token_id]
        await sign_out_tokens(call, others)
        act.details["ended"] = len(others)


@api.route("GET", "/me/tokens", need=INTERACTIVE, response=wire.PersonalTokenList)
async def list_tokens(request: web.Request) -> wire.PersonalTokenList:
    """Personal access tokens, newest first."""
    call = call_of(request)
    found = await tokens.live_tokens(call.session, call.caller.account_id, call.now, personal=True)
    return wire.PersonalTokenList(tokens=[token_answer(token) for token in found])


def token_answer(token: Token) -> wire.PersonalToken:
    return wire.PersonalToken(
        id=token.id,
        name=token.name,
        scopes=sorted(tokens.scopes_of(token) or ()),
        organization_id=token.organization_id,
        folder_ids=token.folder_ids,
        created_at=token.created_at,
        expires_at=token.expires_at,
        used_at=token.used_at,
        used_from=token.used_from,
    )


def new_token_answer(token: Token, secret: str) -> wire.NewToken:
    return wire.NewToken(**dict(token_answer(token)), token=secret)


@api.route(
    "POST",
    "/me/tokens",
    need=INTERACTIVE,
    request=wire.TokenRequest,
    response=wire.NewToken,
    status=201,
    headers=(HEADER,),
    errors=(ErrorCode.NOT_FOUND,),
)
async def create_token(request: web.Request, body: wire.TokenRequest) -> wire.NewToken:
    """A personal access token for scripts: shown once, with the rights it may use and an end."""
    call = call_of(request)
    return await once(request, call.caller.token_id, wire.NewToken, lambda: _create(call, body))


async def _create(call: Call, body: wire.TokenRequest) -> wire.NewToken:
    organizations = await organizations_of(call, call.caller.account_id)
    with call.act("account.token_created", body.name, organizations=organizations) as act:
        folders = await _own_folders(call, body)
        terms = tokens.Terms(
            body.name,
            frozenset(body.scopes),
            body.expires_in_days,
            body.organization_id,
            folders,
            call.caller.mfa,
        )
        secret, token = await tokens.issue_access(call.session, call.caller.account_id, terms, call.now)
        act.details |= {"token": token.id, "scopes": token.scopes, "folders": token.folder_ids}
    return new_token_answer(token, secret)


async def _own_folders(call: Call, body: wire.TokenRequest) -> list[str] | None:
    """Raises `not_found` for an organization or folder that is out of the account's reach."""
    if body.organization_id is None:
        if body.folder_ids is not None:
            raise FarsiteError(ErrorCode.INVALID_REQUEST, "Say whose folders they are: organization_id.")
        return None
    entrance = await enter(call.session, body.organization_id, call.caller, call.now)
    if body.folder_ids is None:
        return None
    folders = Folders(Scope(call.session, body.organization_id, entrance.reach))
    return [(await folders.get(folder_id)).id for folder_id in body.folder_ids]


@api.route(
    "POST",
    "/me/tokens/{token}/rotation",
    need=INTERACTIVE,
    request=wire.TokenRotation,
    response=wire.NewToken,
    status=201,
    headers=(HEADER,),
)
async def rotate_token(request: web.Request, body: wire.TokenRotation) -> wire.NewToken:
    """A new secret on the same terms, shown once. The old one works for the overlap that is asked for."""
    call = call_of(request)
    return await once(
        request,
        call.caller.token_id,
        wire.NewToken,
        lambda: _rotate(call, request.match_info["token"], body),
    )


async def _rotate(call: Call, token_id: str, body: wire.TokenRotation) -> wire.NewToken:
    account_id = call.caller.account_id
    with call.act(
        "account.token_rotated", token_id, organizations=await organizations_of(call, account_id)
    ) as act:
        old = await tokens.own_token(call.session, account_id, token_id, call.now, personal=True)
        overlap = timedelta(hours=body.overlap_hours)
        secret, token = await tokens.rotate(call.session, old, body.expires_in_days, overlap, call.now)
        if not overlap:
            await close_tunnels(call, account_id, [old.id])
        act.details |= {"token": token.id, "overlap_hours": body.overlap_hours}
    return new_token_answer(token, secret)


@api.route("DELETE", "/me/tokens/{token}", need=INTERACTIVE)
async def revoke_token(request: web.Request) -> None:
    """Revoke an access token at once; its tunnels close."""
    await _revoke(call_of(request), request.match_info["token"], personal=True)
