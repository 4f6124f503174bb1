"""`farsite login`, `logout`, `whoami`."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import typer

from farsite_client.cli.browser import in_browser
from farsite_client.cli.entering import Wanted, enter
from farsite_client.cli.invocation import Invocation, read_password
from farsite_client.cloud import CloudClient, check_url, clock_problem
from farsite_client.profile import Stored
from farsite_signaling.wire.cloud_api import SignInResult
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

login = typer.Typer(add_completion=False, rich_markup_mode=None)
logout = typer.Typer(add_completion=False, rich_markup_mode=None)
whoami = typer.Typer(add_completion=False, rich_markup_mode=None)

NO_TERMINAL = "and there is no terminal to ask on"


@login.command("login")
def login_command(
    ctx: typer.Context,
    url: Annotated[str | None, typer.Argument(help="The cloud's address.")] = None,
    email: Annotated[str | None, typer.Option(help="The account's e-mail address.")] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    organization: Annotated[
        str | None, typer.Option(help="Name or id, when the account is in several.")
    ] = None,
    code: Annotated[
        str | None, typer.Option(help="Of the authenticator app, of a mail, or a recovery code (asked for).")
    ] = None,
    device_name: Annotated[str | None, typer.Option(help="What the cloud calls this machine.")] = None,
    browser: Annotated[
        bool, typer.Option("--browser", help="Sign in on a page, here or on another device.")
    ] = False,
    sso: Annotated[
        str | None,
        typer.Option(
            "--sso", metavar="ORG", help="By the identity provider of an organization: its domain or id."
        ),
    ] = None,
    token_stdin: Annotated[
        bool, typer.Option("--token-stdin", help="Read an access token from standard input: for programs.")
    ] = False,
    no_open: Annotated[
        bool,
        typer.Option("--no-open", "--no-browser", help="With --browser or --sso: only show the address."),
    ] = False,
    accept: Annotated[
        str | None, typer.Option("--accept", metavar="ORG", help="Accept the invitation of an organization.")
    ] = None,
    new_organization: Annotated[
        str | None,
        typer.Option("--new-organization", metavar="NAME", help="Make an organization of your own."),
    ] = None,
) -> None:
    """Sign in to a cloud and enrol this machine.

    The password is asked for, or read from standard input or FARSITE_CLIENT_PASSWORD; with --browser it is typed on a
    page of the cloud's instead. Without URL and --email the ones of the last sign-in are used.
    """
    invocation = Invocation(ctx).with_flags(
        url=url, email=email, organization=organization, device_name=device_name
    )
    before = invocation.profile.known()
    settings = invocation.settings
    address = check_url(
        required(settings.url or (before.url if before else None), "The cloud's address", "URL")
    )
    if token_stdin:
        asked = partial(_with_token, token=sys.stdin.readline().strip())
    elif browser or sso:
        asked = partial(in_browser, invocation, open_it=not no_open, provider_of=sso)
    else:
        known = before.email if before and before.url == address else None
        mail = required(settings.email or known, "E-mail", "--email")
        password = read_password("FARSITE_CLIENT_PASSWORD", "Password", from_stdin=password_stdin)
        asked = partial(_sign_in, email=mail, password=password, code=code)
    wanted = Wanted(settings.organization, accept, new_organization)
    stored = invocation.run(_log_in(invocation, address, asked, wanted))
    home = str(invocation.profile.home)
    invocation.output.result(
        {**_shown(stored), "stored_in": home},
        f"Signed in as {stored.email} ({stored.role} of {stored.organization_name}) at {stored.url}.",
    )
    if not stored.enrolled:
        invocation.output.note(
            "This access token lacks the right remote.access: what the cloud knows can be seen and changed with it, "
            "but no session with an edge host opened."
        )
    invocation.output.line(f"Kept in {home}, readable by you only. Next: farsite edges")


async def _log_in(
    invocation: Invocation,
    url: str,
    sign_in: Callable[[CloudClient], Awaitable[SignInResult]],
    wanted: Wanted,
) -> Stored:
    settings = invocation.settings
    known = invocation.profile.known()
    # What this machine was signed in with, however old, shows that it is no stranger to the account.
    token = known.token if known is not None and known.url == url else None
    async with CloudClient(url, token, proxy=settings.proxy, ca_file=settings.ca_file) as cloud:
        signed_in = await sign_in(cloud)
        organization = await enter(cloud, wanted)
        stored = await invocation.profile.enrol(cloud, signed_in, organization, settings.device_name)
        if problem := clock_problem(cloud.clock_offset):
            invocation.output.note(f"warning: {problem.detail}")
        return stored


async def _with_token(cloud: CloudClient, token: str) -> SignInResult:
    """Of a service account, or one's own."""
    if not token:
        raise FarsiteError(ErrorCode.INVALID_REQUEST, "There is no access token on standard input.")
    cloud.token = token
    me = await cloud.me()
    expires_at = me.token_expires_at or datetime.now(UTC)
    return SignInResult(token=token, expires_at=expires_at, account=me.account)


