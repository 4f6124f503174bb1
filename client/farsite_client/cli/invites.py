"""`farsite invites …`: inviting people, and accepting."""

from __future__ import annotations

from typing import Annotated

import typer

from farsite_client.cli.entering import find_invitation
from farsite_client.cli.folders import find_folder, on_cloud, paths_of
from farsite_client.cli.invocation import Invocation
from farsite_client.cli.listing import Listing
from farsite_client.cli.personal import decline
from farsite_client.cli.users import All, Chosen, reach_text
from farsite_client.cloud import CloudClient
from farsite_signaling.wire.cloud_api import Folder, Organization
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.people_api import MOST_EMAILS, Invitation, InvitationRequest, Invitations
from farsite_signaling.wire.rights import Role

invites = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    cls=Listing,
    help="Invitations: send, list, resend, revoke, accept, decline.",
)
Which = Annotated[str, typer.Argument(metavar="INVITATION", help="E-mail address or id.")]


@invites.command("send")
def send(
    ctx: typer.Context,
    emails: Annotated[list[str], typer.Argument(metavar="EMAIL...")],
    role: Annotated[Role, typer.Option(help="One for all of them.")] = Role.VIEWER,
    folder: Chosen = None,
    all_folders: All = False,
) -> None:
    """Invite people by mail. For operators and viewers say which folders they reach."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> Invitations:
        found = await cloud.folders(organization) if folder else []
        ids = [find_folder(found, one).id for one in folder or ()]
        requests = [
            InvitationRequest(emails=part, role=role, folder_ids=ids, all_folders=all_folders)
            for part in _parts(emails)
        ]
        return await _invite(cloud, organization, requests)

    made = on_cloud(invocation, act)
    rows = [(one.email, "invited", str(one.role), str(one.starts_as)) for one in made.invitations]
    rows += [(email, "is a member already", "", "") for email in made.members]
    invocation.output.table(made, ("EMAIL", "RESULT", "ROLE", "STARTS AS"), rows, "Nobody was invited.")


def _parts(emails: list[str]) -> list[list[str]]:
    """As many at a time as the cloud takes; all are looked at before the first is sent."""
    return [emails[start : start + MOST_EMAILS] for start in range(0, len(emails), MOST_EMAILS)]


async def _invite(cloud: CloudClient, organization: str, requests: list[InvitationRequest]) -> Invitations:
    """Raises what the cloud refuses, saying whom it took before."""
    made: list[Invitations] = []
    for request in requests:
        try:
            made.append(await cloud.invite(organization, request))
        except FarsiteError as error:
            if made:
                error.detail += f" Those before {request.emails[0]} are invited: send the others again."
            raise
    return _together(made)


def _together(made: list[Invitations]) -> Invitations:
    return Invitations(
        invitations=[one for part in made for one in part.invitations],
        members=[email for part in made for email in part.members],
    )


@invites.command("list")
def list_invites(ctx: typer.Context) -> None:
    """Pending invitations of the organization."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> tuple[list[Invitation], list[Folder]]:
        found = [one async for one in cloud.invitations(organization)]
        return found, await cloud.folders(organization)

    found, folders = on_cloud(invocation, act)
    paths = paths_of(folders)
    rows = [
        (
            one.email,
            one.role,
            reach_text(one.role, one.folder_ids, paths),
            one.invited_by,
            "expired" if one.expired else f"{one.expires_at:%Y-%m-%d %H:%M}",
            one.id,
        )
        for one in found
    ]
    columns = ("EMAIL", "ROLE", "FOLDERS", "BY", "UNTIL (UTC)", "ID")
    invocation.output.table(found, columns, rows, "No invitation is pending.")


async def _find(cloud: CloudClient, organization: str, wanted: str) -> Invitation:
    async for one in cloud.invitations(organization):
        if wanted == one.id or wanted.casefold() == one.email:
            return one
    raise FarsiteError(ErrorCode.NOT_FOUND, f"No invitation to {wanted!r} is pending.")


@invites.command("resend")
def resend(ctx: typer.Context, invitation: Which) -> None:
    """Mail an invitation again, good for another week."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> Invitation:
        found = await _find(cloud, organization, invitation)
        return await cloud.resend_invitation(organization, found.id)

    again = on_cloud(invocation, act)
    invocation.output.result(
        again, f"Sent to {again.email}, good until {again.expires_at:%Y-%m-%d %H:%M} UTC."
    )


@invites.command("revoke")
def revoke(ctx: typer.Context, invitation: Which) -> None:
    """Revoke a pending invitation."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> Invitation:
        found = await _find(cloud, organization, invitation)
        await cloud.revoke_invitation(organization, found.id)
        return found

    gone = on_cloud(invocation, act)
    invocation.output.result({"revoked": gone.id, "email": gone.email}, f"Revoked the one to {gone.email}.")


@invites.command("mine")
def mine(ctx: typer.Context) -> None:
    """Invitations that wait for you."""
    invocation = Invocation(ctx)
    found = on_cloud(invocation, lambda cloud, organization: cloud.own_invitations())
    rows = [
        (one.organization_name, one.role, one.invited_by, f"{one.expires_at:%Y-%m-%d %H:%M}", one.id)
        for one in found
    ]
    columns = ("ORGANIZATION", "ROLE", "BY", "UNTIL (UTC)", "ID")
    invocation.output.table(found, columns, rows, "Nobody invited you.")


@invites.command("accept")
def accept(
    ctx: typer.Context,
    organization: Annotated[
        str | None, typer.Argument(help="Which one, by organization or id, when there are several.")
    ] = None,
) -> None:
    """Accept an invitation to your address."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, current: str) -> Organization:
        found = find_invitation(await cloud.own_invitations(), organization)
        return await cloud.accept_invitation(found.id)

    joined = on_cloud(invocation, act)
    invocation.output.result(
        joined,
        f"You are {joined.role} of {joined.name}. Work there with: farsite orgs switch '{joined.name}'",
    )


invites.command("decline")(decline)
