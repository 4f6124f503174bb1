"""Devices of an organization: listed, counted, exported; AXIS OS by model; tasks of edge hosts."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from pydantic_core import to_json

from farsite_cloud.api.call import Call, call_of
from farsite_cloud.api.paging import next_cursor, start_after
from farsite_cloud.edge_hosts.service import online_by
from farsite_cloud.inventory.devices import Answers, Devices
from farsite_cloud.inventory.export import export
from farsite_cloud.inventory.facets import count_devices
from farsite_cloud.inventory.overview import overview
from farsite_cloud.inventory.selection import find_text, reached_edges, select_devices
from farsite_cloud.inventory.task_list import EdgeTasks
from farsite_signaling.rest import Api, read_query
from farsite_signaling.wire import inventory_api as wire
from farsite_signaling.wire.rights import Right

api = Api()
_ORG = "/organizations/{org}"
_READ = Right.DEVICE_READ


@api.route("GET", f"{_ORG}/devices", need=_READ, response=wire.InventoryDeviceList, query=wire.DeviceQuery)
async def list_inventory(request: web.Request) -> web.Response:
    """Managed devices of all edge hosts, filtered and sorted."""
    call, query = call_of(request), read_query(request, wire.DeviceQuery)
    selection = await select_devices(call.scope, query, call.now.date())
    await find_text(call.scope, selection, by_name=query.sort.removeprefix("-") == "name")
    rows, following = await Devices(call.scope).page(selection, query.sort, query.cursor, query.limit)
    page = {"devices": await answers_of(call).values(rows), "next_cursor": following}
    return _json(page)


def _json(values: dict[str, Any]) -> web.Response:
    return web.Response(body=to_json(values), content_type="application/json")


def answers_of(call: Call) -> Answers:
    return Answers(call.scope, online_by(call.services.peers), call.now.date())


@api.route("GET", f"{_ORG}/devices/counts", need=_READ, response=wire.DeviceCounts, query=wire.DeviceFilter)
async def count_inventory(request: web.Request) -> web.Response:
    """How many devices a filter leaves, by model, version, state and more."""
    call, query = call_of(request), read_query(request, wire.DeviceFilter)
    selection = await select_devices(call.scope, query, call.now.date())
    await find_text(call.scope, selection, by_name=True)
    return _json(await count_devices(call.scope, selection, call.now.date()))


@api.route(
    "GET",
    f"{_ORG}/devices/export",
    need=_READ,
    query=wire.ExportQuery,
    files=("application/json", "text/csv"),
)
async def export_inventory(request: web.Request) -> web.StreamResponse:
    """All devices a filter leaves, as CSV or JSON."""
    return await export(request, call_of(request), read_query(request, wire.ExportQuery))


@api.route("GET", f"{_ORG}/devices/{{device}}", need=_READ, response=wire.InventoryDevice)
async def get_inventory_device(request: web.Request) -> wire.InventoryDevice:
    """One device, by its id or its serial number."""
    call = call_of(request)
    rows = await Devices(call.scope).row(request.match_info["device"])
    return (await answers_of(call).make(rows))[0]


@api.route("GET", f"{_ORG}/inventory/os", need=_READ, response=wire.OsOverview, query=wire.OverviewQuery)
async def os_overview(request: web.Request) -> web.Response:
    """AXIS OS versions by model, with tracks, ends of support and what is recommended."""
    call, query = call_of(request), read_query(request, wire.OverviewQuery)
    edges = await reached_edges(call.scope, query.folder, query.edge_host)
    return _json(await overview(call.scope, edges, call.now.date()))


@api.route("GET", f"{_ORG}/edge-tasks", need=_READ, response=wire.EdgeTaskList, query=wire.EdgeTaskQuery)
async def list_edge_tasks(request: web.Request) -> wire.EdgeTaskList:
    """Tasks of edge hosts, newest first, as they last told them."""
    call, query = call_of(request), read_query(request, wire.EdgeTaskQuery)
    tasks, limit = EdgeTasks(call.scope), query.limit
    rows = await tasks.page(query, start_after(query.cursor), limit)
    return wire.EdgeTaskList(tasks=await tasks.answers(rows[:limit]), next_cursor=next_cursor(rows, limit))


@api.route("GET", f"{_ORG}/edge-tasks/{{task}}", need=_READ, response=wire.EdgeTaskDetail)
async def get_edge_task(request: web.Request) -> wire.EdgeTaskDetail:
    """One task of an edge host, with what became of each device."""
    return await EdgeTasks(call_of(request).scope).detail(request.match_info["task"])
