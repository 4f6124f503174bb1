"""Organizations of the signed-in account."""

from __future__ import annotations

from aiohttp import web

from farsite_cloud.accounts.factors import accounts_with_factor
from farsite_cloud.accounts.service import find_accounts
from farsite_cloud.api.authorize import stand_first
from farsite_cloud.api.call import Call, call_of
from farsite_cloud.api.etags import IF_MATCH, check_if_match, etag
from farsite_cloud.api.idempotency import HEADER, once
from farsite_cloud.organizations.entrance import entrance_answer, entrances
from farsite_cloud.organizations.models import Organization
from farsite_cloud.organizations.service import (
    check_may_create,
    members_of,
    organization_answer,
)
from farsite_cloud.organizations.service import create_organization as create_rows
from farsite_cloud.sessions.endings import end_of_accounts, end_of_unproven
from farsite_cloud.signaling.notices import tell_ended
from farsite_cloud.support.service import SupportAccesses
from farsite_signaling.rest import AUTHENTICATED, INTERACTIVE, Answer, Api
from farsite_signaling.wire import cloud_api as wire
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import Right, Role

api = Api()
_OR_THE_CLOUDS = ("sign_in_idle_days", "sign_in_days")


@api.route("GET", "/organizations", need=AUTHENTICATED, response=wire.OrganizationList)
async def list_organizations(request: web.Request) -> wire.OrganizationList:
    """All organizations the account is a member of, or is let into as support."""
    call = call_of(request)
    found = await entrances(call.session, call.caller, call.now)
    return wire.OrganizationList(organizations=[entrance_answer(entrance) for entrance in found])


@api.route("GET", "/organizations/{org}", need=Right.ORGANIZATION_READ, response=wire.Organization)
async def get_organization(request: web.Request) -> Answer:
    """One organization, with the account's role in it."""
    call = call_of(request)
    return Answer(entrance_answer(call.entrance), etag(call.organization.revision))


@api.route(
    "POST",
    "/organizations",
    need=INTERACTIVE,
    request=wire.OrganizationRequest,
    response=wire.Organization,
    status=201,
    headers=(HEADER,),
)
async def create_organization(request: web.Request, body: wire.OrganizationRequest) -> wire.Organization:
    """Make an organization; its creator becomes its owner."""
    call = call_of(request)

    async def create() -> wire.Organization:
        account_id = call.caller.account_id
        await check_may_create(call.session, account_id)
        made = await create_rows(call.session, body.name, account_id, call.services.vault, call.now)
        with call.act("organization.created", made.name, organizations=[made.id]):
            return organization_answer(made, Role.OWNER)

    return await once(request, call.caller.account_id, wire.Organization, create)


@api.route(
    "PATCH",
    "/organizations/{org}",
    need=Right.ORGANIZATION_MANAGE,
    request=wire.OrganizationChange,
    response=wire.Organization,
    headers=(IF_MATCH,),
)
async def change_organization(request: web.Request, body: wire.OrganizationChange) -> Answer:
    """Rename it, or change its rules: what invited members start as, a second factor, how long sign-ins last."""
    call = call_of(request)
    with call.act("organization.changed") as act:
        organization = await stand_first(request, Right.ORGANIZATION_MANAGE)
        act.target = organization.name
        check_if_match(request, organization.revision)
        changes = body.model_dump(exclude_none=True)
        if body.require_mfa and not organization.require_mfa:
            await _ask_for_mfa(call, organization)
        for name, value in changes.items():
            setattr(organization, name, None if value == 0 and name in _OR_THE_CLOUDS else value)
        organization.revision += 1
        act.details |= changes
    return Answer(organization_answer(organization, call.role), etag(organization.revision))


async def _ask_for_mfa(call: Call, organization: Organization) -> None:
    """Nobody locks themselves out; members without a second factor are cut off until they have one."""
    if not call.caller.mfa:
        detail = "Turn on your own second factor and sign in with it before you ask others for one."
        raise FarsiteError(ErrorCode.MFA_SETUP_REQUIRED, detail)
    members = await members_of(call.session, organization.id)
    active = await SupportAccesses(call.whole).active(call.now)
    members += [one.id for one in await find_accounts(call.session, [access.email for access in active])]
    without = sorted(set(members) - await accounts_with_factor(call.session, members))
    ended = await end_of_accounts(call.whole, without, call.now)
    await call.session.flush()
    ended += await end_of_unproven(call.whole, call.now)
    detail = f"The organization {organization.name!r} now asks for a second factor."
    peers = call.services.peers
    call.later(lambda: tell_ended(peers, ended, ErrorCode.MFA_SETUP_REQUIRED, detail))
