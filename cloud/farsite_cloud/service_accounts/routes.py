"""Service accounts of an organization: make, list, change, disable, remove."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from farsite_cloud.accounts.cutting import Cut, cut_off
from farsite_cloud.api.authorize import demand_all, stand_fast
from farsite_cloud.api.call import Call, call_of
from farsite_cloud.api.etags import IF_MATCH, check_unchanged, etag
from farsite_cloud.api.idempotency import HEADER, once
from farsite_cloud.api.paging import cursor_of, read_page
from farsite_cloud.service_accounts.service import ServiceAccounts
from farsite_cloud.sessions.endings import end_of_accounts
from farsite_cloud.setup_codes.service import void_setup_codes
from farsite_cloud.users.changes import change_member, close_lost
from farsite_cloud.users.service import Row, check_choice, check_folders
from farsite_signaling.rest import Answer, Api
from farsite_signaling.wire import access_api as wire
from farsite_signaling.wire import cloud_api, people_api
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import Right, Role, rights_of

api = Api()
_LIST = "/organizations/{org}/service-accounts"
_ONE = _LIST + "/{account}"
_REMOVED = "This service account was removed."
_DISABLED = "This service account was disabled."


@api.route("GET", _LIST, need=Right.USER_MANAGE, response=wire.ServiceAccountList, query=cloud_api.Page)
async def list_service_accounts(request: web.Request) -> wire.ServiceAccountList:
    """Service accounts, oldest first."""
    call = call_of(request)
    accounts = ServiceAccounts(call.whole)
    after, limit = read_page(request)
    rows = await accounts.users.page(after, limit)
    return wire.ServiceAccountList(
        service_accounts=[await accounts.answer(row, call.now) for row in rows[:limit]],
        next_cursor=cursor_of(rows[limit - 1][1].id) if len(rows) > limit else None,
    )


@api.route("GET", _ONE, need=Right.USER_MANAGE, response=wire.ServiceAccount)
async def get_service_account(request: web.Request) -> Answer:
    """One service account."""
    call = call_of(request)
    return await _answer(call, await find_service(call, request))


async def find_service(call: Call, request: web.Request) -> Row:
    return await ServiceAccounts(call.whole).users.get(request.match_info["account"])


async def _answer(call: Call, row: Row) -> Answer:
    return Answer(await ServiceAccounts(call.whole).answer(row, call.now), etag(row[1].revision))


@api.route(
    "POST",
    _LIST,
    need=Right.USER_MANAGE,
    request=wire.ServiceAccountRequest,
    response=wire.ServiceAccount,
    status=201,
    headers=(HEADER,),
)
async def create_service_account(
    request: web.Request, body: wire.ServiceAccountRequest
) -> wire.ServiceAccount:
    """Make a service account. It has no password; what it does, it does with access tokens."""
    call = call_of(request)
    return await once(request, call.caller.account_id, wire.ServiceAccount, lambda: _create(request, body))


async def _create(request: web.Request, body: wire.ServiceAccountRequest) -> wire.ServiceAccount:
    call = call_of(request)
    with call.act("service_account.created", body.name) as act:
        await stand_fast(request, Right.USER_MANAGE)
        accounts = ServiceAccounts(call.whole)
        act.details |= {"role": body.role, "folders": body.folder_ids}
        check_role(call, body.role)
        check_choice(body.role, body.folder_ids, body.all_folders or None)
        await check_folders(call.whole, body.folder_ids)
        row = await accounts.create(body, call.now)
        act.target = row[1].email
    return await accounts.answer(row, call.now)


def check_role(call: Call, role: Role) -> None:
    """Raises `invalid_request`, and `forbidden` for a role with rights the caller does not have."""
    if role is Role.OWNER:
        raise FarsiteError(ErrorCode.INVALID_REQUEST, "A service account owns no organization.")
    demand_all(call, rights_of(role))


@api.route(
    "PATCH",
    _ONE,
    need=Right.USER_MANAGE,
    request=wire.ServiceAccountChange,
    response=wire.ServiceAccount,
    headers=(IF_MATCH,),
)
async def change_service_account(request: web.Request, body: wire.ServiceAccountChange) -> Answer:
    """Rename, describe, disable or enable it, or change its role or folders, at once."""
    call = call_of(request)
    with call.act("service_account.changed", request.match_info["account"]) as act:
        await stand_fast(request, Right.USER_MANAGE)
        accounts = ServiceAccounts(call.whole)
        row = await find_service(call, request)
        member, account = row
        act.target = account.email
        await check_unchanged(request, account)
        check_role(call, body.role or Role(member.role))
        before = Role(member.role)
        choice = people_api.MemberChange(
            role=body.role, folder_ids=body.folder_ids, all_folders=body.all_folders
        )
        await change_member(call, accounts.users, member, choice)
        await _change_account(call, row, body)
        act.details |= {"from": before} | body.model_dump(exclude_none=True)
        await close_lost(call, member, before)
    return await _answer(call, row)


async def _change_account(call: Call, row: Row, body: wire.ServiceAccountChange) -> None:
    account = row[1]
    if body.name is not None:
        await ServiceAccounts(call.whole).rename(account, body.name)
    if body.description is not None:
        account.description = body.description
    if body.disabled is not None and body.disabled != (account.disabled_at is not None):
        account.disabled_at = call.now if body.disabled else None
        if body.disabled:
            await void_setup_codes(call.whole, account.id, call.now)
            cut = Cut(_DISABLED, await end_of_accounts(call.whole, [account.id], call.now))
            call.later(partial(cut.tell, call.services.peers))
    account.revision += 1


@api.route("DELETE", _ONE, need=Right.USER_MANAGE, headers=(IF_MATCH,))
async def remove_service_account(request: web.Request) -> None:
    """Remove a service account: its tokens, certificates, connections and sessions end at once."""
    call = call_of(request)
    with call.act("service_account.removed", request.match_info["account"]) as act:
        row = await find_service(call, request)
        act.target, act.details["role"] = row[1].email, row[0].role
        await check_unchanged(request, row[1])
        cut = await cut_off(call.whole, row[1].id, _REMOVED, call.now)
        await ServiceAccounts(call.whole).remove(row, call.now)
    call.later(partial(cut.tell, call.services.peers))
