"""Accepting an invitation: by the account of that address, or by making one with the mailed code."""

from __future__ import annotations

from aiohttp import web

from farsite_cloud.accounts.registration import new_account
from farsite_cloud.api.call import Call, call_of
from farsite_cloud.attempts import guessing
from farsite_cloud.database import Scope
from farsite_cloud.invitations.models import Invitation
from farsite_cloud.invitations.service import (
    Invitations,
    gone,
    organization_of_code,
    organizations_inviting,
    starting_role,
)
from farsite_cloud.notices.events import emit
from farsite_cloud.organizations.models import Organization
from farsite_cloud.organizations.service import find_organization, organization_answer
from farsite_cloud.organizations.suspension import check_active
from farsite_cloud.users.service import Users
from farsite_signaling.rest import INTERACTIVE, PUBLIC, Api
from farsite_signaling.wire import cloud_api, people_api
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.notices_api import NoticeKind

api = Api()


@api.route("GET", "/me/invitations", need=INTERACTIVE, response=people_api.OwnInvitationList)
async def list_own_invitations(request: web.Request) -> people_api.OwnInvitationList:
    """Invitations that wait for the account's address."""
    call = call_of(request)
    found = []
    for organization_id in await organizations_inviting(call.session, call.caller.email):
        scope = Scope(call.session, organization_id)
        invitation = await Invitations(scope).pending_of(call.caller.email, call.now)
        if invitation is not None:
            found.append(_own(invitation, await _organization(call, organization_id)))
    return people_api.OwnInvitationList(invitations=found)


def _own(invitation: Invitation, organization: Organization) -> people_api.OwnInvitation:
    return people_api.OwnInvitation(
        id=invitation.id,
        organization_id=organization.id,
        organization_name=organization.name,
        role=starting_role(invitation, organization),
        invited_by=invitation.invited_by,
        expires_at=invitation.expires_at,
    )


async def _organization(call: Call, organization_id: str) -> Organization:
    organization = await find_organization(call.session, organization_id)
    assert organization is not None, "a foreign key says so"
    return organization


@api.route(
    "POST",
    "/me/invitations/{invitation}/accept",
    need=INTERACTIVE,
    response=cloud_api.Organization,
    errors=(ErrorCode.ORGANIZATION_SUSPENDED,),
)
async def accept_invitation(request: web.Request) -> cloud_api.Organization:
    """Accept an invitation to the account's own address."""
    call = call_of(request)
    scope, invitation = await _waiting(call, request.match_info["invitation"])
    return await _accept(call, scope, invitation, call.caller.account_id, call.caller.email)


@api.route("POST", "/me/invitations/{invitation}/decline", need=INTERACTIVE)
async def decline_invitation(request: web.Request) -> None:
    """Decline an invitation to the account's own address; those who manage users are told."""
    call = call_of(request)
    scope, invitation = await _waiting(call, request.match_info["invitation"])
    email, invited_by = call.caller.email, invitation.invited_by
    with call.act("invitation.declined", email, organizations=[scope.organization_id]) as act:
        await Invitations(scope).take(invitation)
        act.details |= {"role": invitation.role, "invited_by": invited_by}
        text = f"{email} declined the invitation of {invited_by}."
        await emit(scope, NoticeKind.INVITATION, text, key=f"declined {invitation.id}", now=call.now)


async def _waiting(call: Call, invitation_id: str) -> tuple[Scope, Invitation]:
    """Raises `not_found` for what is not for the caller's address, or over."""
    for organization_id in await organizations_inviting(call.session, call.caller.email):
        scope = Scope(call.session, organization_id)
        invitation = await Invitations(scope).pending_of(call.caller.email, call.now)
        if invitation is not None and invitation.id == invitation_id:
            return scope, invitation
    raise FarsiteError(ErrorCode.NOT_FOUND, gone().detail)


async def _accept(
    call: Call, scope: Scope, invitation: Invitation, account_id: str, email: str
) -> cloud_api.Organization:
    organization = await _organization(call, scope.organization_id)
    with call.act("invitation.accepted", email, actor=email, organizations=[organization.id]) as act:
        check_active(organization)
        await Invitations(scope).take(invitation)
        role = starting_role(invitation, organization)
        await Users(scope).add(
            account_id, role, invitation.folder_ids, all_folders=invitation.all_folders, now=call.now
        )
        act.details |= {"role": role, "invited_by": invitation.invited_by, "invited_as": invitation.role}
        text = f"{email} accepted the invitation of {invitation.invited_by} and is {role} now."
        key = f"accepted {invitation.id}"
        await emit(scope, NoticeKind.INVITATION, text, key=key, now=call.now)
    return organization_answer(organization, role)


@api.route(
    "POST",
    "/auth/join",
    need=PUBLIC,
    request=people_api.JoinRequest,
    response=cloud_api.Account,
    status=201,
    errors=(ErrorCode.CODE_INVALID, ErrorCode.ORGANIZATION_SUSPENDED),
)
async def join(request: web.Request, body: people_api.JoinRequest) -> cloud_api.Account:
    """Make an account with an invitation's code, which proves the invited address, and accept the invitation."""
    call = call_of(request)
    code = body.code.get_secret_value()
    await _check_code(call, code)
    hashed = await call.services.passwords.hash(body.password.get_secret_value())
    scope = Scope(call.session, await organization_of_code(call.session, code))
    invitation = await Invitations(scope).with_code(code, call.now)
    account = await new_account(call, invitation.email, hashed, body.name)
    await call.session.flush()
    await _accept(call, scope, invitation, account.id, account.email)
    return account


async def _check_code(call: Call, code: str) -> None:
    """Before anything slow is done for it, and counted when wrong."""
    async with (
        guessing(call.services.limits.codes, call.source),
        call.services.database.reading() as session,
    ):
        scope = Scope(session, await organization_of_code(session, code))
        await Invitations(scope).with_code(code, call.now)
