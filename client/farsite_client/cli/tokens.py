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
    token: Annotated[str, typer.Argument(metavar="ID")],
    days: Days = 90,
    overlap: Overlap = 0,
) -> None:
    """A new secret for a token, shown once; the old one works for the overlap."""
    invocation = Invocation(ctx)
    made = on_cloud(
        invocation, lambda cloud, organization: cloud.rotate_token(token, days=days, overlap_hours=overlap)
    )
    show_new(invocation, made)


@tokens.command("revoke")
def revoke(ctx: typer.Context, token: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Revoke an access token at once."""
    invocation = Invocation(ctx)
    on_cloud(invocation, lambda cloud, organization: cloud.revoke_token(token))
    invocation.output.result({"revoked": token}, "Revoked.")
