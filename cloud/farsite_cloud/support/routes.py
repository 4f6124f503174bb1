"""Support access: let somebody in for a while, see who is let in, end it."""

from __future__ import annotations

from datetime import datetime, timedelta

from aiohttp import web

from farsite_cloud.api.authorize import demand_all, stand_fast
from farsite_cloud.api.call import Call, call_of
from farsite_cloud.api.etags import IF_MATCH, check_unchanged, etag
from farsite_cloud.api.idempotency import HEADER, once
from farsite_cloud.api.paging import next_cursor, read_page
from farsite_cloud.mail.letters import Letter
from farsite_cloud.support.models import SupportAccess
from farsite_cloud.support.service import SupportAccesses, end_now, support_answer
from farsite_cloud.users.service import Users, check_choice, check_folders
from farsite_signaling.rest import Answer, Api
from farsite_signaling.wire import access_api as wire
from farsite_signaling.wire import cloud_api
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import NOT_FOR_SUPPORT, Right, Role, rights_of

api = Api()
_LIST = "/organizations/{org}/support-access"
_ONE = _LIST + "/{access}"


@api.route("GET", _LIST, need=Right.USER_MANAGE, response=wire.SupportAccessList, query=cloud_api.Page)
async def list_support(request: web.Request) -> wire.SupportAccessList:
    """Support access, newest first, with what has ended."""
    call = call_of(request)
    after, limit = read_page(request)
    rows = await SupportAccesses(call.whole).page(after, limit)
    return wire.SupportAccessList(
        support=[support_answer(row, call.now) for row in rows[:limit]], next_cursor=next_cursor(rows, limit)
    )


@api.route("GET", _ONE, need=Right.USER_MANAGE, response=wire.SupportAccess)
async def get_support(request: web.Request) -> Answer:
    """One support access."""
    call = call_of(request)
    return _answer(call, await SupportAccesses(call.whole).get(request.match_info["access"]))


def _answer(call: Call, access: SupportAccess) -> Answer:
    return Answer(support_answer(access, call.now), etag(access.revision))


@api.route(
    "POST",
    _LIST,
    need=Right.USER_MANAGE,
    request=wire.SupportRequest,
    response=wire.SupportAccess,
    status=201,
    headers=(HEADER,),
)
async def grant_support(request: web.Request, body: wire.SupportRequest) -> wire.SupportAccess:
    """Let an address in until a time; then it ends by itself, with its sessions and tunnels."""
    call = call_of(request)
    return await once(request, call.caller.account_id, wire.SupportAccess, lambda: _grant(request, body))


async def _grant(request: web.Request, body: wire.SupportRequest) -> wire.SupportAccess:
    call = call_of(request)
    with call.act("support.granted", body.email) as act:
        await stand_fast(request, Right.USER_MANAGE)
        act.details |= {"role": body.role, "until": body.until.isoformat(), "folders": body.folder_ids}
        if body.role is Role.OWNER:
            raise FarsiteError(ErrorCode.INVALID_REQUEST, "Support is never let in as owner.")
        demand_all(call, rights_of(body.role) - NOT_FOR_SUPPORT)
        check_choice(body.role, body.folder_ids, body.all_folders or None)
        await check_folders(call.whole, body.folder_ids)
        if await Users(call.whole).with_addresses([body.email]):
            raise FarsiteError(ErrorCode.CONFLICT, f"{body.email} is a member already.")
        until = _checked(call, body.until)
        access = await SupportAccesses(call.whole).grant(body, until, call.actor, call.now)
    await _tell(call, access)
    return support_answer(access, call.now)


def _checked(call: Call, until: datetime) -> datetime:
    """Raises `invalid_request` for the past, and for later than the cloud allows."""
    longest = timedelta(days=call.services.settings.support_max_days)
    if not call.now < until <= call.now + longest:
        detail = f"Support access ends in the future, and within {longest.days} days."
        raise FarsiteError(ErrorCode.INVALID_REQUEST, detail)
    return until


async def _tell(call: Call, access: SupportAccess) -> None:
    await call.services.limits.invitations.begin(call.organization.id)
    call.mail(
        access.email,
        Letter.SUPPORT,
        granted_by=access.granted_by,
        organization=call.organization.name,
        role=access.role,
        until=f"{access.until:%Y-%m-%d %H:%M}",
        reason=access.reason,
    )


@api.route(
    "PATCH",
    _ONE,
    need=Right.USER_MANAGE,
    request=wire.SupportChange,
    response=wire.SupportAccess,
    headers=(IF_MATCH,),
)
async def change_support(request: web.Request, body: wire.SupportChange) -> Answer:
    """Let it end earlier or later. What has ended stays so."""
    call = call_of(request)
    with call.act("support.changed", request.match_info["access"]) as act:
        await stand_fast(request, Right.USER_MANAGE)
        access = await SupportAccesses(call.whole).get(request.match_info["access"])
        act.target = access.email
        await check_unchanged(request, access)
        _check_in_force(access, call.now)
        demand_all(call, rights_of(Role(access.role)) - NOT_FOR_SUPPORT)
        act.details |= {"from": access.until.isoformat(), "until": body.until.isoformat()}
        access.until = _checked(call, body.until)
        access.revision += 1
    return _answer(call, access)


def _check_in_force(access: SupportAccess, now: datetime) -> None:
    if access.ended_at is not None or access.until <= now:
        raise FarsiteError(ErrorCode.CONFLICT, "This support access has ended. Grant another one.")


@api.route("DELETE", _ONE, need=Right.USER_MANAGE, headers=(IF_MATCH,))
async def end_support(request: web.Request) -> None:
    """End it now; its sessions and tunnels are cut within seconds."""
    call = call_of(request)
    with call.act("support.ended", request.match_info["access"]) as act:
        access = await SupportAccesses(call.whole).get(request.match_info["access"])
        act.target = access.email
        await check_unchanged(request, access)
        _check_in_force(access, call.now)
        end_now(access, call.actor, call.now)
    call.later(call.services.sweeper.wake)
