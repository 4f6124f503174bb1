"""Edge hosts of an organization: list, read, edit, remove."""

from __future__ import annotations

from aiohttp import web

from farsite_cloud.api.call import Call, call_of
from farsite_cloud.api.etags import check_if_match, etag
from farsite_cloud.api.paging import next_cursor, read_page
from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.edge_hosts.service import EdgeHosts, edge_answer, edge_name
from farsite_cloud.sessions.endings import OUT_OF_REACH, end_out_of_reach
from farsite_cloud.sessions.service import end_sessions_of_edge
from farsite_cloud.signaling.notices import tell_ended
from farsite_signaling.rest import Answer, Api
from farsite_signaling.wire import cloud_api as wire
from farsite_signaling.wire.errors import ErrorCode
from farsite_signaling.wire.rights import Right

api = Api()
_LIST = "/organizations/{org}/edge-hosts"
_ONE = _LIST + "/{edge}"
_REMOVED = "This edge host was removed from its organization."


@api.route("GET", _LIST, need=Right.EDGE_READ, response=wire.EdgeHostList, query=wire.Page)
async def list_edge_hosts(request: web.Request) -> wire.EdgeHostList:
    """Edge hosts, oldest first."""
    call = call_of(request)
    after, limit = read_page(request)
    rows = await EdgeHosts(call.scope).list(after, limit)
    return wire.EdgeHostList(
        edge_hosts=[_answer(call, row) for row in rows[:limit]], next_cursor=next_cursor(rows, limit)
    )


@api.route("GET", _ONE, need=Right.EDGE_READ, response=wire.EdgeHost)
async def get_edge_host(request: web.Request) -> Answer:
    """One edge host."""
    call = call_of(request)
    edge = await EdgeHosts(call.scope).get(request.match_info["edge"])
    return Answer(_answer(call, edge), etag(edge.revision))


@api.route(
    "PATCH",
    _ONE,
    need=Right.EDGE_MANAGE,
    request=wire.EdgeHostChange,
    response=wire.EdgeHost,
    headers=("If-Match",),
)
async def change_edge_host(request: web.Request, body: wire.EdgeHostChange) -> Answer:
    """Rename, describe or move an edge host. Fields left out stay."""
    call = call_of(request)
    edges = EdgeHosts(call.scope)
    with call.act("edge_host.changed", request.match_info["edge"]) as act:
        edge = await edges.get(request.match_info["edge"])
        act.target = str(edge_name(edge))
        check_if_match(request, edge.revision)
        await edges.change(edge, body)
        act.details |= body.model_dump(exclude_none=True)
        if body.folder_id is not None:
            # Whoever does not reach its new folder is not connected to it any longer.
            ended = await end_out_of_reach(call.whole, call.now)
            peers = call.services.peers
            call.later(lambda: tell_ended(peers, ended, ErrorCode.SESSION_ENDED, OUT_OF_REACH))
    return Answer(_answer(call, edge), etag(edge.revision))


@api.route("DELETE", _ONE, need=Right.EDGE_MANAGE)
async def remove_edge_host(request: web.Request) -> None:
    """Remove an edge host: its certificate, its connection and its sessions end at once."""
    call = call_of(request)
    with call.act("edge_host.revoked", request.match_info["edge"]) as act:
        edge = await EdgeHosts(call.scope).get(request.match_info["edge"])
        act.target = urn = str(edge_name(edge))
        edge.revoked_at = call.now
        ended = await end_sessions_of_edge(call.scope, edge.id, ErrorCode.CERTIFICATE_REVOKED, call.now)
        act.details["sessions_ended"] = len(ended)
    peers = call.services.peers
    call.later(lambda: tell_ended(peers, ended, ErrorCode.CERTIFICATE_REVOKED, _REMOVED))
    call.later(lambda: peers.disconnect(urn, ErrorCode.CERTIFICATE_REVOKED, _REMOVED, retry=False))


def _answer(call: Call, edge: EdgeHost) -> wire.EdgeHost:
    return edge_answer(edge, call.services.peers.online(str(edge_name(edge))))
