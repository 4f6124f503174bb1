"""`farsite inventory …`: devices of all sites, counted, exported, tagged; AXIS OS by model; tasks of edge hosts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from farsite_client.cli.device_filters import Filters, Folder, Site, resolved
from farsite_client.cli.folders import on_cloud
from farsite_client.cli.inventory_columns import cells, named_columns, shown, titles
from farsite_client.cli.invocation import Invocation
from farsite_client.cli.listing import listing
from farsite_client.cli.output import ago, counted
from farsite_client.cli.spread import spread
from farsite_client.cloud import CloudClient
from farsite_client.edge_hosts import find_edge
from farsite_signaling.wire.inventory_api import (
    DeviceCounts,
    DeviceSort,
    EdgeTask,
    EdgeTaskDetail,
    InventoryDevice,
    OsOverview,
    OsOverviewRow,
    TagChange,
)

inventory = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    cls=listing("devices"),
    help="Devices of all sites: list, count, export, tag; AXIS OS by model; tasks of edge hosts.",
)
Adding = Annotated[list[str] | None, typer.Option("--add", help="Tag to put on (again for more).")]
Columns = Annotated[
    str | None, typer.Option("--columns", help="Names with commas between them, as the export has them.")
]
COLUMNS = ("SERIAL", "NAME", "EDGE HOST", "STATE", "ADDRESS", "MODEL", "VERSION", "UPDATE", "TAGS")
Removing = Annotated[list[str] | None, typer.Option("--remove", help="Tag to take off.")]


@inventory.command("devices")
@spread
def devices(
    ctx: typer.Context,
    sort: Annotated[DeviceSort | None, typer.Option("--sort", help="Order.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 1000,
    columns: Columns = None,
    *,
    filters: Filters,
) -> None:
    """Managed devices of all edge hosts, filtered and sorted."""
    invocation = Invocation(ctx)
    names = named_columns(columns)

    async def act(cloud: CloudClient, organization: str) -> list[InventoryDevice]:
        query = await resolved(cloud, organization, filters)
        names[:] = names or named_columns(query.pop("columns", None))
        query.pop("columns", None)
        order = sort.value if sort is not None else query.pop("sort", "name")
        found: list[InventoryDevice] = []
        async for device in cloud.devices(organization, sort=order, page_size=min(limit, 500), **query):
            found.append(device)
            if len(found) == limit:
                break
        return found

    found = on_cloud(invocation, act)
    rows = [cells(device, names) if names else _device_row(device) for device in found]
    invocation.output.table(found, titles(names) or COLUMNS, rows, "No such devices.")
    if len(found) == limit:
        invocation.output.note(f"The first {limit}; more with --limit, all with: farsite inventory export")


def _device_row(device: InventoryDevice) -> tuple[object, ...]:
    state = device.state if device.edge_online else f"{device.state} (edge host offline)"
    update = device.recommended if device.update_available else ""
    model, tags = device.model or device.product, ", ".join(device.tags)
    name = "" if device.name == device.serial else device.name
    address, edge = device.address, device.edge_host
    return device.serial, name, edge, state, address, model, device.version, update, tags


@inventory.command("os")
def os_(ctx: typer.Context, folder: Folder = None, site: Site = None) -> None:
    """AXIS OS versions by model, with track, end of support and what is recommended."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> OsOverview:
        chosen = await resolved(cloud, organization, Filters(folder=folder, site=site))
        return await cloud.os_overview(
            organization, folder=chosen.get("folder"), edge_host=chosen.get("edge_host")
        )

    found = on_cloud(invocation, act)
    columns = ("MODEL", "DEVICES", "VERSIONS", "TRACK", "SUPPORT ENDS", "RECOMMENDED", "STATE")
    rows = [_os_row(row) for row in found.rows]
    invocation.output.table(found, columns, rows, "No devices yet.")


def _os_row(row: OsOverviewRow) -> tuple[object, ...]:
    versions = ", ".join(f"{one.version or 'unknown'} ({one.count})" for one in row.versions)
    recommended = f"{row.recommended} (other major)" if row.crosses_major else row.recommended
    end = row.support_end
    if row.catalogue is not None and row.catalogue.software_support_end is not None:
        end = min(filter(None, (end, row.catalogue.software_support_end)))
    return row.model, row.devices, versions, row.track, end, recommended, row.state


