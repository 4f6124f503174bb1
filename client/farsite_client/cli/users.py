"""`farsite users …`: who is in the organization, as what, and how far they reach."""

from __future__ import annotations

from typing import Annotated

import typer

from farsite_client.cli.folders import find_folder, on_cloud, paths_of
from farsite_client.cli.invocation import Invocation
from farsite_client.cli.listing import Listing
from farsite_client.cloud import CloudClient
from farsite_signaling.wire.cloud_api import Folder
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.people_api import Member, MemberChange
from farsite_signaling.wire.rights import EVERY_FOLDER, Role

users = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    cls=Listing,
    help="Users: list, change role and folders, remove, hand over.",
)
Who = Annotated[str, typer.Argument(metavar="USER", help="E-mail address or account id.")]
Chosen = Annotated[
    list[str] | None,
    typer.Option("--folder", help="Operators and viewers: folder they reach (again for more)."),
]
All = Annotated[bool, typer.Option("--all-folders", help="Operators and viewers: every folder.")]


async def find_user(cloud: CloudClient, organization: str, wanted: str) -> Member:
    """Raises `not_found`."""
    async for user in cloud.users(organization):
        if wanted == user.account_id or wanted.casefold() == user.email:
            return user
    raise FarsiteError(ErrorCode.NOT_FOUND, f"There is no user {wanted!r}. List them: farsite users list")


def reach_text(role: Role, ids: list[str] | None, paths: dict[str, str]) -> str:
    if role in EVERY_FOLDER or ids is None:
        return "all"
    return ", ".join(sorted(paths.get(one, one) for one in ids)) or "none"


@users.command("list")
def list_users(
    ctx: typer.Context,
    search: Annotated[str | None, typer.Option("--search", help="Text in address or name.")] = None,
    role: Annotated[Role | None, typer.Option("--role", help="Only those in this role.")] = None,
) -> None:
    """Users, their roles, and the folders they reach."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> tuple[list[Member], list[Folder]]:
        found = [user async for user in cloud.users(organization, text=search, role=role)]
        return found, await cloud.folders(organization)

    found, folders = on_cloud(invocation, act)
    paths = paths_of(folders)
    factor = {None: "", True: "on", False: "off"}
    rows = [
        (user.email, user.name, user.role, reach_text(user.role, user.folder_ids, paths), factor[user.mfa])
        for user in found
    ]
    invocation.output.table(found, ("USER", "NAME", "ROLE", "FOLDERS", "SECOND FACTOR"), rows, "None.")


@users.command("role")
def change_role(
    ctx: typer.Context, user: Who, role: Role, folder: Chosen = None, all_folders: All = False
) -> None:
    """Change a user's role, at once. From owner or admin to operator or viewer: say which folders."""
    _change(ctx, user, role, folder, all_folders)


@users.command("folders")
def change_folders(ctx: typer.Context, user: Who, folder: Chosen = None, all_folders: All = False) -> None:
    """Change which folders an operator or viewer reaches, at once."""
    if not folder and not all_folders:
        raise FarsiteError(ErrorCode.INVALID_REQUEST, "Say which: --folder FOLDER, or --all-folders.")
    _change(ctx, user, None, folder, all_folders)


def _change(
    ctx: typer.Context, wanted: str, role: Role | None, chosen: list[str] | None, every: bool
) -> None:
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> Member:
        user = await find_user(cloud, organization, wanted)
        user = await cloud.user(organization, user.account_id)
        found = await cloud.folders(organization) if chosen else []
        body = MemberChange(
            role=role,
            folder_ids=[find_folder(found, one).id for one in chosen] if chosen else None,
            all_folders=True if every else None,
        )
        return await cloud.change_user(organization, user.account_id, body)

    changed = on_cloud(invocation, act)
    invocation.output.result(changed, f"{changed.email} is {changed.role}.")


@users.command("remove")
def remove(ctx: typer.Context, user: Who) -> None:
    """Remove a user from the organization; their sessions end at once."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> Member:
        found = await find_user(cloud, organization, user)
        found = await cloud.user(organization, found.account_id)
        await cloud.remove_user(organization, found.account_id)
        return found

    gone = on_cloud(invocation, act)
    invocation.output.result({"removed": gone.account_id, "email": gone.email}, f"Removed {gone.email}.")


@users.command("transfer")
def transfer(ctx: typer.Context, user: Who) -> None:
    """Hand the organization over: that user becomes owner, you become admin."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> Member:
        found = await find_user(cloud, organization, user)
        return await cloud.transfer(organization, found.account_id)

    heir = on_cloud(invocation, act)
    invocation.output.result(heir, f"{heir.email} owns the organization now; you are admin.")
