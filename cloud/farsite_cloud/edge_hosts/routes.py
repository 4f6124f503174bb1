"""Edge hosts of an organization: list, read, edit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import web
from pydantic_core import to_json

from farsite_cloud.api.authorize import stand_first
from farsite_cloud.api.call import Call, call_of
from farsite_cloud.api.etags import IF_MATCH, check_unchanged, etag
from farsite_cloud.api.paging import next_cursor, start_after
from farsite_cloud.edge_hosts.listing import filtered, is_plain
from farsite_cloud.edge_hosts.service import EdgeHosts, edge_name, edge_values, online_by
from farsite_cloud.inventory.tagging import tags_of
from farsite_cloud.sessions.endings import OUT_OF_REACH, end_out_of_reach
from farsite_cloud.signaling.notices import tell_ended
from farsite_signaling.rest import Answer, Api, read_query
from farsite_signaling.wire import cloud_api as wire
from farsite_signaling.wire.errors import ErrorCode
from farsite_signaling.wire.inventory_api import EdgeHostQuery
from farsite_signaling.wire.rights import Right

api = Api()
_LIST = "/organizations/{org}/edge-hosts"
_ONE = _LIST + "/{edge}"


@api.route("GET", _LIST, need=Right.EDGE_READ, response=wire.EdgeHostList, query=EdgeHostQuery)
async def list_edge_hosts(request: web.Request) -> web.Response:
    """Edge hosts, filtered and sorted; oldest first when nothing else is asked for."""
    call, query = call_of(request), read_query(request, EdgeHostQuery)
    if is_plain(query):
        rows = await EdgeHosts(call.scope).list(start_after(query.cursor), query.limit)
        found: Sequence[Any] = rows[: query.limit]
        following = next_cursor(rows, query.limit)
    else:
        found, following = await filtered(call.scope, query, online_by(call.services.peers))
    page = {"edge_hosts": await _values(call, found), "next_cursor": following}
    return web.Response(body=to_json(page), content_type="application/json")


@api.route("GET", _ONE, need=Right.EDGE_READ, response=wire.EdgeHost)
async def get_edge_host(request: web.Request) -> Answer:
    """One edge host."""
    call = call_of(request)
    edge = await EdgeHosts(call.scope).shown(request.match_info["edge"])
    return Answer(await _answer(call, edge), etag(edge.revision))


@api.route(
    "PATCH",
    _ONE,
    need=Right.EDGE_MANAGE,
    request=wire.EdgeHostChange,
    response=wire.EdgeHost,
    headers=(IF_MATCH,),
    errors=(ErrorCode.CONFLICT,),
)
async def change_edge_host(request: web.Request, body: wire.EdgeHostChange) -> Answer:
    """Rename, describe or move an edge host. Fields left out stay."""
    call = call_of(request)
    edges = EdgeHosts(call.scope)
    with call.act("edge_host.changed", request.match_info["edge"]) as act:
        await stand_first(request, Right.EDGE_MANAGE)
        edge = await edges.get(request.match_info["edge"])
        act.target = str(edge_name(edge))
        await check_unchanged(request, edge)
        await edges.change(edge, body)
        act.details |= body.model_dump(exclude_none=True)
        if body.folder_id is not None:
            # Whoever does not reach its new folder is not connected to it any longer.
            ended = await end_out_of_reach(call.whole, call.now)
            peers = call.services.peers
            call.later(lambda: tell_ended(peers, ended, ErrorCode.SESSION_ENDED, OUT_OF_REACH))
    return Answer(await _answer(call, edge), etag(edge.revision))


async def _answer(call: Call, edge: Any) -> wire.EdgeHost:
    return (await edge_answers(call, [edge]))[0]


async def edge_answers(call: Call, edges: Sequence[Any]) -> list[wire.EdgeHost]:
    return [wire.EdgeHost.model_construct(**values) for values in await _values(call, edges)]


async def _values(call: Call, edges: Sequence[Any]) -> list[dict[str, Any]]:
    """Fields by name: pages are made of these, without a model for each."""
    online = online_by(call.services.peers)
    tags = await tags_of(call.scope, [edge.id for edge in edges])
    return [edge_values(edge, online(edge), tags.get(edge.id, ())) for edge in edges]
