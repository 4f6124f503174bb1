"""An edge host whose certificate is lost, expired or in wrong hands: revoked, and claimed again as the same one."""

from __future__ import annotations

from aiohttp import web

from farsite_cloud.api.authorize import stand_fast, stand_first
from farsite_cloud.api.call import Call, call_of
from farsite_cloud.api.etags import IF_MATCH, check_unchanged
from farsite_cloud.api.idempotency import HEADER, once
from farsite_cloud.database import Scope
from farsite_cloud.edge_hosts.removal import check_confirmed
from farsite_cloud.edge_hosts.service import EdgeHosts, edge_name
from farsite_cloud.sessions.service import end_sessions_of_edge
from farsite_cloud.setup_codes.service import make_code_again
from farsite_cloud.signaling.notices import tell_ended
from farsite_signaling.rest import Api, read_query
from farsite_signaling.wire import cloud_api as wire
from farsite_signaling.wire.errors import ErrorCode
from farsite_signaling.wire.inventory_api import EdgeRemoval
from farsite_signaling.wire.rights import Right

api = Api()
_ONE = "/organizations/{org}/edge-hosts/{edge}"
REPLACED = "This edge host was claimed again: the certificate it had before is void."
_REVOKED = "The certificate of this edge host was revoked. Claim it again."


@api.route(
    "POST",
    f"{_ONE}/setup-code",
    need=Right.EDGE_CLAIM,
    response=wire.SetupCode,
    status=201,
    headers=(HEADER,),
)
async def create_code_again(request: web.Request) -> wire.SetupCode:
    """Make a setup code with which this edge host is claimed again: its name, folder, devices and history stay."""
    call = call_of(request)

    async def create() -> wire.SetupCode:
        with call.act("setup_code.created", request.match_info["edge"]) as act:
            await stand_fast(request, Right.EDGE_CLAIM)
            edge = await EdgeHosts(call.scope).get(request.match_info["edge"])
            act.target, act.details["again"] = edge.name, edge.id
            return make_code_again(call.scope, call.caller.account_id, edge, call.now)

    return await once(request, call.caller.account_id, wire.SetupCode, create)


@api.route(
    "DELETE",
    f"{_ONE}/certificate",
    need=Right.EDGE_MANAGE,
    query=EdgeRemoval,
    headers=(IF_MATCH,),
    errors=(ErrorCode.CONFIRMATION_NEEDED,),
)
async def revoke_certificates(request: web.Request) -> None:
    """Revoke its certificates: its connection and sessions end at once, until it is claimed again."""
    call, query = call_of(request), read_query(request, EdgeRemoval)
    with call.act("edge_host.certificate_revoked", request.match_info["edge"]) as act:
        await stand_first(request, Right.EDGE_MANAGE)
        edge = await EdgeHosts(call.scope).get(request.match_info["edge"])
        act.target = str(edge_name(edge))
        await check_unchanged(request, edge)
        check_confirmed(
            query, "Revoking its certificate cuts it off: to come back it is claimed again on its machine."
        )
        edge.certificates_since, edge.certificate_expires_at = call.now, None
        await end_of_certificates(call, call.whole, edge.id, act.target, _REVOKED)


async def end_of_certificates(call: Call, scope: Scope, edge_id: str, urn: str, why: str) -> None:
    """Sessions and the connection that older certificates stand for."""
    ended = await end_sessions_of_edge(scope, edge_id, ErrorCode.CERTIFICATE_REVOKED, call.now)
    peers = call.services.peers
    call.later(lambda: tell_ended(peers, ended, ErrorCode.CERTIFICATE_REVOKED, why))
    call.later(lambda: peers.disconnect(urn, ErrorCode.CERTIFICATE_REVOKED, why, retry=False))
