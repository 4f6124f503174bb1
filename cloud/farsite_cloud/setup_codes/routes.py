"""Making setup codes."""

from __future__ import annotations

from aiohttp import web

from farsite_cloud.api.authorize import stand_fast
from farsite_cloud.api.call import call_of
from farsite_cloud.api.idempotency import HEADER, once
from farsite_cloud.setup_codes.service import make_setup_code
from farsite_signaling.rest import Api
from farsite_signaling.wire import cloud_api as wire
from farsite_signaling.wire.rights import Right

api = Api()


@api.route(
    "POST",
    "/organizations/{org}/setup-codes",
    need=Right.EDGE_CLAIM,
    request=wire.SetupCodeRequest,
    response=wire.SetupCode,
    status=201,
    headers=(HEADER,),
)
async def create_setup_code(request: web.Request, body: wire.SetupCodeRequest) -> wire.SetupCode:
    """Make a one-time setup code for an edge host, good for 15 minutes."""
    call = call_of(request)

    async def create() -> wire.SetupCode:
        with call.act("setup_code.created", body.name) as act:
            await stand_fast(request, Right.EDGE_CLAIM)
            default = call.organization.default_folder_id
            code = await make_setup_code(call.scope, call.caller.account_id, body, default, call.now)
            act.details["folder"] = code.folder_id
        return code

    return await once(request, call.caller.account_id, wire.SetupCode, create)
