"""`farsite folders …`: the organization's tree of folders, and which edge hosts are where."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, TypeVar

import typer

from farsite_client.cli.invocation import Invocation
from farsite_client.cli.listing import Listing
from farsite_client.cloud import CloudClient
from farsite_client.edge_hosts import find_edge
from farsite_signaling.wire.cloud_api import EdgeHost, EdgeHostChange, Folder, FolderChange
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

folders = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    cls=Listing,
    help="Folders: list, create, rename, move, remove, place edge hosts.",
)
T = TypeVar("T")
Where = Annotated[str, typer.Argument(metavar="FOLDER", help="Path (Europe/Paris), name or id.")]
TOP = "/"


def paths_of(found: Sequence[Folder]) -> dict[str, str]:
    """Path by folder id."""
    by_id = {folder.id: folder for folder in found}

    def path(folder: Folder) -> str:
        parent = by_id.get(folder.parent_id or "")
        return folder.name if parent is None else f"{path(parent)}/{folder.name}"

    return {folder.id: path(folder) for folder in found}


def find_folder(found: Sequence[Folder], wanted: str) -> Folder:
    """By id, whole path or name. Raises `not_found`, or `conflict` for a name that is there several times."""
    paths = paths_of(found)
    plain = wanted.strip("/").casefold()
    for matches in (
        [folder for folder in found if folder.id == wanted],
        [folder for folder in found if paths[folder.id].casefold() == plain],
        [folder for folder in found if folder.name.casefold() == plain],
    ):
        if len(matches) == 1:
            return matches[0]
        if matches:
            several = ", ".join(sorted(paths[folder.id] for folder in matches))
            raise FarsiteError(ErrorCode.CONFLICT, f"Several folders are called {wanted!r}: {several}")
    raise FarsiteError(ErrorCode.NOT_FOUND, f"There is no folder {wanted!r}. List them: farsite folders list")


def on_cloud(invocation: Invocation, act: Callable[[CloudClient, str], Awaitable[T]]) -> T:
    """`act` gets the signed-in cloud and the organization's id."""

    async def work() -> T:
        async with invocation.cloud() as (cloud, stored):
            return await act(cloud, stored.organization_id)

    return invocation.run(work())


@folders.command("list")
def list_folders(ctx: typer.Context) -> None:
    """All folders you reach, by path."""
    invocation = Invocation(ctx)
    found = on_cloud(invocation, lambda cloud, organization: cloud.folders(organization))
    paths = paths_of(found)
    rows = sorted((paths[folder.id], folder.id) for folder in found)
    invocation.output.table(found, ("PATH", "ID"), rows, "You reach no folder.")


@folders.command("create")
def create(
    ctx: typer.Context,
    name: str,
    parent: Annotated[str | None, typer.Option("--in", help="Folder it lies in; else at the top.")] = None,
) -> None:
    """Make a folder."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> Folder:
        inside = find_folder(await cloud.folders(organization), parent).id if parent else None
        return await cloud.create_folder(organization, name, inside)

    made = on_cloud(invocation, act)
    invocation.output.result(made, f"Made {made.name} ({made.id}).")


@folders.command("rename")
def rename(ctx: typer.Context, folder: Where, name: str) -> None:
    """Give a folder another name."""
    _change(ctx, folder, lambda found: FolderChange(name=name))


@folders.command("move")
def move(
    ctx: typer.Context,
    folder: Where,
    to: Annotated[str, typer.Argument(help="Folder it shall lie in, or / for the top.")],
) -> None:
    """Move a folder with all below it."""

    def change(found: list[Folder]) -> FolderChange:
        return FolderChange(parent_id=None if to == TOP else find_folder(found, to).id)

    _change(ctx, folder, change)


def _change(ctx: typer.Context, wanted: str, change: Callable[[list[Folder]], FolderChange]) -> None:
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> tuple[Folder, str]:
        found = await cloud.folders(organization)
        folder = find_folder(found, wanted)
        changed = await cloud.change_folder(organization, folder.id, change(found))
        return changed, paths_of(await cloud.folders(organization))[changed.id]

    changed, path = on_cloud(invocation, act)
    invocation.output.result(changed, f"It is now {path}.")


@folders.command("remove")
def remove(ctx: typer.Context, folder: Where) -> None:
    """Remove an empty folder."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> Folder:
        found = find_folder(await cloud.folders(organization), folder)
        await cloud.remove_folder(organization, found.id)
        return found

    gone = on_cloud(invocation, act)
    invocation.output.result({"removed": gone.id}, f"Removed {gone.name}.")


@folders.command("place")
def place(
    ctx: typer.Context,
    edge: Annotated[str, typer.Argument(metavar="EDGE", help="Edge host: name or id.")],
    folder: Where,
) -> None:
    """Put an edge host into a folder."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> tuple[EdgeHost, Folder]:
        host = await find_edge(cloud, organization, edge)
        target = find_folder(await cloud.folders(organization), folder)
        change = EdgeHostChange(folder_id=target.id)
        return await cloud.change_edge_host(organization, host.id, change), target

    host, target = on_cloud(invocation, act)
    invocation.output.result(host, f"{host.name} is in {target.name}.")
