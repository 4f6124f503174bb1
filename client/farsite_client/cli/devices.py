"""`farsite devices`, `farsite discover`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from farsite_client.cli.device_filters import (
    Filters,
    Folder,
    Model,
    Search,
    State,
    SupportEnded,
    Tag,
    Type,
    UpdateAvailable,
    Version,
    View,
    resolved,
)
from farsite_client.cli.folders import on_cloud
from farsite_client.cli.invocation import Invocation
from farsite_client.cli.reach import Lan, reach
from farsite_client.cloud import CloudClient
from farsite_signaling.wire.edge_api import Device, DiscoverResult
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.inventory_api import DeviceSort, InventoryDevice

devices = typer.Typer(add_completion=False, rich_markup_mode=None)
discover = typer.Typer(add_completion=False, rich_markup_mode=None)
Edge = Annotated[str, typer.Argument(metavar="EDGE", help="Name or id of the edge host.")]

COLUMNS = ("ID", "STATE", "ADDRESS", "MODEL", "VERSION", "FOUND BY", "LAST ERROR")


def device_row(device: Device) -> Sequence[object]:
    port = "" if device.http_port == 80 else f":{device.http_port}"
    return (
        device.id,
        device.state,
        device.address + port,
        device.model or device.product,
        device.version,
        ", ".join(device.found_by),
        device.last_error,
    )


@devices.command("devices")
def devices_command(
    ctx: typer.Context,
    edge: Annotated[str | None, typer.Argument(metavar="EDGE", help="Name or id of the edge host.")] = None,
    discovered: Annotated[bool, typer.Option("--discovered", help="Only those not managed yet.")] = False,
    managed: Annotated[bool, typer.Option("--managed", help="Only managed ones.")] = False,
    lan: Lan = None,
    all_sites: Annotated[
        bool, typer.Option("--all-sites", help="Managed ones of all edge hosts, as the cloud knows them.")
    ] = False,
    search: Search = None,
    folder: Folder = None,
    model: Model = None,
    type_: Type = None,
    version: Version = None,
    state: State = None,
    tag: Tag = None,
    support_ended: SupportEnded = None,
    update_available: UpdateAvailable = None,
    view: View = None,
    sort: Annotated[DeviceSort | None, typer.Option("--sort", help="Order of --all-sites.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many of --all-sites at most.")] = 1000,
) -> None:
    """Devices an edge host knows; with --all-sites those of the whole organization, filtered and sorted."""
    invocation = Invocation(ctx)
    filters = Filters(
        search, None, folder, model, type_, version, state, tag, support_ended, update_available, view
    )
    if all_sites:
        _show_all_sites(invocation, edge, filters, sort, limit)
        return
    if edge is None or filters != Filters() or sort is not None:
        raise FarsiteError(
            ErrorCode.INVALID_REQUEST,
            "Name an edge host (farsite devices EDGE), or filter all of them: farsite devices --all-sites …",
        )
    wanted = None if discovered == managed else managed
    found = invocation.run(_devices(invocation, edge, wanted, lan))
    invocation.output.table(
        found,
        COLUMNS,
        [device_row(device) for device in found],
        f"None. Let the edge host look: farsite discover {edge}",
    )


def _show_all_sites(
    invocation: Invocation, edge: str | None, filters: Filters, sort: DeviceSort | None, limit: int
) -> None:
    filters.site = edge

    async def act(cloud: CloudClient, organization: str) -> list[InventoryDevice]:
        query = await resolved(cloud, organization, filters)
        query.pop("columns", None)
        if sort is not None:
            query["sort"] = sort.value
        found: list[InventoryDevice] = []
        async for device in cloud.devices(organization, page_size=min(limit, 500), **query):
            found.append(device)
            if len(found) == limit:
                break
        return found

    found = on_cloud(invocation, act)
    columns = ("SERIAL", "NAME", "EDGE HOST", "STATE", "ADDRESS", "MODEL", "VERSION", "UPDATE", "TAGS")
    rows = [_site_row(device) for device in found]
    invocation.output.table(found, columns, rows, "No such devices.")
    if len(found) == limit:
        invocation.output.note(f"The first {limit}; more with --limit, all with: farsite inventory export")


def _site_row(device: InventoryDevice) -> Sequence[object]:
    state = device.state if device.edge_online else f"{device.state} (edge host offline)"
    update = device.recommended if device.update_available else ""
    model, tags = device.model or device.product, ", ".join(device.tags)
    name = "" if device.name == device.serial else device.name
    address, edge = device.address, device.edge_host
    return device.serial, name, edge, state, address, model, device.version, update, tags


async def _devices(invocation: Invocation, edge: str, managed: bool | None, lan: str | None) -> list[Device]:
    async with reach(invocation, edge, lan) as client:
        return await client.devices(managed=managed)


@discover.command("discover")
def discover_command(
    ctx: typer.Context,
    edge: Edge,
    targets: Annotated[
        list[str] | None,
        typer.Argument(help="Addresses, ranges (10.0.0.1-10.0.0.9) or subnets to probe over HTTP too."),
    ] = None,
    multicast: Annotated[bool, typer.Option(help="Ask by mDNS, SSDP and WS-Discovery.")] = True,
    port: Annotated[list[int] | None, typer.Option(help="HTTP ports to probe.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, max=60, help="Seconds.")] = 3.0,
    lan: Lan = None,
) -> None:
    """Let an edge host look for devices."""
    invocation = Invocation(ctx)
    work = _discover(invocation, edge, targets or [], multicast, port or [], timeout, lan)
    result = invocation.run(work)
    invocation.output.table(
        result, COLUMNS, [device_row(device) for device in result.devices], "No devices found."
    )
    for problem in result.problems:
        invocation.output.note(f"warning: {problem}")


async def _discover(
    invocation: Invocation,
    edge: str,
    targets: list[str],
    multicast: bool,
    ports: list[int],
    timeout: float,
    lan: str | None,
) -> DiscoverResult:
    async with reach(invocation, edge, lan) as client:
        return await client.discover(targets, multicast=multicast, ports=ports, timeout=timeout)
