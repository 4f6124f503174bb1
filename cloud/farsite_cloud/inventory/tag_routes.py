"""Tags of devices and edge hosts: read, put on, taken off, one or many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from aiohttp import web

from farsite_cloud.api.call import Call, call_of
from farsite_cloud.edge_hosts.service import EdgeHosts, edge_name
from farsite_cloud.inventory import tagging
from farsite_cloud.inventory.counting import Changes
from farsite_cloud.inventory.devices import Devices
from farsite_cloud.inventory.grouped import by_tag
from farsite_cloud.inventory.models import ManagedDevice
from farsite_cloud.inventory.selection import reached_edges
from farsite_cloud.inventory.tagging import Thing
from farsite_signaling.rest import Api
from farsite_signaling.wire import inventory_api as wire
from farsite_signaling.wire.ids import EdgeId, EdgeName, OrgId
from farsite_signaling.wire.rights import Right

api = Api()
_ORG = "/organizations/{org}"


@api.route("GET", f"{_ORG}/tags", need=Right.DEVICE_READ, response=wire.TagCounts)
async def list_tags(request: web.Request) -> wire.TagCounts:
    """All tags in use, and on how many devices and edge hosts they are."""
    scope = call_of(request).scope
    edges = await reached_edges(scope, None, None)
    devices = await by_tag(scope, edges)
    reached = [edge.id for edge in await EdgeHosts(scope).within(None, None)]
    hosts = Counter(tag for tags in (await tagging.tags_of(scope, reached)).values() for tag in tags)
    names = sorted(set(devices) | set(hosts))
    return wire.TagCounts(
        tags=[wire.TagCount(tag=tag, devices=devices[tag], edge_hosts=hosts[tag]) for tag in names]
    )


@api.route(
    "PATCH",
    f"{_ORG}/devices/{{device}}/tags",
    need=Right.DEVICE_MANAGE,
    request=wire.TagChange,
    response=wire.TagNames,
)
async def change_device_tags(request: web.Request, body: wire.TagChange) -> wire.TagNames:
    """Put tags on a device, and take some off."""
    call = call_of(request)
    with call.act("device.tagged", request.match_info["device"]) as act:
        device = await Devices(call.scope).get(request.match_info["device"])
        act.target = device.serial
        act.details |= body.model_dump()
        await _change_devices(call, [device], body)
    return wire.TagNames(tags=(await tagging.tags_of(call.scope, [device.id])).get(device.id, []))


@api.route(
    "POST",
    f"{_ORG}/devices/tags",
    need=Right.DEVICE_MANAGE,
    request=wire.TagsRequest,
    response=wire.TagsResult,
)
async def change_many_tags(request: web.Request, body: wire.TagsRequest) -> wire.TagsResult:
    """Put tags on many devices, and take some off: on all of them, or on none."""
    call = call_of(request)
    with call.act("device.tagged", f"{len(body.devices)} devices") as act:
        act.details |= body.model_dump()
        devices = await Devices(call.scope).some(body.devices)
        return wire.TagsResult(changed=await _change_devices(call, devices, body))


@api.route(
    "PATCH",
    f"{_ORG}/edge-hosts/{{edge}}/tags",
    need=Right.EDGE_MANAGE,
    request=wire.TagChange,
    response=wire.TagNames,
)
async def change_edge_tags(request: web.Request, body: wire.TagChange) -> wire.TagNames:
    """Put tags on an edge host, and take some off."""
    call = call_of(request)
    with call.act("edge_host.tagged", request.match_info["edge"]) as act:
        edge = await EdgeHosts(call.scope).get(request.match_info["edge"])
        act.target = str(edge_name(edge))
        act.details |= body.model_dump()
        await _change(call, [Thing(edge.id, edge.id)], body)
    return wire.TagNames(tags=(await tagging.tags_of(call.scope, [edge.id])).get(edge.id, []))


async def _change_devices(call: Call, devices: Sequence[ManagedDevice], body: wire.TagChange) -> int:
    things = [Thing(device.id, device.edge_host_id, device.serial) for device in devices]
    return await _change(call, things, body, devices)


async def _change(
    call: Call, things: Sequence[Thing], body: wire.TagChange, devices: Sequence[ManagedDevice] = ()
) -> int:
    """How many of them changed."""
    scope, changes = call.scope, Changes()
    known = await tagging.marks_of(scope, [thing.id for thing in things])
    changed = [thing for thing in things if tagging.change(scope, thing, body, known, changes, call.now)]
    tagging.show(devices, known)
    await scope.session.flush()
    await changes.write(scope)
    for edge_id in sorted({thing.edge_host_id for thing in changed}):
        await _tell(call, edge_id)
    return len(changed)


async def _tell(call: Call, edge_id: str) -> None:
    """At once when it is connected; else when it is the next time."""
    message = await tagging.pending(call.scope, edge_id)
    if message is not None:
        urn = str(EdgeName(OrgId(call.organization.id), EdgeId(edge_id)))
        peers = call.services.peers
        call.later(lambda: peers.notify(urn, message))
