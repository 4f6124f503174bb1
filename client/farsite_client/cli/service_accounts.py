"""`farsite service-accounts …`: accounts of programs, and their access tokens."""

from __future__ import annotations

from typing import Annotated

import typer

from farsite_client.cli.choosing import folder_ids
from farsite_client.cli.folders import on_cloud, paths_of
from farsite_client.cli.invocation import Invocation
from farsite_client.cli.listing import Listing
from farsite_client.cli.output import ago
from farsite_client.cli.tokens import Days, Overlap, find_token, show_new, token_rows
from farsite_client.cli.users import reach_text
from farsite_client.cloud import CloudClient
from farsite_signaling.wire.access_api import (
    ServiceAccount,
    ServiceAccountChange,
    ServiceAccountRequest,
    ServiceTokenRequest,
)
from farsite_signaling.wire.cloud_api import Folder
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.people_api import NewToken, PersonalToken
from farsite_signaling.wire.rights import Right, Role

service_accounts = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    cls=Listing,
    help="Service accounts of programs: make, list, change, disable, remove; their tokens.",
)
tokens = typer.Typer(no_args_is_help=True, help="Access tokens of a service account.")
service_accounts.add_typer(tokens, name="tokens")
Who = Annotated[str, typer.Argument(metavar="ACCOUNT", help="Name or id.")]
Chosen = Annotated[list[str] | None, typer.Option("--folder", help="Folder it reaches (again for more).")]
All = Annotated[bool, typer.Option("--all-folders", help="Operators and viewers: every folder.")]


@service_accounts.command("list")
def list_accounts(ctx: typer.Context) -> None:
    """Service accounts, what they may do, and when they were last used."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> tuple[list[ServiceAccount], list[Folder]]:
        return [one async for one in cloud.service_accounts(organization)], await cloud.folders(organization)

    found, folders = on_cloud(invocation, act)
    paths = paths_of(folders)
    rows = [
        (
            one.name,
            one.role,
            reach_text(one.role, one.folder_ids, paths),
            "disabled" if one.disabled else "",
            one.tokens,
            ago(one.used_at),
            one.id,
        )
        for one in found
    ]
    columns = ("NAME", "ROLE", "FOLDERS", "STATE", "TOKENS", "USED", "ID")
    invocation.output.table(found, columns, rows, "None.")


@service_accounts.command("create")
def create(
    ctx: typer.Context,
    name: str,
    role: Annotated[Role, typer.Option(help="What it may do.")] = Role.VIEWER,
    folder: Chosen = None,
    all_folders: All = False,
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
) -> None:
    """Make a service account; then give it a token: farsite service-accounts tokens create"""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> ServiceAccount:
        request = ServiceAccountRequest(
            name=name,
            description=description,
            role=role,
            folder_ids=await folder_ids(cloud, organization, folder),
            all_folders=all_folders,
        )
        return await cloud.create_service_account(organization, request)

    made = on_cloud(invocation, act)
    invocation.output.result(made, f"{made.name} is there, as {made.role} ({made.id}).")


@service_accounts.command("change")
def change(
    ctx: typer.Context,
    account: Who,
    name: Annotated[str | None, typer.Option(help="A new name.")] = None,
    role: Annotated[Role | None, typer.Option(help="What it may do.")] = None,
    folder: Chosen = None,
    all_folders: All = False,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
) -> None:
    """Change its name, role, folders or description, at once."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> ServiceAccount:
        body = ServiceAccountChange(
            name=name,
            description=description,
            role=role,
            folder_ids=await folder_ids(cloud, organization, folder) if folder else None,
            all_folders=True if all_folders else None,
        )
        return await _change(cloud, organization, account, body)

    changed = on_cloud(invocation, act)
    invocation.output.result(changed, f"{changed.name} is {changed.role}.")


async def _change(
    cloud: CloudClient, organization: str, wanted: str, body: ServiceAccountChange
) -> ServiceAccount:
    found = await _find(cloud, organization, wanted)
    return await cloud.change_service_account(organization, found.id, body)


