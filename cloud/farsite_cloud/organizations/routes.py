"""Organizations of the signed-in account."""

from __future__ import annotations

from aiohttp import web

from farsite_cloud.api.call import call_of
from farsite_cloud.organizations.service import memberships_of, organization_answer
from farsite_signaling.rest import AUTHENTICATED, Api
from farsite_signaling.wire import cloud_api as wire
from farsite_signaling.wire.rights import Right

api = Api()


@api.route("GET", "/organizations", need=AUTHENTICATED, response=wire.OrganizationList)
async def list_organizations(request: web.Request) -> wire.OrganizationList:
    """All organizations the account is a member of."""
    call = call_of(request)
    found = await memberships_of(call.session, call.caller.account_id)
    answers = [organization_answer(organization, role) for organization, role in found]
    return wire.OrganizationList(organizations=answers)


@api.route("GET", "/organizations/{org}", need=Right.ORGANIZATION_READ, response=wire.Organization)
async def get_organization(request: web.Request) -> wire.Organization:
    """One organization, with the account's role in it."""
    call = call_of(request)
    return organization_answer(call.organization, call.role)
