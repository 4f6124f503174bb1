"""Access tokens of a service account."""

from __future__ import annotations

from datetime import timedelta

from aiohttp import web

from farsite_cloud.accounts import tokens
from farsite_cloud.accounts.endings import close_tunnels
from farsite_cloud.accounts.models import Token
from farsite_cloud.accounts.own import new_token_answer, token_answer
from farsite_cloud.api.authorize import stand_fast
from farsite_cloud.api.call import Call, call_of
from farsite_cloud.api.idempotency import HEADER, once
from farsite_cloud.service_accounts.routes import check_role, find_service
from farsite_cloud.users.service import check_folders
from farsite_signaling.rest import Api
from farsite_signaling.wire import access_api, people_api
from farsite_signaling.wire.rights import Right, Role

api = Api()
_LIST = "/organizations/{org}/service-accounts/{account}/tokens"
_ONE = _LIST + "/{token}"


@api.route("GET", _LIST, need=Right.USER_MANAGE, response=access_api.ServiceTokenList)
async def list_service_tokens(request: web.Request) -> access_api.ServiceTokenList:
    """Access tokens that are good now, newest first."""
    call = call_of(request)
    _, account = await find_service(call, request)
    found = await tokens.live_tokens(call.session, account.id, call.now, personal=True)
    return access_api.ServiceTokenList(tokens=[token_answer(token) for token in found])


@api.route(
    "POST",
    _LIST,
    need=Right.USER_MANAGE,
    request=access_api.ServiceTokenRequest,
    response=people_api.NewToken,
    status=201,
    headers=(HEADER,),
)
async def create_service_token(
    request: web.Request, body: access_api.ServiceTokenRequest
) -> people_api.NewToken:
    """An access token, shown once, with an end."""
    call = call_of(request)
    return await once(request, call.caller.token_id, people_api.NewToken, lambda: _create(request, body))


async def _create(request: web.Request, body: access_api.ServiceTokenRequest) -> people_api.NewToken:
    call = call_of(request)
    with call.act("service_account.token_created", request.match_info["account"]) as act:
        await stand_fast(request, Right.USER_MANAGE)
        member, account = await find_service(call, request)
        act.target = account.email
        # A token of a stronger account would be a way to more than one has.
        check_role(call, Role(member.role))
        await check_folders(call.whole, body.folder_ids or [])
        terms = tokens.Terms(
            body.name,
            frozenset(body.scopes),
            body.expires_in_days,
            call.organization.id,
            body.folder_ids,
        )
        secret, token = await tokens.issue_access(
            call.session, account.id, terms, call.now, tokens.SERVICE_PREFIX
        )
        act.details |= {"token": token.id, "name": body.name, "scopes": token.scopes}
    return new_token_answer(token, secret)


@api.route(
    "POST",
    f"{_ONE}/rotation",
    need=Right.USER_MANAGE,
    request=people_api.TokenRotation,
    response=people_api.NewToken,
    status=201,
    headers=(HEADER,),
)
async def rotate_service_token(request: web.Request, body: people_api.TokenRotation) -> people_api.NewToken:
    """A new secret on the same terms, shown once. The old one works for the overlap that is asked for."""
    call = call_of(request)
    return await once(request, call.caller.token_id, people_api.NewToken, lambda: _rotate(request, body))


async def _rotate(request: web.Request, body: people_api.TokenRotation) -> people_api.NewToken:
    call = call_of(request)
    with call.act("service_account.token_rotated", request.match_info["account"]) as act:
        await stand_fast(request, Right.USER_MANAGE)
        member, account = await find_service(call, request)
        act.target = account.email
        check_role(call, Role(member.role))
        old = await _token(call, account.id, request)
        overlap = timedelta(hours=body.overlap_hours)
        secret, token = await tokens.rotate(
            call.session, old, body.expires_in_days, overlap, call.now, tokens.SERVICE_PREFIX
        )
        if not overlap:
            await close_tunnels(call, account.id, [old.id])
        act.details |= {"from": old.id, "token": token.id, "overlap_hours": body.overlap_hours}
    return new_token_answer(token, secret)


async def _token(call: Call, account_id: str, request: web.Request) -> Token:
    token_id = request.match_info["token"]
    return await tokens.own_token(call.session, account_id, token_id, call.now, personal=True)


@api.route("DELETE", _ONE, need=Right.USER_MANAGE)
async def revoke_service_token(request: web.Request) -> None:
    """Revoke an access token at once; its tunnels close."""
    call = call_of(request)
    with call.act("service_account.token_revoked", request.match_info["account"]) as act:
        _, account = await find_service(call, request)
        act.target, act.details["token"] = account.email, request.match_info["token"]
        token = await _token(call, account.id, request)
        await tokens.revoke(call.session, token.id, call.now)
        await close_tunnels(call, account.id, [token.id])