async def _sign_in(cloud: CloudClient, email: str, password: str, code: str | None) -> SignInResult:
    try:
        return await cloud.sign_in(email, password, code)
    except FarsiteError as error:
        if error.code is ErrorCode.MFA_REQUIRED:
            return await cloud.sign_in(email, password, await _asked_code(cloud, email, password, error))
        if error.code is not ErrorCode.NOT_FOUND:
            raise
        raise FarsiteError(
            ErrorCode.CLOUD_UNREACHABLE,
            f"{cloud.url} is no Farsite cloud. Give the address its operator names.",
        ) from None


async def _asked_code(cloud: CloudClient, email: str, password: str, error: FarsiteError) -> str:
    """Mailed before, if a mail is the only way to one."""
    ways = {str(row.get("method")) for row in error.errors}
    mailed = "email" in ways and "app" not in ways
    if mailed:
        await cloud.mail_code(email, password)
        typer.echo(f"A code was mailed to {email}.", err=True)
    if not sys.stdin.isatty():
        raise FarsiteError(error.code, f"{error.detail} Give a code with --code.") from None
    what = "Code that was mailed to you" if mailed else "Code of your authenticator app"
    return str(typer.prompt(what, err=True))


def required(value: str | None, prompt: str, name: str) -> str:
    if value:
        return value
    if not sys.stdin.isatty():
        raise FarsiteError(ErrorCode.INVALID_REQUEST, f"{prompt} is missing ({name}) {NO_TERMINAL}.")
    return str(typer.prompt(prompt, err=True))


def _shown(stored: Stored) -> dict[str, object]:
    fields = {"url", "email", "account_id", "organization_id", "organization_name", "role", "name"}
    return stored.model_dump(mode="json", include=fields | {"token_expires_at", "certificate_expires_at"})


@logout.command("logout")
def logout_command(ctx: typer.Context) -> None:
    """Revoke the sign-in, and forget it and this machine's key."""
    invocation = Invocation(ctx)
    there = invocation.profile.file.exists()
    told = invocation.run(_log_out(invocation)) if there else False
    invocation.profile.remove()
    text = "Signed out." if there else "Nobody was signed in."
    invocation.output.result({"signed_out": there, "cloud_told": told}, text)
    if there and not told:
        invocation.output.note("The cloud could not be told: its token stays valid until it expires.")


async def _log_out(invocation: Invocation) -> bool:
    try:
        async with invocation.profile.cloud() as cloud:
            await cloud.sign_out()
    except FarsiteError as error:
        # What is already invalid is as good as revoked; so is a profile too damaged to hold a token.
        return error.status == 401
    return True


@whoami.command("whoami")
def whoami_command(ctx: typer.Context) -> None:
    """Who is signed in on this machine, checked with the cloud."""
    invocation = Invocation(ctx)
    stored = invocation.run(_who(invocation))
    invocation.output.result(
        _shown(stored), f"{stored.email}, {stored.role} of {stored.organization_name}, at {stored.url}"
    )


async def _who(invocation: Invocation) -> Stored:
    async with invocation.cloud() as (cloud, stored):
        me = await cloud.me()
        for organization in me.organizations:
            if organization.id == stored.organization_id:
                return stored.model_copy(
                    update={"role": organization.role, "organization_name": organization.name}
                )
    raise FarsiteError(
        ErrorCode.FORBIDDEN,
        f"{stored.email} is no longer in {stored.organization_name}. Sign in again with: farsite login",
    )
