"""Support access given up by whoever has it, before its time."""

from __future__ import annotations

from aiohttp import web

from farsite_cloud.api.call import call_of
from farsite_cloud.database import Scope
from farsite_cloud.notices.events import emit
from farsite_cloud.support.service import end_now, find_support
from farsite_signaling.rest import INTERACTIVE, Api
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.notices_api import NoticeKind

api = Api()


@api.route("DELETE", "/me/support/{organization}", need=INTERACTIVE)
async def give_up_support(request: web.Request) -> None:
    """End one's own support access to an organization now; one's sessions and tunnels there are cut within seconds."""
    call = call_of(request)
    organization_id, email = request.match_info["organization"], call.caller.email
    access = await find_support(call.session, organization_id, email, call.now)
    if access is None:
        detail = f"You have no support access to an organization {organization_id[:64]!r}."
        raise FarsiteError(ErrorCode.NOT_FOUND, detail)
    with call.act("support.given_up", email, organizations=[organization_id]) as act:
        act.details |= {
            "role": access.role,
            "until": access.until.isoformat(),
            "granted_by": access.granted_by,
        }
        end_now(access, email, call.now)
        text = f"{email} gave up the support access that {access.granted_by} had granted."
        scope = Scope(call.session, organization_id)
        await emit(scope, NoticeKind.INVITATION, text, key=f"given up {access.id}", now=call.now)
    call.later(call.services.sweeper.wake)
