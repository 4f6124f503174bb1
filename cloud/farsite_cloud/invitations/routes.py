"""Inviting people into an organization."""

from __future__ import annotations

from aiohttp import web

from farsite_cloud.api.authorize import demand_all, stand_fast
from farsite_cloud.api.call import Call, call_of
from farsite_cloud.api.etags import IF_MATCH, check_if_match, etag, hold
from farsite_cloud.api.idempotency import HEADER, once
from farsite_cloud.api.paging import next_cursor, read_page
from farsite_cloud.invitations.models import Invitation
from farsite_cloud.invitations.service import (
    Invitations,
    invitation_answer,
    renew,
    revision_of,
    starting_role,
)
from farsite_cloud.mail.letters import Letter
from farsite_cloud.notices.events import emit
from farsite_cloud.users.service import Users, check_choice, check_folders
from farsite_signaling.rest import Answer, Api
from farsite_signaling.wire import cloud_api, people_api
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.notices_api import NoticeKind
from farsite_signaling.wire.rights import Right, Role, rights_of

api = Api()
_LIST = "/organizations/{org}/invitations"
_ONE = _LIST + "/{invitation}"


@api.route("GET", _LIST, need=Right.USER_MANAGE, response=people_api.InvitationList, query=cloud_api.Page)
async def list_invitations(request: web.Request) -> people_api.InvitationList:
    """Pending invitations, oldest first."""
    call = call_of(request)
    after, limit = read_page(request)
    rows = await Invitations(call.scope).list(after, limit)
    return people_api.InvitationList(
        invitations=[invitation_answer(row, call.organization, call.now) for row in rows[:limit]],
        next_cursor=next_cursor(rows, limit),
    )


@api.route(
    "POST",
    _LIST,
    need=Right.USER_MANAGE,
    request=people_api.InvitationRequest,
    response=people_api.Invitations,
    status=201,
    headers=(HEADER,),
)
async def invite(request: web.Request, body: people_api.InvitationRequest) -> people_api.Invitations:
    """Invite addresses, all with one role. An address that is invited already gets a new invitation."""
    call = call_of(request)
    return await once(request, call.caller.account_id, people_api.Invitations, lambda: _invite(request, body))


async def _invite(request: web.Request, body: people_api.InvitationRequest) -> people_api.Invitations:
    call = call_of(request)
    with call.act("user.invited", ", ".join(body.emails)) as act:
        await stand_fast(request, Right.USER_MANAGE)
        if body.role is Role.OWNER:
            detail = "Nobody is invited as owner: invite them as admin, then make them owner."
            raise FarsiteError(ErrorCode.INVALID_REQUEST, detail)
        demand_all(call, rights_of(body.role))
        check_choice(body.role, body.folder_ids, body.all_folders or None)
        await check_folders(call.scope, body.folder_ids)
        emails = list(dict.fromkeys(body.emails))
        members = await Users(call.scope).with_addresses(emails)
        invited = [await _invite_one(call, email, body) for email in emails if email not in members]
        act.details |= {"role": body.role, "invited": len(invited), "folders": body.folder_ids}
    return people_api.Invitations(invitations=invited, members=sorted(members))


async def _invite_one(call: Call, email: str, body: people_api.InvitationRequest) -> people_api.Invitation:
    invitation, code = await Invitations(call.scope).invite(email, body, call.caller.email, call.now)
    await _mail(call, invitation, code)
    text = f"{call.caller.email} invited {email} as {body.role}."
    await emit(call.scope, NoticeKind.INVITATION, text, key=f"invited {invitation.id}", now=call.now)
    return invitation_answer(invitation, call.organization, call.now)


async def _mail(call: Call, invitation: Invitation, code: str) -> None:
    await call.services.limits.invitations.begin(call.organization.id)
    call.mail(
        invitation.email,
        Letter.INVITATION,
        invited_by=invitation.invited_by,
        organization=call.organization.name,
        role=str(starting_role(invitation, call.organization)),
        until=f"{invitation.expires_at:%Y-%m-%d %H:%M}",
        code=code,
    )


@api.route("GET", _ONE, need=Right.USER_MANAGE, response=people_api.Invitation)
async def get_invitation(request: web.Request) -> Answer:
    """One pending invitation."""
    call = call_of(request)
    return _answer(call, await Invitations(call.scope).get(request.match_info["invitation"]))


def _answer(call: Call, invitation: Invitation) -> Answer:
    return Answer(invitation_answer(invitation, call.organization, call.now), etag(revision_of(invitation)))


@api.route(
    "POST",
    f"{_ONE}/resend",
    need=Right.USER_MANAGE,
    response=people_api.Invitation,
    headers=(IF_MATCH,),
)
async def resend_invitation(request: web.Request) -> Answer:
    """Mail it again, with a new code and a new week to accept it."""
    call = call_of(request)
    with call.act("invitation.resent", request.match_info["invitation"]) as act:
        await stand_fast(request, Right.USER_MANAGE)
        invitation = await Invitations(call.scope).get(request.match_info["invitation"])
        act.target = invitation.email
        await _check_unchanged(request, invitation)
        await _mail(call, invitation, renew(invitation, call.now))
    return _answer(call, invitation)


async def _check_unchanged(request: web.Request, invitation: Invitation) -> None:
    await hold(request, invitation)
    check_if_match(request, revision_of(invitation))


@api.route("DELETE", _ONE, need=Right.USER_MANAGE, headers=(IF_MATCH,))
async def revoke_invitation(request: web.Request) -> None:
    """Revoke a pending invitation."""
    call = call_of(request)
    with call.act("invitation.revoked", request.match_info["invitation"]) as act:
        invitation = await Invitations(call.scope).get(request.match_info["invitation"])
        act.target = invitation.email
        await _check_unchanged(request, invitation)
        await Invitations(call.scope).take(invitation)
