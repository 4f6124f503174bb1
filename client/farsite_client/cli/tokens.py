"""`farsite tokens …`: personal access tokens for scripts."""

from __future__ import annotations

from typing import Annotated

import typer

from farsite_client.cli.folders import on_cloud
from farsite_client.cli.invocation import Invocation
from farsite_signaling.wire.rights import Right

tokens = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Personal access tokens for scripts.",
)


@tokens.command("list")
def list_tokens(ctx: typer.Context) -> None:
    """Your access tokens; their secrets are not kept anywhere."""
    invocation = Invocation(ctx)
    found = on_cloud(invocation, lambda cloud, organization: cloud.tokens())
    rows = [(one.name, ", ".join(one.scopes), f"{one.expires_at:%Y-%m-%d}", one.id) for one in found]
    invocation.output.table(found, ("NAME", "SCOPES", "UNTIL", "ID"), rows, "You have no access tokens.")


@tokens.command("create")
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scope: Annotated[list[Right], typer.Option("--scope", help="Right it may use (again for more).")],
    days: Annotated[int, typer.Option(min=1, max=366, help="How long it is good for.")] = 90,
) -> None:
    """Make an access token. It is shown once: keep it like a password."""
    invocation = Invocation(ctx)
    made = on_cloud(invocation, lambda cloud, organization: cloud.create_token(name, scope, days=days))
    invocation.output.note(f"Good until {made.expires_at:%Y-%m-%d}; shown this once:")
    invocation.output.result(made, made.token)


@tokens.command("revoke")
def revoke(ctx: typer.Context, token: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Revoke an access token at once."""
    invocation = Invocation(ctx)
    on_cloud(invocation, lambda cloud, organization: cloud.revoke_token(token))
    invocation.output.result({"revoked": token}, "Revoked.")
