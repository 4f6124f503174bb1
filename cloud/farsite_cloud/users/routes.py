"""Users of an organization: list, change role and folders, remove, hand the organization over."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from farsite_cloud.accounts.cutting import cut_off
from farsite_cloud.accounts.factors import accounts_with_factor
from farsite_cloud.api.authorize import demand, demand_all, stand_first
from farsite_cloud.api.call import Call, call_of
from farsite_cloud.api.etags import IF_MATCH, check_unchanged, etag
from farsite_cloud.api.paging import cursor_of, start_after
from farsite_cloud.invitations.service import Invitations
from farsite_cloud.support.service import end_now, find_support
from farsite_cloud.users.changes import change_member, close_lost, widens
from farsite_cloud.users.service import Row, Users, member_answer
from farsite_signaling.rest import Answer, Api, read_query
from farsite_signaling.wire import people_api
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import Right, Role, rights_of

api = Api()
_LIST = "/organizations/{org}/users"
_ONE = _LIST + "/{account}"
_REMOVED = "You were removed from this organization."


@api.route("GET", _LIST, need=Right.USER_READ, response=people_api.MemberList, query=people_api.MemberQuery)
async def list_users(request: web.Request) -> people_api.MemberList:
    """Users and their roles, by account id. Folders are shown to those who manage users."""
    call = call_of(request)
    query = read_query(request, people_api.MemberQuery)
    limit = query.limit
    rows = await Users(call.whole).page(start_after(query.cursor), limit, query.q, query.role)
    shown = rows[:limit]
    return people_api.MemberList(
        users=await _answers(call, shown),
        next_cursor=cursor_of(shown[-1][1].id) if len(rows) > limit else None,
    )


@api.route("GET", _ONE, need=Right.USER_READ, response=people_api.Member)
async def get_user(request: web.Request) -> Answer:
    """One user."""
    call = call_of(request)
    row = await Users(call.whole).get(request.match_info["account"])
    return await _answer(call, row)


async def _answers(call: Call, rows: list[Row]) -> list[people_api.Member]:
    managing = Right.USER_MANAGE in call.rights
    if not managing:
        return [member_answer(row, {}, set(), managing=False) for row in rows]
    accounts = [account.id for _, account in rows]
    folders = await Users(call.whole).folders_of(accounts)
    factors = await accounts_with_factor(call.session, accounts)
    return [member_answer(row, folders, factors, managing=True) for row in rows]


async def _answer(call: Call, row: Row) -> Answer:
    [answer] = await _answers(call, [row])
    return Answer(answer, etag(row[0].revision))


@api.route(
    "PATCH",
    _ONE,
    need=Right.USER_MANAGE,
    request=people_api.MemberChange,
    response=people_api.Member,
    headers=(IF_MATCH,),
)
async def change_user(request: web.Request, body: people_api.MemberChange) -> Answer:
    """Change role or folders, at once: sessions that the new ones would not allow end. Owners are made by owners."""
    call = call_of(request)
    users = Users(call.whole)
    with call.act("user.changed", request.match_info["account"]) as act:
        await stand_first(request, Right.USER_MANAGE)
        row = await users.get(request.match_info["account"])
        member, account = row
        act.target = account.email
        await check_unchanged(request, member)
        before = Role(member.role)
        if Role.OWNER in (before, body.role) and body.role not in (before, None):
            demand(call, Right.ORGANIZATION_OWN)
        if body.role not in (before, None):
            demand_all(call, rights_of(body.role))
        elif await widens(users, member, body):
            demand_all(call, rights_of(before))
        await change_member(call, users, member, body)
        await users.check_owned()
        act.details |= {"from": before} | body.model_dump(exclude_none=True)
        await close_lost(call, member, before)
    return await _answer(call, row)


@api.route("DELETE", _ONE, need=Right.USER_MANAGE, headers=(IF_MATCH,))
async def remove_user(request: web.Request) -> None:
    """Remove a user from the organization: certificates, connections and sessions end at once."""
    call = call_of(request)
    users = Users(call.whole)
    with call.act("user.removed", request.match_info["account"]) as act:
        await stand_first(request, Right.USER_MANAGE)
        member, account = await users.get(request.match_info["account"])
        act.target = account.email
        await check_unchanged(request, member)
        if member.role == Role.OWNER:
            demand(call, Right.ORGANIZATION_OWN)
        act.details["role"] = member.role
        await users.remove(member)
        await users.check_owned()
        await _close_other_ways(call, account.email)
        cut = await cut_off(call.whole, account.id, _REMOVED, call.now)
    call.later(partial(cut.tell, call.services.peers))


async def _close_other_ways(call: Call, email: str) -> None:
    """Who is removed is out: neither what they were invited to nor what they were let in for before brings them back."""
    await Invitations(call.whole).withdraw(email)
    access = await find_support(call.session, call.organization.id, email, call.now)
    if access is not None:
        end_now(access, call.actor, call.now)
        call.later(call.services.sweeper.wake)


@api.route(
    "POST",
    "/organizations/{org}/transfer",
    need=Right.ORGANIZATION_OWN,
    request=people_api.Transfer,
    response=people_api.Member,
)
async def transfer(request: web.Request, body: people_api.Transfer) -> Answer:
    """Hand the organization over to a member: they become owner, the caller becomes admin."""
    call = call_of(request)
    users = Users(call.whole)
    with call.act("organization.transferred", body.account_id) as act:
        await stand_first(request, Right.ORGANIZATION_OWN)
        demand_all(call, rights_of(Role.OWNER))
        heir, own = await users.get(body.account_id), await users.get(call.caller.account_id)
        act.target = heir[1].email
        if body.account_id == call.caller.account_id:
            raise FarsiteError(ErrorCode.CONFLICT, "You own this organization already.")
        await users.set_role(heir[0], Role.OWNER)
        await users.set_role(own[0], Role.ADMIN)
        heir[0].revision += 1
        own[0].revision += 1
        await close_lost(call, own[0], Role.OWNER)
    return await _answer(call, heir)
