"""`farsite account …`: one's own account: making it, its password, its second factor, where it is signed in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from farsite_client.cli.account import required
from farsite_client.cli.factors import mfa, passkeys
from farsite_client.cli.folders import on_cloud
from farsite_client.cli.invocation import Invocation, read_password
from farsite_client.cli.lifecycle import delete_account
from farsite_client.cli.output import ago
from farsite_client.cli.personal import email, name
from farsite_client.cloud import CloudClient, check_url
from farsite_signaling.wire.cloud_api import Account

account = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Sign up, name, address, password, second factor, where you are signed in.",
)
account.add_typer(mfa, name="mfa")
account.add_typer(passkeys, name="passkeys")
T = TypeVar("T")
PASSWORD, NEW_PASSWORD = "FARSITE_CLIENT_PASSWORD", "FARSITE_CLIENT_NEW_PASSWORD"
Url = Annotated[str | None, typer.Argument(metavar="URL", help="The cloud's address.")]
Email = Annotated[str | None, typer.Option(help="The account's e-mail address.")]
Code = Annotated[str | None, typer.Option(help="The code that was mailed.")]
FullName = Annotated[str | None, typer.Option("--name", help="Your name.")]
Stdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


def _on(ctx: typer.Context, url: str | None, act: Callable[[CloudClient], Awaitable[T]]) -> T:
    """On a cloud nobody is signed in at."""
    invocation = Invocation(ctx).with_flags(url=url)
    settings, known = invocation.settings, invocation.profile.known()
    address = settings.url or (known.url if known else None)
    checked = check_url(required(address, "The cloud's address", "URL"))

    async def work() -> T:
        async with CloudClient(checked, proxy=settings.proxy, ca_file=settings.ca_file) as cloud:
            return await act(cloud)

    return invocation.run(work())


@account.command("sign-up")
def sign_up(ctx: typer.Context, url: Url = None, email: Email = None) -> None:
    """Ask for an account: a code is mailed to you, for: farsite account confirm"""
    address = required(email, "E-mail", "--email")
    _on(ctx, url, lambda cloud: cloud.sign_up(address))
    Invocation(ctx).output.result({"mailed": True}, f"A mail is on its way to {address}.")


@account.command("confirm")
def confirm(
    ctx: typer.Context,
    url: Url = None,
    code: Code = None,
    name: FullName = None,
    password_stdin: Stdin = False,
) -> None:
    """Use the mailed code, and choose your password."""
    given, full = required(code, "Code", "--code"), required(name, "Your name", "--name")
    password = _new_password(password_stdin)
    _made(ctx, _on(ctx, url, lambda cloud: cloud.confirm(given, password, full)))


@account.command("join")
def join(
    ctx: typer.Context,
    url: Url = None,
    code: Code = None,
    name: FullName = None,
    password_stdin: Stdin = False,
) -> None:
    """Use an invitation's code: you get an account, and are in the organization."""
    given, full = required(code, "Code", "--code"), required(name, "Your name", "--name")
    password = _new_password(password_stdin)
    _made(ctx, _on(ctx, url, lambda cloud: cloud.join(given, password, full)))


def _made(ctx: typer.Context, made: Account) -> None:
    Invocation(ctx).output.result(made, f"{made.email} has an account. Sign in with: farsite login")


def _new_password(from_stdin: bool, variable: str = PASSWORD) -> str:
    return read_password(variable, "New password", from_stdin=from_stdin, confirm=True)


@account.command("forgot")
def forgot(ctx: typer.Context, url: Url = None, email: Email = None) -> None:
    """Ask for a new password: a code is mailed to you, for: farsite account reset"""
    address = required(email, "E-mail", "--email")
    _on(ctx, url, lambda cloud: cloud.forgot_password(address))
    Invocation(ctx).output.result({"mailed": True}, f"If {address} has an account, a mail is on its way.")


@account.command("reset")
def reset(ctx: typer.Context, url: Url = None, code: Code = None, password_stdin: Stdin = False) -> None:
    """Use the mailed code, and choose a new password. Everybody signed in is signed out."""
    given = required(code, "Code", "--code")
    password = _new_password(password_stdin)
    _on(ctx, url, lambda cloud: cloud.reset_password(given, password))
    Invocation(ctx).output.result({"reset": True}, "The password is changed. Sign in with: farsite login")


@account.command("password")
def change_password(ctx: typer.Context) -> None:
    """Change your password. Both are asked for, or read from FARSITE_CLIENT_PASSWORD and FARSITE_CLIENT_NEW_PASSWORD."""
    invocation = Invocation(ctx)
    current = read_password(PASSWORD, "Password", from_stdin=False)
    fresh = _new_password(False, NEW_PASSWORD)
    on_cloud(invocation, lambda cloud, organization: cloud.change_password(current, fresh))
    invocation.output.result({"changed": True}, "Changed. Other sign-ins and access tokens have ended.")


@account.command("sessions")
def sessions(ctx: typer.Context) -> None:
    """Where you are signed in."""
    invocation = Invocation(ctx)
    found = on_cloud(invocation, lambda cloud, organization: cloud.sign_ins())
    rows = [
        (
            "this one" if one.current else "",
            f"{one.created_at:%Y-%m-%d %H:%M}",
            ago(one.used_at),
            f"{min(one.unused_until or one.expires_at, one.expires_at):%Y-%m-%d}",
            one.used_from or one.source,
            one.agent,
            one.id,
        )
        for one in found
    ]
    columns = ("", "SINCE (UTC)", "LAST USED", "ENDS UNUSED", "FROM", "PROGRAM", "ID")
    invocation.output.table(found, columns, rows, "Nowhere.")


@account.command("end")
def end(
    ctx: typer.Context,
    session: Annotated[str | None, typer.Argument(help="Id; without one every other sign-in ends.")] = None,
) -> None:
    """End sign-ins elsewhere; their tunnels close."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> None:
        if session is None:
            await cloud.end_other_sign_ins()
        else:
            await cloud.end_sign_in(session)

    on_cloud(invocation, act)
    invocation.output.result({"ended": session or "others"}, "Ended.")


account.command("name")(name)
account.command("email")(email)
account.command("delete")(delete_account)
