"""Campaigns: made, watched, paused, resumed, cancelled, tried again."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from farsite_cloud.api.authorize import demand
from farsite_cloud.api.call import Call, call_of
from farsite_cloud.api.idempotency import HEADER, once
from farsite_cloud.api.paging import cursor_of, next_cursor, start_after
from farsite_cloud.edge_hosts.service import EdgeHosts
from farsite_cloud.work.answers import campaign_answer, device_answer, order_answer, stage_of, step_answer
from farsite_cloud.work.kinds import KINDS, checked, kind_of
from farsite_cloud.work.models import Campaign
from farsite_cloud.work.service import Author, Campaigns
from farsite_cloud.work.statement import fits
from farsite_signaling.rest import Api, read_query
from farsite_signaling.wire import work_api as wire
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import Right

api = Api()
_LIST = "/organizations/{org}/campaigns"
_ONE = _LIST + "/{campaign}"


@api.route(
    "GET", "/organizations/{org}/campaign-kinds", need=Right.DEVICE_READ, response=wire.CampaignKindList
)
async def list_kinds(request: web.Request) -> wire.CampaignKindList:
    """What campaigns can do, with the schema of each kind's parameters."""
    return wire.CampaignKindList(
        kinds=[
            wire.CampaignKind(
                kind=name,
                title=kind.title,
                right=kind.right,
                parameters=kind.parameters.model_json_schema(),
            )
            for name, kind in KINDS.items()
        ]
    )


@api.route("GET", _LIST, need=Right.DEVICE_READ, response=wire.CampaignList, query=wire.CampaignQuery)
async def list_campaigns(request: web.Request) -> wire.CampaignList:
    """Campaigns, newest first."""
    call, query = call_of(request), read_query(request, wire.CampaignQuery)
    rows = await Campaigns(call.scope).page(start_after(query.cursor), query.limit, query.state, query.kind)
    shown = [await _answer(call, row) for row in rows[: query.limit]]
    return wire.CampaignList(campaigns=shown, next_cursor=next_cursor(rows, query.limit))


@api.route(
    "POST",
    _LIST,
    need=Right.DEVICE_MANAGE,
    request=wire.CampaignRequest,
    response=wire.Campaign,
    status=201,
    headers=(HEADER,),
)
async def create_campaign(request: web.Request, body: wire.CampaignRequest) -> wire.Campaign:
    """Start work on devices of many edge hosts, or plan it."""
    call = call_of(request)
    return await once(request, call.caller.account_id, wire.Campaign, lambda: _create(call, body))


async def _create(call: Call, body: wire.CampaignRequest) -> wire.Campaign:
    with call.act("campaign.created", body.kind) as act:
        kind = kind_of(body.kind)
        demand(call, kind.right)
        parameters = checked(kind, body.parameters)
        if kind.fill is not None:
            parameters = await kind.fill(call.scope, parameters)
        size = len(json.dumps(parameters)) + len(body.selection.model_dump_json())
        if not fits(size):
            detail = "Parameters and selection are too large for one order. Name fewer devices."
            raise FarsiteError(ErrorCode.TOO_LARGE, detail)
        title = body.title or kind.title
        campaign = await Campaigns(call.scope).create(body, parameters, title, author_of(call), call.now)
        act.target = campaign.id
        act.details |= {"kind": body.kind, "title": title, "parameters": body.parameters}
        answer = await _answer(call, campaign)
        act.details["edge_hosts"] = answer.orders.total
    call.later(call.services.sweeper.wake)
    return answer


def author_of(call: Call) -> Author:
    scopes = call.caller.scopes
    return Author(call.caller.account_id, call.caller.email, None if scopes is None else sorted(scopes))


@api.route("GET", _ONE, need=Right.DEVICE_READ, response=wire.Campaign)
async def get_campaign(request: web.Request) -> wire.Campaign:
    """One campaign, with how many edge hosts and devices are where."""
    _, campaign = await _found(request)
    return await _answer(call_of(request), campaign)


async def _found(request: web.Request) -> tuple[Campaigns, Campaign]:
    """The one of the path. Raises `not_found`."""
    campaigns = Campaigns(call_of(request).scope)
    return campaigns, await campaigns.get(request.match_info["campaign"])


@api.route(
    "GET",
    f"{_ONE}/orders",
    need=Right.DEVICE_READ,
    response=wire.CampaignOrderList,
    query=wire.CampaignOrderQuery,
)
async def list_orders(request: web.Request) -> wire.CampaignOrderList:
    """What each edge host does for a campaign, in the order of the rollout."""
    call, query = call_of(request), read_query(request, wire.CampaignOrderQuery)
    campaigns, campaign = await _found(request)
    after = start_after(query.cursor)
    rows = await campaigns.orders(campaign.id, after, query.limit + 1, query.state)
    edges = await EdgeHosts(call.scope).by_id([row.edge_host_id for row in rows])
    total = await Campaigns(call.whole).size(campaign.id)
    stages = wire.CampaignRollout.model_validate(campaign.rollout).stages
    shown = [
        order_answer(row, edges.get(row.edge_host_id), stage_of(row.position, total, stages))
        for row in rows[: query.limit]
    ]
    return wire.CampaignOrderList(orders=shown, next_cursor=next_cursor(rows, query.limit))


