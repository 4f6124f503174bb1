"""`farsite orgs provider …`: the organization's identity provider (OpenID Connect)."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from pydantic import SecretStr

from farsite_client.cli.folders import on_cloud
from farsite_client.cli.invocation import Invocation
from farsite_client.cli.listing import listing
from farsite_client.cloud import CloudClient
from farsite_signaling.wire.provider_api import DomainRequest, Provider, ProviderRequest
from farsite_signaling.wire.rights import Role

provider = typer.Typer(
    cls=listing("show"), help="Sign-in by an identity provider: show, set, remove, domains."
)
SECRET = "FARSITE_CLIENT_PROVIDER_SECRET"
DomainArgument = Annotated[str, typer.Argument(metavar="DOMAIN", help="As in your people's addresses.")]


@provider.command("show")
def show(ctx: typer.Context) -> None:
    """The provider, its domains, and what it must be told."""
    invocation = Invocation(ctx)
    _print(
        invocation, on_cloud(invocation, lambda cloud, organization: cloud.identity_provider(organization))
    )


def _print(invocation: Invocation, found: Provider) -> None:
    domains = [f"{one.domain}{'' if one.proven else ' (not proven)'}" for one in found.domains]
    lines = [
        f"{found.issuer}, as client {found.client_id}{'' if found.has_secret else ' (without a secret)'}",
        f"Tell it to send browsers back to {found.redirect_uri}",
        f"Domains: {', '.join(domains) or 'none: it vouches for nobody yet'}",
        f"New people: {f'become {found.new_members}' if found.new_members else 'are not let in'}",
        f"Members {'must' if found.required else 'may'} sign in by it.",
    ]
    invocation.output.result(found, "\n".join(lines))


@provider.command("set")
def set_provider(
    ctx: typer.Context,
    issuer: Annotated[str, typer.Argument(help="The issuer's address, exactly as the provider writes it.")],
    client_id: Annotated[str, typer.Option(help="What the provider calls this cloud.")],
    secret_stdin: Annotated[
        bool,
        typer.Option("--secret-stdin", help=f"Read the client's secret from standard input, not {SECRET}."),
    ] = False,
    new_members: Annotated[
        Role | None, typer.Option(help="Role of people who are not members yet (else they are not let in).")
    ] = None,
    counts_as_mfa: Annotated[
        bool, typer.Option("--counts-as-mfa", help="Its sign-in counts as a second factor.")
    ] = False,
    required: Annotated[
        bool, typer.Option("--required", help="Members other than owners must sign in by it.")
    ] = False,
) -> None:
    """Set the provider, with all its options; a secret that is not given stays."""
    invocation = Invocation(ctx)
    secret = sys.stdin.readline().rstrip("\r\n") if secret_stdin else os.environ.get(SECRET)
    request = ProviderRequest(
        issuer=issuer,
        client_id=client_id,
        client_secret=SecretStr(secret) if secret else None,
        new_members=new_members,
        counts_as_mfa=counts_as_mfa,
        required=required,
    )
    _print(
        invocation,
        on_cloud(invocation, lambda cloud, organization: cloud.set_identity_provider(organization, request)),
    )


@provider.command("remove")
def remove(ctx: typer.Context) -> None:
    """Remove it: the sign-ins it vouched for end. Members stay."""
    invocation = Invocation(ctx)
    on_cloud(invocation, lambda cloud, organization: cloud.remove_identity_provider(organization))
    invocation.output.result({"removed": True}, "Removed.")


@provider.command("domain")
def ask_for_domain(
    ctx: typer.Context,
    domain: DomainArgument,
    mailbox: Annotated[str, typer.Option(help="postmaster, admin, hostmaster, webmaster.")] = "postmaster",
) -> None:
    """Begin to prove a domain: a code is mailed to its postmaster, for: farsite orgs provider confirm"""
    invocation = Invocation(ctx)
    request = DomainRequest.model_validate({"domain": domain, "mailbox": mailbox})
    on_cloud(invocation, lambda cloud, organization: cloud.ask_for_domain(organization, request))
    invocation.output.result({"mailed": True}, f"A code was mailed to {request.mailbox}@{request.domain}.")


@provider.command("confirm")
def confirm_domain(
    ctx: typer.Context, domain: DomainArgument, code: Annotated[str, typer.Option(help="The mailed code.")]
) -> None:
    """Give the mailed code back: the domain is the organization's."""
    invocation = Invocation(ctx)
    on_cloud(invocation, lambda cloud, organization: cloud.confirm_domain(organization, domain, code))
    invocation.output.result({"proven": domain}, f"{domain} is proven.")


@provider.command("forget-domain")
def forget_domain(ctx: typer.Context, domain: DomainArgument) -> None:
    """Give a domain up: the provider vouches for nobody new of it."""
    invocation = Invocation(ctx)
    on_cloud(invocation, lambda cloud, organization: cloud.remove_domain(organization, domain))
    invocation.output.result({"removed": domain}, f"{domain} is given up.")


@provider.command("unlink")
def unlink(ctx: typer.Context, user: Annotated[str, typer.Argument(help="E-mail address or id.")]) -> None:
    """Forget who a member is at the provider, when the address went to somebody else there."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> None:
        account = user
        async for one in cloud.users(organization):
            if user.casefold() == one.email.casefold():
                account = one.account_id
        await cloud.unlink_identity(organization, account)

    on_cloud(invocation, act)
    invocation.output.result({"unlinked": user}, f"{user} is linked anew at the next sign-in.")
