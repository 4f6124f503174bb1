"""Renewal of an edge host's certificate, proven with the current one's key."""

from __future__ import annotations

from aiohttp import web

from farsite_cloud.api.call import Call, call_of
from farsite_cloud.attempts import guessing
from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.organizations.keys import OrganizationKeys
from farsite_cloud.signaling.admission import PROOF_ERRORS, Admitted, admit
from farsite_signaling.identity import verify_renewal
from farsite_signaling.identity.certificates import public_key_of
from farsite_signaling.rest import PUBLIC, Api
from farsite_signaling.wire import cloud_api as wire
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

api = Api()


@api.route(
    "POST",
    "/edge/renewals",
    need=PUBLIC,
    request=wire.RenewalRequest,
    response=wire.Enrolment,
    status=201,
    errors=PROOF_ERRORS,
)
async def renew_certificate(request: web.Request, body: wire.RenewalRequest) -> wire.Enrolment:
    """Sign an edge host's next certificate; the current one stays good until it expires."""
    call = call_of(request)
    async with guessing(call.services.limits.renewals, call.source):
        return await _renew(call, body)


async def _renew(call: Call, body: wire.RenewalRequest) -> wire.Enrolment:
    with call.act("edge_host.renewed") as act:
        admitted = await admit(call.session, body.certificate, call.now)
        act.organizations, act.target = [admitted.organization.id], str(admitted.name)
        act.actor = act.target
        _check_proof(admitted, body, call.now.timestamp())
        if not isinstance(admitted.row, EdgeHost):
            raise FarsiteError(ErrorCode.FORBIDDEN, "Client devices sign in again instead of renewing.")
        keys = OrganizationKeys(admitted.organization, call.services.vault)
        enrolment = keys.enrol(body.csr, admitted.name, call.services.urls.hub, call.now)
        admitted.row.certificate_expires_at = enrolment.expires_at
    return enrolment


def _check_proof(admitted: Admitted, body: wire.RenewalRequest, now: float) -> None:
    key = public_key_of(admitted.certificate)
    verify_renewal(body.proof, key, name=str(admitted.name), csr=body.csr, now=now)
