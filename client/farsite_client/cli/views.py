"""`farsite views …`: filters with a name, own or shared with the organization."""

from __future__ import annotations

from typing import Annotated

import typer

from farsite_client.cli.device_filters import ViewFilters, find_view, resolved
from farsite_client.cli.folders import on_cloud
from farsite_client.cli.inventory_columns import named_columns
from farsite_client.cli.invocation import Invocation
from farsite_client.cli.listing import Listing
from farsite_client.cli.spread import spread
from farsite_client.cloud import CloudClient
from farsite_signaling.wire.inventory_api import DeviceSort, View, ViewChange, ViewRequest

views = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    cls=Listing,
    help="Saved views: list, save, share, remove. Use one with: farsite inventory devices --view NAME",
)
One = Annotated[str, typer.Argument(metavar="VIEW", help="Name or id.")]


@views.command("list")
def list_(ctx: typer.Context) -> None:
    """Own views, and those shared with the organization."""
    invocation = Invocation(ctx)
    found = on_cloud(invocation, lambda cloud, organization: cloud.views(organization))
    rows = [_row(view) for view in found]
    invocation.output.table(found, ("NAME", "OF", "SHARED", "BY", "FILTER", "ID"), rows, "No views yet.")


def _row(view: View) -> tuple[object, ...]:
    query = " ".join(f"{name}={value}" for name, value in view.query.items())
    return view.name, view.kind, "yes" if view.shared else "no", view.created_by, query, view.id


@views.command("save")
@spread
def save(
    ctx: typer.Context,
    name: str,
    shared: Annotated[bool, typer.Option("--shared", help="For the whole organization.")] = False,
    columns: Annotated[str | None, typer.Option("--columns", help="Names with commas between them.")] = None,
    sort: Annotated[DeviceSort, typer.Option("--sort", help="Order.")] = DeviceSort.NAME,
    *,
    filters: ViewFilters,
) -> None:
    """Keep a filter of devices with a name."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> View:
        query = await resolved(cloud, organization, filters) | {"sort": sort.value}
        return await cloud.create_view(
            organization, ViewRequest(name=name, query=query, columns=named_columns(columns), shared=shared)
        )

    made = on_cloud(invocation, act)
    invocation.output.result(made, f"Saved {made.name} ({made.id}).")


@views.command("share")
def share(
    ctx: typer.Context,
    view: One,
    off: Annotated[bool, typer.Option("--off", help="For yourself alone again.")] = False,
) -> None:
    """Share a view with the organization."""
    _change(ctx, view, ViewChange(shared=not off))


@views.command("rename")
def rename(ctx: typer.Context, view: One, name: str) -> None:
    """Give a view another name."""
    _change(ctx, view, ViewChange(name=name))


def _change(ctx: typer.Context, wanted: str, change: ViewChange) -> None:
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> View:
        return await cloud.change_view(organization, (await _find(cloud, organization, wanted)).id, change)

    changed = on_cloud(invocation, act)
    invocation.output.result(changed, f"{changed.name}: {'shared' if changed.shared else 'your own'}.")


@views.command("remove")
def remove(ctx: typer.Context, view: One) -> None:
    """Remove a view."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> View:
        found = await _find(cloud, organization, view)
        await cloud.remove_view(organization, found.id)
        return found

    gone = on_cloud(invocation, act)
    invocation.output.result({"removed": gone.id}, f"Removed {gone.name}.")


async def _find(cloud: CloudClient, organization: str, wanted: str) -> View:
    found = await cloud.views(organization)
    kinds = [view for view in found if wanted in (view.id, view.name)]
    return find_view(found, wanted, kinds[0].kind if kinds else "devices")
