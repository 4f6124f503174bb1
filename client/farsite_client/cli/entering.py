"""Which organization a sign-in is about. Whoever is in none yet accepts an invitation, or makes one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import typer

from farsite_client.cloud import CloudClient
from farsite_signaling.wire.cloud_api import Organization
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.people_api import OwnInvitation


@dataclass(frozen=True)
class Wanted:
    """`member`: one the account is in. `invited`: one that invited it. `fresh`: the name of one to make."""

    member: str | None = None
    invited: str | None = None
    fresh: str | None = None


async def enter(cloud: CloudClient, wanted: Wanted) -> Organization:
    if wanted.fresh is not None:
        return await cloud.create_organization(wanted.fresh)
    if wanted.invited is not None:
        return await _accept(cloud, wanted.invited)
    organizations = await cloud.organizations()
    return choose(organizations, wanted.member) if organizations else await _first(cloud)


async def _accept(cloud: CloudClient, wanted: str) -> Organization:
    found = find_invitation(await cloud.own_invitations(), wanted)
    return await cloud.accept_invitation(found.id)


async def _first(cloud: CloudClient) -> Organization:
    """Asked for at a terminal. Raises `forbidden` elsewhere, saying what there is."""
    invitations = await cloud.own_invitations()
    names = ", ".join(one.organization_name for one in invitations)
    if not sys.stdin.isatty():
        accept = f"Accept an invitation ({names}) with --accept ORGANIZATION, or make" if names else "Make"
        detail = f"This account is in no organization yet. {accept} your own with --new-organization NAME."
        raise FarsiteError(ErrorCode.FORBIDDEN, detail)
    for one in invitations:
        if typer.confirm(f"{one.invited_by} invited you to {one.organization_name}. Accept?", err=True):
            return await cloud.accept_invitation(one.id)
    name = typer.prompt("You are in no organization yet. Name of your own", err=True)
    return await cloud.create_organization(str(name))


def choose(organizations: Sequence[Organization], wanted: str | None) -> Organization:
    if wanted:
        return named(organizations, wanted)
    if len(organizations) == 1:
        return organizations[0]
    names = ", ".join(organization.name for organization in organizations)
    if not sys.stdin.isatty():
        raise FarsiteError(
            ErrorCode.INVALID_REQUEST,
            f"The account is in several organizations: choose with --organization: {names}",
        )
    typer.echo(f"Organizations: {names}", err=True)
    return named(organizations, str(typer.prompt("Which one", default=organizations[0].name, err=True)))


def named(organizations: Sequence[Organization], wanted: str) -> Organization:
    for organization in organizations:
        if wanted == organization.id or wanted.casefold() == organization.name.casefold():
            return organization
    names = ", ".join(organization.name for organization in organizations)
    raise FarsiteError(
        ErrorCode.NOT_FOUND, f"The account is in no organization called {wanted!r}. It is in: {names}"
    )


def find_invitation(found: Sequence[OwnInvitation], wanted: str | None) -> OwnInvitation:
    """By its id, or the organization's id or name; None: the only one there is. Raises `not_found`."""
    matching = [
        one
        for one in found
        if wanted is None
        or wanted in (one.id, one.organization_id)
        or wanted.casefold() == one.organization_name.casefold()
    ]
    if len(matching) != 1:
        names = ", ".join(one.organization_name for one in found) or "none"
        raise FarsiteError(ErrorCode.NOT_FOUND, f"Say which invitation it is about. There is: {names}.")
    return matching[0]
