"""`farsite tokens …`: personal access tokens for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from farsite_client.cli.choosing import folder_ids
from farsite_client.cli.folders import on_cloud
from farsite_client.cli.invocation import Invocation
from farsite_client.cli.listing import Listing
from farsite_client.cli.output import ago
from farsite_client.cloud import CloudClient
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.people_api import NewToken, PersonalToken
from farsite_signaling.wire.rights import Right

tokens = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    cls=Listing,
    help="Personal access tokens for scripts.",
)


Days = Annotated[int, typer.Option(min=1, max=366, help="How long it is good for.")]
Overlap = Annotated[
    int, typer.Option(min=0, max=168, metavar="HOURS", help="How long the old one still works.")
]


@tokens.command("list")
def list_tokens(ctx: typer.Context) -> None:
    """Your access tokens; their secrets are not kept anywhere."""
    invocation = Invocation(ctx)
    found = on_cloud(invocation, lambda cloud, organization: cloud.tokens())
    invocation.output.table(found, *token_rows(found), "You have no access tokens.")


def token_rows(found: Sequence[PersonalToken]) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """Columns and rows."""
    rows: list[tuple[object, ...]] = [
        (
            one.name,
            "all" if len(one.scopes) == len(Right) else ", ".join(one.scopes),
            _where(one),
            f"{one.expires_at:%Y-%m-%d}",
            ago(one.used_at),
            one.used_from,
            one.id,
        )
        for one in found
    ]
    return ("NAME", "SCOPES", "FOR", "UNTIL", "USED", "FROM", "ID"), rows


def _where(token: PersonalToken) -> str:
    if token.folder_ids is not None:
        return f"{len(token.folder_ids)} folders"
    return "one organization" if token.organization_id else ""


def show_new(invocation: Invocation, made: NewToken) -> None:
    invocation.output.note(f"Good until {made.expires_at:%Y-%m-%d}; shown this once:")
    invocation.output.result(made, made.token)


def find_token(found: Sequence[PersonalToken], wanted: str) -> PersonalToken:
    """By id, or by name if only one has it. Raises `not_found`, `conflict`."""
    matching = [one for one in found if one.id == wanted] or [one for one in found if one.name == wanted]
    if not matching:
        raise FarsiteError(ErrorCode.NOT_FOUND, f"There is no access token {wanted[:100]!r}.")
    if len(matching) > 1:
        ids = ", ".join(one.id for one in matching)
        raise FarsiteError(
            ErrorCode.CONFLICT,
            f"{len(matching)} access tokens are called {wanted!r}. Name one by its id: {ids}",
        )
    return matching[0]


@tokens.command("create")
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scope: Annotated[list[Right], typer.Option("--scope", help="Right it may use (again for more).")],
    days: Days = 90,
    here: Annotated[
        bool, typer.Option("--this-organization", help="For the organization you are in only.")
    ] = False,
    folder: Annotated[
        list[str] | None, typer.Option("--folder", help="For this folder only (again for more).")
    ] = None,
) -> None:
    """Make an access token. It is shown once: keep it like a password."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> NewToken:
        folders = await folder_ids(cloud, organization, folder) or None
        only = organization if here or folders else None
        return await cloud.create_token(name, scope, days=days, organization=only, folders=folders)

    show_new(invocation, on_cloud(invocation, act))


@tokens.command("rotate")
def rotate(
    ctx: typer.Context,
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="Its name or id.")],
    days: Days = 90,
    overlap: Overlap = 0,
) -> None:
    """A new secret for a token, shown once; the old one works for the overlap."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> NewToken:
        found = find_token(await cloud.tokens(), token)
        return await cloud.rotate_token(found.id, days=days, overlap_hours=overlap)

    show_new(invocation, on_cloud(invocation, act))


@tokens.command("revoke")
def revoke(
    ctx: typer.Context, token: Annotated[str, typer.Argument(metavar="TOKEN", help="Its name or id.")]
) -> None:
    """Revoke an access token at once."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> PersonalToken:
        found = find_token(await cloud.tokens(), token)
        await cloud.revoke_token(found.id)
        return found

    gone = on_cloud(invocation, act)
    invocation.output.result({"revoked": gone.id}, f"Revoked {gone.name}.")
