"""Credentials to check the relays with: good for minutes, counted instead of audited, for no session at all."""

from __future__ import annotations

from datetime import timedelta

from aiohttp import web

from farsite_cloud.api.call import Call, call_of
from farsite_cloud.attempts import guessing
from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.ids import new_id
from farsite_cloud.signaling.admission import PROOF_ERRORS, admit
from farsite_signaling.identity import verify_relay_check
from farsite_signaling.identity.certificates import public_key_of
from farsite_signaling.rest import PUBLIC, Api
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.netcheck import RelayCheck, RelayCheckRequest
from farsite_signaling.wire.rights import Right

LIFETIME = timedelta(minutes=5)
api = Api()


@api.route(
    "POST", "/organizations/{org}/relay-check", need=Right.REMOTE_ACCESS, response=RelayCheck, status=201
)
async def check_relays(request: web.Request) -> RelayCheck:
    """Servers and short-lived credentials with which a client tries every relay (`farsite netcheck`)."""
    return _credentials(call_of(request), "client")


@api.route(
    "POST",
    "/edge/relay-check",
    need=PUBLIC,
    request=RelayCheckRequest,
    response=RelayCheck,
    status=201,
    errors=PROOF_ERRORS,
)
async def check_relays_from_edge(request: web.Request, body: RelayCheckRequest) -> RelayCheck:
    """The same for an edge host, proven with its certificate's key (`farsite edge doctor`)."""
    call = call_of(request)
    async with guessing(call.services.limits.renewals, call.source):
        await _check_proof(call, body)
    return _credentials(call, "edge")


async def _check_proof(call: Call, body: RelayCheckRequest) -> None:
    admitted = await admit(call.session, body.certificate, call.now)
    key = public_key_of(admitted.certificate)
    verify_relay_check(body.proof, key, name=str(admitted.name), now=call.now.timestamp())
    if not isinstance(admitted.row, EdgeHost):
        raise FarsiteError(ErrorCode.FORBIDDEN, "Client devices sign in instead.")


def _credentials(call: Call, kind: str) -> RelayCheck:
    # A name of its own each time, as sessions have: the relay's quota of one check is never another's.
    session = f"check-{new_id(call.now)}"
    ttl = int(LIFETIME.total_seconds())
    call.services.metrics.relay_checks.labels(kind).inc()
    return RelayCheck(
        ice_servers=call.services.relay.ice_servers(session, call.now.timestamp(), ttl),
        expires_at=call.now + LIFETIME,
        server_time=call.now,
    )