@api.route(
    "GET",
    f"{_ONE}/devices",
    need=Right.DEVICE_READ,
    response=wire.CampaignDeviceList,
    query=wire.CampaignDeviceQuery,
)
async def list_devices(request: web.Request) -> wire.CampaignDeviceList:
    """What became of each device, and why."""
    query = read_query(request, wire.CampaignDeviceQuery)
    campaigns, campaign = await _found(request)
    after = start_after(query.cursor)
    rows = await campaigns.devices(campaign.id, after, query.limit, query.state, query.edge_host)
    shown = [device_answer(row) for row in rows[: query.limit]]
    return wire.CampaignDeviceList(devices=shown, next_cursor=next_cursor(rows, query.limit))


@api.route(
    "GET",
    f"{_ONE}/orders/{{order}}/steps",
    need=Right.DEVICE_READ,
    response=wire.CampaignStepList,
    query=wire.CampaignStepQuery,
)
async def list_steps(request: web.Request) -> wire.CampaignStepList:
    """The step log of one edge host's devices, oldest first."""
    query = read_query(request, wire.CampaignStepQuery)
    campaigns, campaign = await _found(request)
    order = await campaigns.order(campaign.id, request.match_info["order"])
    rows = await campaigns.steps(order.id, start_after(query.cursor), query.limit, query.device)
    following = cursor_of(rows[: query.limit][-1].id) if len(rows) > query.limit else None
    return wire.CampaignStepList(
        steps=[step_answer(row) for row in rows[: query.limit]], next_cursor=following
    )


@api.route("POST", f"{_ONE}/pause", need=Right.DEVICE_MANAGE, response=wire.Campaign)
async def pause_campaign(request: web.Request) -> wire.Campaign:
    """Start nothing further anywhere; devices at work are finished."""
    call = call_of(request)
    return await _turn(request, "campaign.paused", lambda its, key: its.pause(key, author_of(call), call.now))


@api.route(
    "POST", f"{_ONE}/resume", need=Right.DEVICE_MANAGE, request=wire.CampaignResume, response=wire.Campaign
)
async def resume_campaign(request: web.Request, body: wire.CampaignResume) -> wire.Campaign:
    """Go on after a pause or a stop; what failed so far does not count again."""
    call = call_of(request)

    async def resume(campaigns: Campaigns, key: str) -> Campaign:
        demand(call, kind_of((await campaigns.get(key)).kind).right)
        return await campaigns.resume(key, body, author_of(call), call.now)

    return await _turn(request, "campaign.resumed", resume, **body.model_dump(exclude_none=True))


@api.route("POST", f"{_ONE}/cancel", need=Right.DEVICE_MANAGE, response=wire.Campaign)
async def cancel_campaign(request: web.Request) -> wire.Campaign:
    """Cancel: what was not begun is left alone, devices at work stop where that is safe."""
    call = call_of(request)
    return await _turn(
        request, "campaign.cancelled", lambda its, key: its.cancel(key, author_of(call), call.now)
    )


async def _turn(
    request: web.Request,
    action: str,
    change: Callable[[Campaigns, str], Awaitable[Campaign]],
    **details: Any,
) -> wire.Campaign:
    """An act on the campaign of the path, after which orders go on at once."""
    call, key = call_of(request), request.match_info["campaign"]
    with call.act(action, key) as act:
        act.details |= details
        campaign = await change(Campaigns(call.scope), key)
    call.later(call.services.sweeper.wake)
    return await _answer(call, campaign)


@api.route(
    "POST",
    f"{_ONE}/retry",
    need=Right.DEVICE_MANAGE,
    request=wire.CampaignRetry,
    response=wire.Campaign,
    status=201,
    headers=(HEADER,),
)
async def retry_campaign(request: web.Request, body: wire.CampaignRetry) -> wire.Campaign:
    """A new campaign for what did not succeed in a finished one."""
    call = call_of(request)
    return await once(request, call.caller.account_id, wire.Campaign, lambda: _retry(request, call, body))


async def _retry(request: web.Request, call: Call, body: wire.CampaignRetry) -> wire.Campaign:
    with call.act("campaign.retried", request.match_info["campaign"]) as act:
        campaigns, before = await _found(request)
        demand(call, kind_of(before.kind).right)
        again = await campaigns.retry(before, body.rollout, body.expires_in_hours, author_of(call), call.now)
        act.details["campaign"] = again.id
        answer = await _answer(call, again)
    call.later(call.services.sweeper.wake)
    return answer


@api.route("DELETE", _ONE, need=Right.DEVICE_MANAGE)
async def remove_campaign(request: web.Request) -> None:
    """Forget a finished campaign and what became of its devices."""
    call = call_of(request)
    with call.act("campaign.removed", request.match_info["campaign"]):
        campaigns, campaign = await _found(request)
        await campaigns.remove(campaign)


async def _answer(call: Call, campaign: Campaign) -> wire.Campaign:
    return campaign_answer(campaign, await Campaigns(call.scope).orders(campaign.id))
