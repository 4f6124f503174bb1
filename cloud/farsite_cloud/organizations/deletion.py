"""Deleting an organization: announced, with time to change one's mind."""

from __future__ import annotations

from datetime import timedelta

from aiohttp import web

from farsite_cloud.accounts.service import addresses_of
from farsite_cloud.api.authorize import stand_first
from farsite_cloud.api.call import Call, call_of
from farsite_cloud.api.etags import IF_MATCH, check_if_match, etag
from farsite_cloud.mail.letters import Letter
from farsite_cloud.organizations.entrance import entrance_answer
from farsite_cloud.organizations.models import Organization
from farsite_cloud.organizations.service import members_of
from farsite_signaling.rest import Answer, Api
from farsite_signaling.wire import cloud_api
from farsite_signaling.wire import lifecycle_api as wire
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import Right

api = Api()
_PATH = "/organizations/{org}/deletion"


@api.route(
    "POST",
    _PATH,
    need=Right.ORGANIZATION_OWN,
    request=wire.OrganizationDeletion,
    response=cloud_api.Organization,
    headers=(IF_MATCH,),
)
async def delete_organization(request: web.Request, body: wire.OrganizationDeletion) -> Answer:
    """Delete it, after a time in which it works on and can be restored. Every member is told by mail."""
    call = call_of(request)
    with call.act("organization.deletion_requested", call.organization.name) as act:
        _check_interactive(call)
        organization = await stand_first(request, Right.ORGANIZATION_OWN)
        check_if_match(request, organization.revision)
        if body.name != organization.name:
            detail = f"To delete it, give its name as it stands: {organization.name}"
            raise FarsiteError(ErrorCode.INVALID_REQUEST, detail)
        if organization.deletes_at is not None:
            raise FarsiteError(ErrorCode.CONFLICT, "Its deletion is under way already.")
        grace = timedelta(days=call.services.settings.deletion_grace_days)
        organization.deletes_at, organization.deletion_by = call.now + grace, call.actor
        organization.revision += 1
        act.details["deletes_at"] = organization.deletes_at.isoformat()
        await _tell_members(call, organization, Letter.DELETION)
    call.later(call.services.sweeper.wake)
    return _answer(call, organization)


def _answer(call: Call, organization: Organization) -> Answer:
    return Answer(entrance_answer(call.entrance), etag(organization.revision))


def _check_interactive(call: Call) -> None:
    if call.caller.scopes is not None:
        raise FarsiteError(ErrorCode.FORBIDDEN, "Access tokens delete no organization: sign in.")


async def _tell_members(call: Call, organization: Organization, letter: Letter) -> None:
    at = organization.deletes_at
    for email in await addresses_of(call.session, await members_of(call.session, organization.id)):
        call.mail(email, letter, organization=organization.name, by=call.actor, at=f"{at:%Y-%m-%d %H:%M}")


@api.route("DELETE", _PATH, need=Right.ORGANIZATION_OWN, response=cloud_api.Organization, headers=(IF_MATCH,))
async def restore_organization(request: web.Request) -> Answer:
    """Take a deletion back, before its time."""
    call = call_of(request)
    with call.act("organization.restored", call.organization.name):
        _check_interactive(call)
        organization = await stand_first(request, Right.ORGANIZATION_OWN)
        check_if_match(request, organization.revision)
        if organization.deletes_at is None:
            raise FarsiteError(ErrorCode.CONFLICT, "It is not being deleted.")
        if organization.deletes_at <= call.now:
            raise FarsiteError(ErrorCode.CONFLICT, "It is too late: it is being erased.")
        await _tell_members(call, organization, Letter.RESTORED)
        organization.deletes_at, organization.deletion_by = None, ""
        organization.revision += 1
    return _answer(call, organization)
