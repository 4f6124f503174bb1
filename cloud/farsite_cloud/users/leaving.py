"""Leaving an organization by oneself: nobody needs a right for it, and the last owner stays."""

from __future__ import annotations

from functools import partial

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.accounts.cutting import cut_off
from farsite_cloud.api.call import call_of
from farsite_cloud.database import Scope
from farsite_cloud.organizations.service import lock, membership
from farsite_cloud.users.service import Users
from farsite_signaling.rest import INTERACTIVE, Api
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import Role

api = Api()
_LEFT = "You left this organization."


@api.route("DELETE", "/me/organizations/{organization}", need=INTERACTIVE)
async def leave_organization(request: web.Request) -> None:
    """Leave an organization: one's certificates, connections and sessions there end at once."""
    call = call_of(request)
    organization_id, account_id = request.match_info["organization"], call.caller.account_id
    if await membership(call.session, organization_id, account_id) is None:
        detail = f"You are no member of an organization {organization_id[:64]!r}."
        raise FarsiteError(ErrorCode.NOT_FOUND, detail)
    with call.act("user.left", call.caller.email, organizations=[organization_id]) as act:
        act.details["role"] = await leave(call.session, organization_id, account_id)
        cut = await cut_off(Scope(call.session, organization_id), account_id, _LEFT, call.now)
    call.later(partial(cut.tell, call.services.peers))


async def leave(session: AsyncSession, organization_id: str, account_id: str) -> Role:
    """The role that is given up. Owners that go at the same moment wait for one another here.

    Raises `conflict` for the last owner.
    """
    organization = await lock(session, organization_id)
    users = Users(Scope(session, organization_id))
    member, _ = await users.get(account_id)
    role = Role(member.role)
    await users.remove(member)
    try:
        await users.check_owned()
    except FarsiteError:
        detail = (
            f"You are the only owner of {organization.name!r}. Make somebody else one (farsite users transfer), "
            "or delete it first (farsite orgs delete)."
        )
        raise FarsiteError(ErrorCode.CONFLICT, detail) from None
    return role
