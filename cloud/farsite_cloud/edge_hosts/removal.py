"""Removing an edge host: with the risk confirmed, and only when it has no devices any more."""

from __future__ import annotations

from aiohttp import web

from farsite_cloud.api.authorize import stand_first
from farsite_cloud.api.call import Call, call_of
from farsite_cloud.api.etags import IF_MATCH, check_unchanged
from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.edge_hosts.service import EdgeHosts, edge_name
from farsite_cloud.inventory.forgetting import devices_of, forget_devices, forget_edge_host
from farsite_cloud.sessions.service import end_sessions_of_edge
from farsite_cloud.signaling.notices import tell_ended
from farsite_signaling.rest import Api, read_query
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.inventory_api import EdgeRemoval
from farsite_signaling.wire.rights import Right

api = Api()
_ONE = "/organizations/{org}/edge-hosts/{edge}"
_REMOVED = "This edge host was removed from its organization."


@api.route(
    "DELETE",
    _ONE,
    need=Right.EDGE_MANAGE,
    query=EdgeRemoval,
    headers=(IF_MATCH,),
    errors=(ErrorCode.CONFIRMATION_NEEDED,),
)
async def remove_edge_host(request: web.Request) -> None:
    """Remove an edge host without devices: its certificate, its connection and its sessions end at once."""
    call, query = call_of(request), read_query(request, EdgeRemoval)
    with call.act("edge_host.revoked", request.match_info["edge"]) as act:
        await stand_first(request, Right.EDGE_MANAGE)
        edge = await EdgeHosts(call.scope).get(request.match_info["edge"])
        act.target = urn = str(edge_name(edge))
        await check_unchanged(request, edge)
        await _check_empty(call, edge)
        check_confirmed(
            query,
            "Removing it ends its certificate and every session with it: to come back it is claimed anew.",
        )
        edge.revoked_at = call.now
        await forget_edge_host(call.scope, edge.id)
        ended = await end_sessions_of_edge(call.scope, edge.id, ErrorCode.CERTIFICATE_REVOKED, call.now)
        act.details["sessions_ended"] = len(ended)
    peers = call.services.peers
    call.later(lambda: tell_ended(peers, ended, ErrorCode.CERTIFICATE_REVOKED, _REMOVED))
    call.later(lambda: peers.disconnect(urn, ErrorCode.CERTIFICATE_REVOKED, _REMOVED, retry=False))


@api.route(
    "DELETE",
    f"{_ONE}/devices",
    need=Right.EDGE_MANAGE,
    query=EdgeRemoval,
    headers=(IF_MATCH,),
    errors=(ErrorCode.CONFIRMATION_NEEDED,),
)
async def forget_edge_devices(request: web.Request) -> None:
    """Forget the devices of an edge host that is gone for good; one that comes back tells them anew."""
    call, query = call_of(request), read_query(request, EdgeRemoval)
    with call.act("edge_host.devices_forgotten", request.match_info["edge"]) as act:
        edge = await EdgeHosts(call.scope).get(request.match_info["edge"])
        act.target = str(edge_name(edge))
        await check_unchanged(request, edge)
        if call.services.peers.online(act.target):
            detail = "This edge host is online: remove its devices there, and the cloud hears of it."
            raise FarsiteError(ErrorCode.CONFLICT, detail)
        check_confirmed(query, "Nobody but the edge host itself can tell these devices again.")
        act.details["devices"] = await forget_devices(call.scope, edge.id)
        edge.devices_managed = edge.devices_other = 0


async def _check_empty(call: Call, edge: EdgeHost) -> None:
    devices = max(edge.devices_managed, await devices_of(call.scope, edge.id))
    if not devices:
        return
    online = call.services.peers.online(str(edge_name(edge)))
    way = (
        "Remove them from it first." if online else "It is offline: bring it back, or let them be forgotten."
    )
    detail = f"The edge host {edge.name!r} manages {devices} devices. {way}"
    raise FarsiteError(ErrorCode.CONFLICT, detail)


def check_confirmed(query: EdgeRemoval, risk: str) -> None:
    if not query.risk_confirmed:
        detail = f"{risk} Say that you are aware of the risks: risk_confirmed=true."
        raise FarsiteError(ErrorCode.CONFIRMATION_NEEDED, detail)
