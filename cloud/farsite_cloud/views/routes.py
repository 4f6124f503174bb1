"""Saved views."""

from __future__ import annotations

from aiohttp import web

from farsite_cloud.api.authorize import demand
from farsite_cloud.api.call import Call, call_of
from farsite_cloud.api.etags import IF_MATCH, check_unchanged, etag
from farsite_cloud.api.idempotency import HEADER, once
from farsite_cloud.views.models import SavedView
from farsite_cloud.views.service import Views, view_answer
from farsite_signaling.rest import Answer, Api
from farsite_signaling.wire import inventory_api as wire
from farsite_signaling.wire.rights import Right

api = Api()
_LIST = "/organizations/{org}/views"
_ONE = _LIST + "/{view}"
_READ = Right.DEVICE_READ


@api.route("GET", _LIST, need=_READ, response=wire.ViewList)
async def list_views(request: web.Request) -> wire.ViewList:
    """Own views, and those shared with the organization."""
    call = call_of(request)
    return wire.ViewList(views=[_shown(call, row) for row in await _views(call).list()])


@api.route("GET", _ONE, need=_READ, response=wire.View)
async def get_view(request: web.Request) -> Answer:
    """One view."""
    call = call_of(request)
    row = await _views(call).get(request.match_info["view"])
    return Answer(_shown(call, row), etag(row.revision))


@api.route(
    "POST", _LIST, need=_READ, request=wire.ViewRequest, response=wire.View, status=201, headers=(HEADER,)
)
async def create_view(request: web.Request, body: wire.ViewRequest) -> wire.View:
    """Keep a filter with a name, for oneself or for the organization."""
    call = call_of(request)

    async def create() -> wire.View:
        with call.act("view.created", body.name) as act:
            act.details |= {"shared": body.shared}
            if body.shared:
                demand(call, Right.VIEW_SHARE)
            return _shown(call, await _views(call).create(body, call.caller.email, call.now))

    return await once(request, call.caller.account_id, wire.View, create)


@api.route("PATCH", _ONE, need=_READ, request=wire.ViewChange, response=wire.View, headers=(IF_MATCH,))
async def change_view(request: web.Request, body: wire.ViewChange) -> Answer:
    """Change a view. Fields left out stay."""
    call = call_of(request)
    with call.act("view.changed", request.match_info["view"]) as act:
        views = _views(call)
        row = await views.get(request.match_info["view"])
        act.target = row.name
        _check_may_change(call, row, sharing=bool(body.shared))
        await check_unchanged(request, row)
        await views.change(row, body)
        act.details |= body.model_dump(exclude_none=True)
    return Answer(_shown(call, row), etag(row.revision))


@api.route("DELETE", _ONE, need=_READ, headers=(IF_MATCH,))
async def remove_view(request: web.Request) -> None:
    """Remove a view."""
    call = call_of(request)
    with call.act("view.removed", request.match_info["view"]) as act:
        row = await _views(call).get(request.match_info["view"])
        act.target = row.name
        _check_may_change(call, row)
        await check_unchanged(request, row)
        await _views(call).remove(row)


def _check_may_change(call: Call, row: SavedView, *, sharing: bool = False) -> None:
    """What is shared is changed by those who may share; what others shared by those who manage the organization."""
    if row.shared or sharing:
        demand(call, Right.VIEW_SHARE)
    if row.account_id != call.caller.account_id:
        demand(call, Right.ORGANIZATION_MANAGE)


def _views(call: Call) -> Views:
    return Views(call.scope, call.caller.account_id)


def _shown(call: Call, row: SavedView) -> wire.View:
    return view_answer(row, call.caller.account_id)
