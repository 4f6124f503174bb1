"""`farsite orgs …`: the organizations of the signed-in account."""

from __future__ import annotations

from typing import Annotated

import typer

from farsite_client.cli.entering import named
from farsite_client.cli.invocation import Invocation
from farsite_client.cli.lifecycle import add_lifecycle
from farsite_client.cli.listing import Listing
from farsite_client.cli.personal import leave
from farsite_client.cli.providers import provider
from farsite_client.profile import Stored
from farsite_signaling.wire.cloud_api import Account, Organization, OrganizationChange, SignInResult

orgs = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    cls=Listing,
    help="Organizations: list, create, switch, change, leave, export, delete.",
)


orgs.add_typer(provider, name="provider")


@orgs.command("list")
def list_orgs(ctx: typer.Context) -> None:
    """Organizations the account is in; * marks the one that commands are about."""
    invocation = Invocation(ctx)

    async def work() -> tuple[list[Organization], str]:
        async with invocation.cloud() as (cloud, stored):
            return await cloud.organizations(), stored.organization_id

    found, current = invocation.run(work())
    rows = [
        (
            "*" if one.id == current else "",
            one.name,
            one.role,
            "asked for" if one.require_mfa else "",
            _note(one),
            one.id,
        )
        for one in found
    ]
    invocation.output.table(found, ("", "NAME", "ROLE", "SECOND FACTOR", "NOTE", "ID"), rows, "None.")


def _note(one: Organization) -> str:
    notes = []
    if one.support_until is not None:
        notes.append(f"support until {one.support_until:%Y-%m-%d %H:%M} UTC")
    if one.deletes_at is not None:
        notes.append(f"deleted at {one.deletes_at:%Y-%m-%d %H:%M} UTC")
    return ", ".join(notes)


@orgs.command("create")
def create(ctx: typer.Context, name: str) -> None:
    """Make another organization; switch to it with: farsite orgs switch NAME"""
    invocation = Invocation(ctx)

    async def work() -> Organization:
        async with invocation.cloud() as (cloud, _):
            return await cloud.create_organization(name)

    made = invocation.run(work())
    invocation.output.result(made, f"{made.name} is yours ({made.id}).")


@orgs.command("switch")
def switch(ctx: typer.Context, organization: Annotated[str, typer.Argument(help="Name or id.")]) -> None:
    """Let commands be about another organization: this machine gets a certificate there."""
    invocation = Invocation(ctx)
    stored = invocation.run(_switch(invocation, organization))
    shown = {"organization_id": stored.organization_id, "organization_name": stored.organization_name}
    invocation.output.result(
        {**shown, "role": stored.role}, f"{stored.email} is {stored.role} of {stored.organization_name}."
    )


async def _switch(invocation: Invocation, wanted: str) -> Stored:
    async with invocation.cloud() as (cloud, stored):
        organization = named(await cloud.organizations(), wanted)
        account = Account(id=stored.account_id, email=stored.email)
        signed_in = SignInResult(token=stored.token, expires_at=stored.token_expires_at, account=account)
        return await invocation.profile.enrol(cloud, signed_in, organization, None)


@orgs.command("change")
def change(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Option(help="A new name.")] = None,
    invited_as_viewers: Annotated[
        bool | None,
        typer.Option("--invited-as-viewers/--invited-with-role", help="What invited members start as."),
    ] = None,
    require_mfa: Annotated[
        bool | None,
        typer.Option("--require-mfa/--no-require-mfa", help="Ask every member for a second factor."),
    ] = None,
    sign_in_idle_days: Annotated[
        int | None,
        typer.Option(help="Members' sign-ins end after so many days without use; 0: the cloud's rule."),
    ] = None,
    sign_in_days: Annotated[
        int | None, typer.Option(help="... and after so many days in any case; 0: the cloud's rule.")
    ] = None,
) -> None:
    """Rename the organization, or change its rules. Of several organizations' rules the strictest counts."""
    invocation = Invocation(ctx)
    body = OrganizationChange(
        name=name,
        invited_start_as_viewers=invited_as_viewers,
        require_mfa=require_mfa,
        sign_in_idle_days=sign_in_idle_days,
        sign_in_days=sign_in_days,
    )

    async def work() -> Organization:
        async with invocation.cloud() as (cloud, stored):
            return await cloud.change_organization(stored.organization_id, body)

    changed = invocation.run(work())
    start = "viewers" if changed.invited_start_as_viewers else "what they were invited as"
    factor = "asked for" if changed.require_mfa else "up to each member"
    invocation.output.result(
        changed, f"{changed.name}: invited members start as {start}; a second factor is {factor}."
    )


add_lifecycle(orgs)
orgs.command("leave")(leave)
