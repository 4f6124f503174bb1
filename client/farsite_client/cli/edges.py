"""`farsite edges …`: the organization's edge hosts; listed, renamed, tagged, removed."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, TypeVar

import typer

from farsite_client.cli.edge_recovery import add_recovery
from farsite_client.cli.folders import find_folder, on_cloud
from farsite_client.cli.inventory_columns import shown
from farsite_client.cli.invocation import Invocation
from farsite_client.cli.listing import Listing
from farsite_client.cli.output import ago
from farsite_client.cli.risks import Risk, confirm_risk
from farsite_client.cloud import CloudClient
from farsite_client.edge_hosts import find_edge
from farsite_signaling.wire.cloud_api import EdgeHost, EdgeHostChange
from farsite_signaling.wire.inventory_api import EdgeSort, TagChange

edges = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    cls=Listing,
    help="Edge hosts: list, rename, describe, tag, remove, reclaim.",
)
add_recovery(edges)
T = TypeVar("T")
One = Annotated[str, typer.Argument(metavar="EDGE", help="Name or id of the edge host.")]
_URN = re.compile(r"urn:farsite:[\w.-]+:(edge|user):([\w.-]+)(?::device:[\w.-]+)?")


@edges.command("list")
def list_(
    ctx: typer.Context,
    search: Annotated[
        str | None, typer.Option("--search", help="Text in name, description, host name.")
    ] = None,
    folder: Annotated[str | None, typer.Option("--folder", help="Folder, with those below it.")] = None,
    online: Annotated[bool | None, typer.Option("--online/--offline", help="Only these.")] = None,
    version: Annotated[
        str | None, typer.Option("--edge-version", help="Version of Farsite they run.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="Tag they have (again for more).")] = None,
    sort: Annotated[EdgeSort, typer.Option("--sort", help="Order.")] = EdgeSort.NAME,
) -> None:
    """The organization's edge hosts, filtered and sorted."""
    given = {"q": search, "folder": folder, "version": version, "tag": ",".join(tag or []) or None}
    filters = {name: value for name, value in given.items() if value is not None} | {"sort": sort.value}
    if online is not None:
        filters["online"] = str(online).lower()
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> list[EdgeHost]:
        if "folder" in filters:
            found = find_folder(await cloud.folders(organization), filters["folder"])
            filters["folder"] = found.id
        return [edge async for edge in cloud.find_edge_hosts(organization, page_size=100, **filters)]

    found = on_cloud(invocation, act)
    invocation.output.table(
        found,
        ("NAME", "ONLINE", "REMOTE ACCESS", "PATH", "VERSION", "DEVICES", "TAGS", "LAST SEEN", "ID"),
        [_row(edge) for edge in found],
        "None. Claim one with: farsite claim --name NAME",
    )


@edges.command("show")
def show(ctx: typer.Context, edge: One) -> None:
    """One edge host."""
    invocation = Invocation(ctx)
    found = on_cloud(invocation, lambda cloud, organization: find_edge(cloud, organization, edge))
    values = found.model_dump(mode="json", exclude_none=True, exclude={"etag"})
    rows = [(name.replace("_", " "), shown(value)) for name, value in values.items() if value not in ("", [])]
    invocation.output.table(found, ("WHAT", "VALUE"), rows, "")


@edges.command("rename")
def rename(ctx: typer.Context, edge: One, name: str) -> None:
    """Give an edge host another name in the cloud."""
    _change(ctx, edge, EdgeHostChange(name=name))


@edges.command("describe")
def describe(ctx: typer.Context, edge: One, description: str) -> None:
    """Say what an edge host is for."""
    _change(ctx, edge, EdgeHostChange(description=description))


def _change(ctx: typer.Context, edge: str, change: EdgeHostChange) -> None:
    invocation = Invocation(ctx)
    act = _with_edge(edge, lambda cloud, org, host: cloud.change_edge_host(org, host.id, change))
    changed = on_cloud(invocation, act)
    invocation.output.result(changed, f"{changed.name}: {changed.description or 'no description'}")


@edges.command("tag")
def tag(
    ctx: typer.Context,
    edge: One,
    add: Annotated[list[str] | None, typer.Option("--add", help="Tag to put on (again for more).")] = None,
    remove: Annotated[list[str] | None, typer.Option("--remove", help="Tag to take off.")] = None,
) -> None:
    """Put tags on an edge host, and take some off."""
    invocation = Invocation(ctx)
    change = TagChange(add=add or [], remove=remove or [])
    tags = on_cloud(
        invocation, _with_edge(edge, lambda cloud, org, host: cloud.tag_edge_host(org, host.id, change))
    )
    invocation.output.result({"tags": tags}, f"Tags: {', '.join(tags) or 'none'}")


@edges.command("remove")
def remove(ctx: typer.Context, edge: One, aware: Risk = False) -> None:
    """Remove an edge host that has no devices any more; its certificate and every session with it end."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str, host: EdgeHost) -> str:
        shown = await cloud.edge_host(organization, host.id)
        confirm_risk(f"Remove {shown.name}? To come back it is claimed anew.", aware)
        await cloud.remove_edge_host(organization, host.id, risk_confirmed=True)
        return host.id

    gone = on_cloud(invocation, _with_edge(edge, act))
    invocation.output.result({"removed": gone}, f"Removed {edge}.")


@edges.command("forget-devices")
def forget_devices(ctx: typer.Context, edge: One, aware: Risk = False) -> None:
    """Forget the devices of an edge host that is gone for good, so that it can be removed."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str, host: EdgeHost) -> str:
        shown = await cloud.edge_host(organization, host.id)
        confirm_risk(f"Forget what {shown.name} told of its devices?", aware)
        await cloud.forget_devices(organization, host.id, risk_confirmed=True)
        return host.id

    gone = on_cloud(invocation, _with_edge(edge, act))
    invocation.output.result({"forgotten": gone}, f"The devices of {edge} are forgotten.")


def _with_edge(
    wanted: str, act: Callable[[CloudClient, str, EdgeHost], Awaitable[T]]
) -> Callable[[CloudClient, str], Awaitable[T]]:
    async def work(cloud: CloudClient, organization: str) -> T:
        return await act(cloud, organization, await find_edge(cloud, organization, wanted))

    return work


def _row(edge: EdgeHost) -> tuple[object, ...]:
    access = {None: "unknown", True: "on", False: "off"}[edge.remote_access]
    devices = f"{edge.devices_managed} (+{edge.devices_discovered} discovered)"
    seen = "now" if edge.online else ago(edge.last_seen)
    online, tags = "yes" if edge.online else "no", ", ".join(edge.tags)
    return edge.name, online, access, edge.path, edge.version, devices, tags, seen, edge.id


def readable(text: str, names: Mapping[str, str]) -> str:
    """Names in place of the long ones that certificates carry; `--json` has these."""
    match = _URN.fullmatch(text)
    kind, id = match.groups() if match else ("", text.removeprefix("edge "))
    if id in names:
        return names[id]
    return f"{kind} {id}" if match else text