async def _find(cloud: CloudClient, organization: str, wanted: str) -> ServiceAccount:
    """Raises `not_found`."""
    async for account in cloud.service_accounts(organization):
        if wanted in (account.id, account.name, account.actor):
            return account
    raise FarsiteError(
        ErrorCode.NOT_FOUND,
        f"There is no service account {wanted!r}. List them: farsite service-accounts list",
    )


@service_accounts.command("disable")
def disable(ctx: typer.Context, account: Who) -> None:
    """Let it do nothing, until it is enabled again; its sessions end."""
    _switch(ctx, account, disabled=True)


@service_accounts.command("enable")
def enable(ctx: typer.Context, account: Who) -> None:
    """Let it go on."""
    _switch(ctx, account, disabled=False)


def _switch(ctx: typer.Context, wanted: str, *, disabled: bool) -> None:
    invocation = Invocation(ctx)
    body = ServiceAccountChange(disabled=disabled)
    changed = on_cloud(invocation, lambda cloud, organization: _change(cloud, organization, wanted, body))
    invocation.output.result(changed, f"{changed.name} is {'disabled' if changed.disabled else 'enabled'}.")


@service_accounts.command("remove")
def remove(ctx: typer.Context, account: Who) -> None:
    """Remove it; its tokens, certificates and sessions end at once."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> ServiceAccount:
        found = await _find(cloud, organization, account)
        await cloud.remove_service_account(organization, found.id)
        return found

    gone = on_cloud(invocation, act)
    invocation.output.result({"removed": gone.id, "name": gone.name}, f"Removed {gone.name}.")


@tokens.command("list")
def list_tokens(ctx: typer.Context, account: Who) -> None:
    """Its access tokens; their secrets are not kept anywhere."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> list[PersonalToken]:
        found = await _find(cloud, organization, account)
        return await cloud.service_tokens(organization, found.id)

    found = on_cloud(invocation, act)
    invocation.output.table(found, *token_rows(found), "It has no access tokens.")


@tokens.command("create")
def create_token(
    ctx: typer.Context,
    account: Who,
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scope: Annotated[
        list[Right] | None, typer.Option("--scope", help="Right it may use (all of the role's).")
    ] = None,
    folder: Annotated[list[str] | None, typer.Option("--folder", help="For this folder only.")] = None,
    days: Days = 90,
) -> None:
    """Make an access token. It is shown once: keep it like a password."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> NewToken:
        found = await _find(cloud, organization, account)
        request = ServiceTokenRequest(
            name=name,
            scopes=scope or list(Right),
            expires_in_days=days,
            folder_ids=await folder_ids(cloud, organization, folder) or None,
        )
        return await cloud.create_service_token(organization, found.id, request)

    show_new(invocation, on_cloud(invocation, act))


@tokens.command("rotate")
def rotate_token(
    ctx: typer.Context,
    account: Who,
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="Its name or id.")],
    days: Days = 90,
    overlap: Overlap = 0,
) -> None:
    """A new secret for a token, shown once; the old one works for the overlap."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> NewToken:
        found = await _find(cloud, organization, account)
        meant = find_token(await cloud.service_tokens(organization, found.id), token)
        return await cloud.rotate_service_token(
            organization, found.id, meant.id, days=days, overlap_hours=overlap
        )

    show_new(invocation, on_cloud(invocation, act))


@tokens.command("revoke")
def revoke_token(
    ctx: typer.Context,
    account: Who,
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="Its name or id.")],
) -> None:
    """Revoke one of its access tokens at once."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> PersonalToken:
        found = await _find(cloud, organization, account)
        meant = find_token(await cloud.service_tokens(organization, found.id), token)
        await cloud.revoke_service_token(organization, found.id, meant.id)
        return meant

    gone = on_cloud(invocation, act)
    invocation.output.result({"revoked": gone.id}, f"Revoked {gone.name}.")
