"""Claiming: the setup code is the edge host's only credential."""

from __future__ import annotations

from aiohttp import web

from farsite_cloud.api.call import Call, call_of
from farsite_cloud.api.idempotency import HEADER, once
from farsite_cloud.claims.service import claim_edge_host, has_returned
from farsite_cloud.database import Scope
from farsite_cloud.edge_hosts.recovery import REPLACED, end_of_certificates
from farsite_cloud.organizations.keys import OrganizationKeys
from farsite_cloud.organizations.service import find_organization, lock
from farsite_cloud.organizations.suspension import check_active
from farsite_cloud.setup_codes.code import code_digest
from farsite_cloud.setup_codes.service import organization_of_code
from farsite_signaling.rest import PUBLIC, Api
from farsite_signaling.wire import cloud_api as wire
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

api = Api()


@api.route(
    "POST",
    "/claims",
    need=PUBLIC,
    request=wire.Claim,
    response=wire.ClaimResult,
    status=201,
    headers=(HEADER,),
    errors=(
        ErrorCode.SETUP_CODE_INVALID,
        ErrorCode.SETUP_CODE_USED,
        ErrorCode.SETUP_CODE_EXPIRED,
        ErrorCode.CERTIFICATE_INVALID,
        ErrorCode.ORGANIZATION_SUSPENDED,
    ),
)
async def claim(request: web.Request, body: wire.Claim) -> wire.ClaimResult:
    """Use a setup code: the edge host joins the organization and gets its certificate."""
    call = call_of(request)
    digest = code_digest(body.code.get_secret_value())
    await call.services.limits.claims.check(call.source)
    try:
        return await once(request, digest, wire.ClaimResult, lambda: _claim(call, digest, body))
    except FarsiteError as error:
        if error.code is ErrorCode.SETUP_CODE_INVALID:
            # Of guesses that came together no more are answered than of those that come one by one.
            await call.services.limits.claims.begin(call.source)
        raise


async def _claim(call: Call, digest: str, body: wire.Claim) -> wire.ClaimResult:
    with call.act("edge_host.claimed", body.hostname, actor="setup code") as act:
        organization_id = await organization_of_code(call.session, digest)
        await call.services.limits.claims.check(call.source)
        act.organizations.append(organization_id)
        organization = await find_organization(call.session, organization_id)
        assert organization is not None, "a foreign key says so"
        # Before the code is used, as everybody does who locks both.
        await lock(call.session, organization_id)
        check_active(organization)
        scope = Scope(call.session, organization_id)
        keys = OrganizationKeys(organization, call.services.vault)
        hub_url = call.services.urls.hub
        result = await claim_edge_host(scope, digest, body, organization, keys, hub_url, call.now)
        act.target = result.name
        act.details |= {"edge_name": result.edge_name, "hostname": body.hostname}
        if await has_returned(scope, result.edge_id):
            await end_of_certificates(call, scope, result.edge_id, result.name, REPLACED)
            act.details["again"] = True
    return result
