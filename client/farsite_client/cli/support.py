"""`farsite support …`: let somebody in for a limited time."""

from __future__ import annotations

from typing import Annotated

import typer

from farsite_client.cli.choosing import end_of, folder_ids
from farsite_client.cli.entering import named
from farsite_client.cli.folders import on_cloud, paths_of
from farsite_client.cli.invocation import Invocation
from farsite_client.cli.listing import Listing
from farsite_client.cli.users import reach_text
from farsite_client.cloud import CloudClient
from farsite_signaling.wire.access_api import SupportAccess, SupportRequest
from farsite_signaling.wire.cloud_api import Folder, Organization
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import Role

support = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    cls=Listing,
    help="Support access: let somebody in for a limited time, list, move its end, end it.",
)
Who = Annotated[str, typer.Argument(metavar="WHO", help="E-mail address, or id of the access.")]
Until = Annotated[str, typer.Option("--for", metavar="TIME", help="90m, 8h, 3d, or a moment.")]


@support.command("list")
def list_support(
    ctx: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Also what has ended.")] = False,
) -> None:
    """Who is let in, as what, and until when."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> tuple[list[SupportAccess], list[Folder]]:
        found = [one async for one in cloud.support_accesses(organization) if everything or one.active]
        return found, await cloud.folders(organization)

    found, folders = on_cloud(invocation, act)
    paths = paths_of(folders)
    rows = [
        (
            one.email,
            one.role,
            reach_text(one.role, one.folder_ids, paths),
            f"{one.until:%Y-%m-%d %H:%M}",
            _state(one),
            one.granted_by,
            one.id,
        )
        for one in found
    ]
    columns = ("WHO", "ROLE", "FOLDERS", "UNTIL (UTC)", "STATE", "GRANTED BY", "ID")
    invocation.output.table(found, columns, rows, "Nobody.")


def _state(access: SupportAccess) -> str:
    if access.active:
        return "active"
    return f"ended by {access.ended_by}" if access.ended_by else "expired"


@support.command("grant")
def grant(
    ctx: typer.Context,
    email: Annotated[str, typer.Argument(help="The account's e-mail address.")],
    until: Until,
    role: Annotated[Role, typer.Option(help="What they may do.")] = Role.VIEWER,
    folder: Annotated[
        list[str] | None, typer.Option("--folder", help="Operators and viewers: folder they reach.")
    ] = None,
    all_folders: Annotated[bool, typer.Option("--all-folders", help="Every folder.")] = False,
    reason: Annotated[str, typer.Option(help="Shown to them, and kept.")] = "",
) -> None:
    """Let an address in until a time. It ends by itself, with all that is live."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> SupportAccess:
        request = SupportRequest(
            email=email,
            role=role,
            folder_ids=await folder_ids(cloud, organization, folder),
            all_folders=all_folders,
            until=end_of(until),
            reason=reason,
        )
        return await cloud.grant_support(organization, request)

    made = on_cloud(invocation, act)
    invocation.output.result(
        made, f"{made.email} is let in as {made.role} until {made.until:%Y-%m-%d %H:%M} UTC."
    )


@support.command("extend")
def extend(ctx: typer.Context, who: Who, until: Until) -> None:
    """Let it end later, or earlier, than it would."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> SupportAccess:
        found = await _find(cloud, organization, who)
        return await cloud.move_support_end(organization, found.id, end_of(until))

    moved = on_cloud(invocation, act)
    invocation.output.result(moved, f"{moved.email} is let in until {moved.until:%Y-%m-%d %H:%M} UTC.")


@support.command("end")
def end(ctx: typer.Context, who: Who) -> None:
    """End it now; sessions and tunnels are cut within seconds."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> SupportAccess:
        found = await _find(cloud, organization, who)
        await cloud.end_support(organization, found.id)
        return found

    gone = on_cloud(invocation, act)
    invocation.output.result({"ended": gone.id, "email": gone.email}, f"{gone.email} is let in no longer.")


@support.command("leave")
def leave(ctx: typer.Context, organization: Annotated[str, typer.Argument(help="Name or id.")]) -> None:
    """Give up the support access that you have to an organization, before it ends by itself."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, current: str) -> Organization:
        found = named(await cloud.organizations(), organization)
        await cloud.give_up_support(found.id)
        return found

    left = on_cloud(invocation, act)
    invocation.output.result({"left": left.id, "name": left.name}, f"{left.name} lets you in no longer.")


async def _find(cloud: CloudClient, organization: str, wanted: str) -> SupportAccess:
    """Raises `not_found`."""
    async for access in cloud.support_accesses(organization):
        if access.id == wanted or (access.active and access.email == wanted.casefold()):
            return access
    raise FarsiteError(
        ErrorCode.NOT_FOUND, f"{wanted!r} has no support access. List them: farsite support list --all"
    )
