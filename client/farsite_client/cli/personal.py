"""`farsite account name|email`, `farsite orgs leave`, `farsite invites decline`: about oneself."""

from __future__ import annotations

from typing import Annotated

import typer

from farsite_client.cli.entering import find_invitation, named
from farsite_client.cli.folders import on_cloud
from farsite_client.cli.invocation import Invocation, read_password
from farsite_client.cli.risks import Yes, confirm
from farsite_client.cloud import CloudClient
from farsite_client.factors import Proof
from farsite_signaling.wire.cloud_api import Account, Organization
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.people_api import OwnInvitation

PASSWORD = "FARSITE_CLIENT_PASSWORD"


def name(ctx: typer.Context, name: Annotated[str, typer.Argument(help="How others see you.")]) -> None:
    """Change your name."""
    invocation = Invocation(ctx)
    changed = on_cloud(invocation, lambda cloud, organization: cloud.change_account(name))
    invocation.output.result(changed, f"You are {changed.name} ({changed.email}).")


def email(
    ctx: typer.Context,
    address: Annotated[str | None, typer.Argument(metavar="EMAIL", help="The new address.")] = None,
    code: Annotated[str | None, typer.Option(help="The code that was mailed to the new address.")] = None,
    mfa_code: Annotated[
        str | None, typer.Option(help="Of the authenticator app, of a mail, or a recovery code.")
    ] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
) -> None:
    """Change your e-mail address: with EMAIL a code is mailed there, with --code it counts."""
    if (address is None) == (code is None):
        raise FarsiteError(ErrorCode.INVALID_REQUEST, "Give the new address, or the --code mailed to it.")
    invocation = Invocation(ctx)
    if address is not None:
        proof = Proof(read_password(PASSWORD, "Password", from_stdin=password_stdin), mfa_code)
        on_cloud(invocation, lambda cloud, organization: cloud.begin_address_change(address, proof))
        text = f"A code is on its way to {address}. Use it with: farsite account email --code CODE"
        return invocation.output.result({"mailed": True}, text)
    changed = on_cloud(invocation, lambda cloud, organization: _moved(invocation, cloud, code or ""))
    return invocation.output.result(changed, f"Your address is {changed.email}.")


async def _moved(invocation: Invocation, cloud: CloudClient, code: str) -> Account:
    """What is stored here is to name the new address too."""
    changed = await cloud.change_address(code)
    stored = invocation.profile.load()
    invocation.profile.save(stored.model_copy(update={"email": changed.email}))
    return changed


def leave(
    ctx: typer.Context,
    organization: Annotated[str, typer.Argument(help="Name or id.")],
    yes: Yes = False,
) -> None:
    """Leave an organization. To come back you have to be invited again."""
    invocation = Invocation(ctx)
    confirm(f"Leave {organization}? Only an invitation brings you back.", yes)

    async def act(cloud: CloudClient, current: str) -> tuple[Organization, bool]:
        left = named(await cloud.organizations(), organization)
        await cloud.leave_organization(left.id)
        return left, left.id == current

    left, current = on_cloud(invocation, act)
    text = f"You left {left.name}."
    invocation.output.result(
        {"left": left.id, "name": left.name},
        f"{text} Work elsewhere with: farsite orgs switch NAME" if current else text,
    )


def decline(
    ctx: typer.Context,
    organization: Annotated[
        str | None, typer.Argument(help="Which one, by organization or id, when there are several.")
    ] = None,
) -> None:
    """Decline an invitation to your address."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, current: str) -> OwnInvitation:
        found = find_invitation(await cloud.own_invitations(), organization)
        await cloud.decline_invitation(found.id)
        return found

    gone = on_cloud(invocation, act)
    invocation.output.result({"declined": gone.id}, f"Declined the one of {gone.organization_name}.")