@inventory.command("counts")
@spread
def counts(
    ctx: typer.Context,
    *,
    filters: Filters,
) -> None:
    """How many devices there are, by model, version, state and more."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> tuple[DeviceCounts, dict[str, str]]:
        chosen = await resolved(cloud, organization, filters)
        chosen.pop("sort", None)
        found = await cloud.device_counts(organization, **chosen)
        names = {edge.id: edge.name async for edge in cloud.edge_hosts(organization)}
        return found, names

    found, names = on_cloud(invocation, act)
    rows = _count_rows(found, names)
    invocation.output.table(found, ("WHAT", "VALUE", "DEVICES"), rows, "No devices.")


def _count_rows(found: DeviceCounts, names: dict[str, str]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = [("all", "", found.total)]
    rows += [("support ended", "", found.support_ended), ("update available", "", found.update_available)]
    for what in ("state", "model", "device_type", "version", "edge_host", "tag"):
        for facet in getattr(found, what):
            rows.append((what.replace("_", " "), names.get(facet.value, facet.value), facet.count))
    return rows


@inventory.command("export")
@spread
def export(
    ctx: typer.Context,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File; else standard output.")] = None,
    format_: Annotated[Literal["csv", "json"], typer.Option("--format", help="csv or json.")] = "csv",
    columns: Columns = None,
    *,
    filters: Filters,
) -> None:
    """All devices of all sites as a file, or those a filter leaves."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> int:
        chosen = await resolved(cloud, organization, filters)
        of_view = chosen.pop("columns", None)
        names = named_columns(columns or of_view)
        parts = cloud.export_devices(organization, format=format_, columns=names, **chosen)
        return await _write(parts, output)

    size = on_cloud(invocation, act)
    if output is not None:
        invocation.output.result({"file": str(output), "bytes": size}, f"{output}: {size} bytes")


async def _write(parts: Any, output: Path | None) -> int:
    """A file takes its name only when it is whole."""
    size = 0
    if output is None:
        async for part in parts:
            size += sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()
        return size
    unfinished = output.with_name(f"{output.name}.part")
    with unfinished.open("wb") as file:
        async for part in parts:
            size += file.write(part)
    unfinished.replace(output)
    return size


@inventory.command("device")
def device(
    ctx: typer.Context,
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="Serial number or id.")],
) -> None:
    """One device as its edge host last told it."""
    invocation = Invocation(ctx)
    found = on_cloud(invocation, lambda cloud, organization: cloud.device(organization, device))
    values = found.model_dump(mode="json", exclude_none=True)
    values |= {f"catalogue {name}": value for name, value in values.pop("catalogue", {}).items()}
    rows = [
        (name.replace("_", " "), shown(value)) for name, value in values.items() if value not in ("", [], {})
    ]
    invocation.output.table(found, ("WHAT", "VALUE"), rows, "")


@inventory.command("tags")
def tags(ctx: typer.Context) -> None:
    """All tags in use."""
    invocation = Invocation(ctx)
    found = on_cloud(invocation, lambda cloud, organization: cloud.tags(organization))
    rows = [(one.tag, one.devices, one.edge_hosts) for one in found]
    invocation.output.table(found, ("TAG", "DEVICES", "EDGE HOSTS"), rows, "No tags yet.")


@inventory.command("tag")
def tag(
    ctx: typer.Context,
    devices: Annotated[list[str], typer.Argument(metavar="DEVICE...", help="Serial numbers or ids.")],
    add: Adding = None,
    remove: Removing = None,
) -> None:
    """Put tags on devices, and take some off: on all of them, or on none."""
    invocation = Invocation(ctx)
    change = TagChange(add=add or [], remove=remove or [])

    async def act(cloud: CloudClient, organization: str) -> int:
        ids = [(await cloud.device(organization, one)).id for one in devices]
        return await cloud.tag_devices(organization, ids, change)

    changed = on_cloud(invocation, act)
    invocation.output.result({"changed": changed}, f"{counted(changed, 'device')} changed.")


@inventory.command("tasks")
def tasks(
    ctx: typer.Context,
    site: Site = None,
    limit: Annotated[int, typer.Option(min=1, max=10000, help="How many, newest first.")] = 50,
) -> None:
    """Tasks of edge hosts, as they last told them."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> list[EdgeTask]:
        filters = {} if site is None else {"edge_host": (await find_edge(cloud, organization, site)).id}
        found: list[EdgeTask] = []
        async for task in cloud.edge_tasks(organization, page_size=min(limit, 100), **filters):
            found.append(task)
            if len(found) == limit:
                break
        return found

    found = on_cloud(invocation, act)
    columns = ("ID", "EDGE HOST", "TASK", "STATE", "DONE", "FAILED", "STARTED", "DETAIL")
    invocation.output.table(found, columns, [_task_row(task) for task in found], "No tasks yet.")


def _task_row(task: EdgeTask) -> tuple[object, ...]:
    done = f"{task.counts.succeeded}/{task.counts.total}"
    started = ago(task.started_at) if task.started_at else "-"
    return task.id, task.edge_host, task.title, task.state, done, task.counts.failed, started, task.detail


@inventory.command("task")
def task(ctx: typer.Context, task: Annotated[str, typer.Argument(help="Its id in the cloud.")]) -> None:
    """What a task of an edge host did with each device."""
    invocation = Invocation(ctx)
    found: EdgeTaskDetail = on_cloud(
        invocation, lambda cloud, organization: cloud.edge_task(organization, task)
    )
    invocation.output.line(f"{found.title} on {found.edge_host}: {found.state} {found.detail}".rstrip())
    rows = [(one.device, one.state, one.step, one.detail, one.code) for one in found.devices]
    invocation.output.table(found, ("DEVICE", "STATE", "STEP", "DETAIL", "CODE"), rows, "It has no devices.")
