"""`farsite account mfa …` and `farsite account passkeys …`: one's second factors."""

from __future__ import annotations

import sys
import webbrowser
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from farsite_client.cli.account import required
from farsite_client.cli.browser import has_browser
from farsite_client.cli.folders import on_cloud
from farsite_client.cli.invocation import Invocation, read_password
from farsite_client.cli.listing import Listing, listing
from farsite_client.cloud import CloudClient
from farsite_client.factors import Proof
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.factor_api import Mfa, Passkey
from farsite_signaling.wire.people_api import MfaSecret

mfa = typer.Typer(cls=listing("status"), help="Second factor: status, on, off, new recovery codes.")
passkeys = typer.Typer(cls=Listing, help="Passkeys: add, list, rename, remove.")
T = TypeVar("T")
PASSWORD = "FARSITE_CLIENT_PASSWORD"
_PAGE = "/account"
Stdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]
Code = Annotated[
    str | None, typer.Option(help="Of the authenticator app, of a mail, or a recovery code (asked for).")
]
ByMail = Annotated[bool, typer.Option("--email", help="Codes by mail instead of an authenticator app.")]
Which = Annotated[str, typer.Argument(metavar="PASSKEY", help="Name or id.")]


def _on(invocation: Invocation, act: Callable[[CloudClient], Awaitable[T]]) -> T:
    return on_cloud(invocation, lambda cloud, organization: act(cloud))


def _proof(invocation: Invocation, code: str | None, from_stdin: bool) -> Proof:
    """The password, and a code when a second factor is on: asked for, mailed before if that is the way."""
    password = read_password(PASSWORD, "Password", from_stdin=from_stdin)
    if code is not None:
        return Proof(password, code)
    state = _on(invocation, lambda cloud: cloud.mfa())
    return Proof(password, _asked_code(invocation, state) if state.enabled else None)


def _asked_code(invocation: Invocation, state: Mfa) -> str:
    if not sys.stdin.isatty():
        raise FarsiteError(ErrorCode.MFA_REQUIRED, "A second factor is on: give a code with --code.")
    if state.email and not state.app:
        _on(invocation, lambda cloud: cloud.mail_own_code())
        invocation.output.note("A code was mailed to you.")
    return str(typer.prompt("Code of your second factor", err=True))


@mfa.command("status")
def mfa_status(ctx: typer.Context) -> None:
    """Which second factors are on."""
    invocation = Invocation(ctx)
    state = _on(invocation, lambda cloud: cloud.mfa())
    invocation.output.result(state, _state_text(state))


def _state_text(state: Mfa) -> str:
    kinds = [("authenticator app", state.app), ("codes by mail", state.email)]
    found = [name for name, there in kinds if there]
    if state.passkeys:
        found.append("1 passkey" if state.passkeys == 1 else f"{state.passkeys} passkeys")
    if found:
        return f"On: {', '.join(found)}; {state.recovery_codes_left} recovery codes are left."
    return "Codes by mail, because an organization asks for them." if state.required else "Off."


@mfa.command("on")
def mfa_on(
    ctx: typer.Context, by_mail: ByMail = False, code: Code = None, password_stdin: Stdin = False
) -> None:
    """Turn a second factor on: an authenticator app (scan the QR code, then give its code), or codes by mail."""
    invocation = Invocation(ctx)
    proof = _proof(invocation, code, password_stdin)
    if by_mail:
        _on(invocation, lambda cloud: cloud.start_email_codes(proof))
        given = _prompt("Code that was mailed to you", "farsite account mfa confirm --email --code CODE")
        codes = _on(invocation, lambda cloud: cloud.enable_email_codes(given))
    else:
        _show_secret(_on(invocation, lambda cloud: cloud.start_mfa(proof)))
        given = _prompt("Code of the app", "farsite account mfa confirm --code CODE")
        codes = _on(invocation, lambda cloud: cloud.enable_mfa(given))
    _show_codes(invocation, codes)


def _prompt(what: str, otherwise: str) -> str:
    try:
        return str(typer.prompt(what, err=True))
    except typer.Abort:
        raise FarsiteError(ErrorCode.MFA_REQUIRED, f"It is on once its code is given: {otherwise}") from None


@mfa.command("confirm")
def mfa_confirm(ctx: typer.Context, by_mail: ByMail = False, code: Code = None) -> None:
    """Finish what `mfa on` began, where it could not ask for the code."""
    invocation, given = Invocation(ctx), required(code, "Code", "--code")
    if by_mail:
        codes = _on(invocation, lambda cloud: cloud.enable_email_codes(given))
    else:
        codes = _on(invocation, lambda cloud: cloud.enable_mfa(given))
    _show_codes(invocation, codes)


def _show_secret(secret: MfaSecret) -> None:
    import segno

    picture = segno.make(secret.uri, error="l")
    width = picture.symbol_size(border=1)[0]
    lines = [[int(module) for module in row] for row in picture.matrix_iter(border=1)]
    for upper, lower in zip(lines[::2], [*lines[1::2], [0] * int(width)], strict=False):
        typer.echo("".join(_HALVES[a, b] for a, b in zip(upper, lower, strict=True)), err=True)
    typer.echo(f"Or type it in: {secret.secret}", err=True)


# Dark modules as spaces, two rows to a line: terminals are mostly dark, and scanners read both ways.
_HALVES = {(0, 0): "█", (0, 1): "▀", (1, 0): "▄", (1, 1): " "}


def _show_codes(invocation: Invocation, codes: list[str]) -> None:
    if codes:
        invocation.output.note(
            "Recovery codes, shown this once; each works once instead of the second factor:"
        )
    invocation.output.result({"recovery_codes": codes}, "  ".join(codes) or "On.")


@mfa.command("off")
def mfa_off(
    ctx: typer.Context,
    by_mail: ByMail = False,
    app: Annotated[bool, typer.Option("--app", help="The authenticator app only.")] = False,
    code: Code = None,
    password_stdin: Stdin = False,
) -> None:
    """Turn codes off: both kinds, or one of them. Passkeys are removed by themselves."""
    invocation = Invocation(ctx)
    factor = None if app == by_mail else ("app" if app else "email")
    proof = _proof(invocation, code, password_stdin)
    _on(invocation, lambda cloud: cloud.disable_mfa(proof, factor))
    invocation.output.result({"enabled": False, "factor": factor}, "Off.")


@mfa.command("recovery-codes")
def recovery_codes(ctx: typer.Context, code: Code = None, password_stdin: Stdin = False) -> None:
    """New recovery codes; the old ones are void."""
    invocation = Invocation(ctx)
    proof = _proof(invocation, code, password_stdin)
    _show_codes(invocation, _on(invocation, lambda cloud: cloud.new_recovery_codes(proof)))


@passkeys.command("add")
def add_passkey(
    ctx: typer.Context,
    no_open: Annotated[bool, typer.Option("--no-open", help="Only show the address.")] = False,
) -> None:
    """Open the cloud's page on which a browser makes a passkey."""
    invocation = Invocation(ctx)
    page = f"{invocation.profile.load().url}{_PAGE}"
    opened = not no_open and not invocation.output.as_json and has_browser() and webbrowser.open(page)
    how = "Your browser shows the page" if opened else "Open this page in a browser"
    invocation.output.result({"page": page}, f"{how}: {page}")


@passkeys.command("list")
def list_passkeys(ctx: typer.Context) -> None:
    """Your passkeys, oldest first."""
    invocation = Invocation(ctx)
    found = _on(invocation, lambda cloud: cloud.passkeys())
    rows = [
        (
            one.name,
            "synced" if one.synced else "this device",
            f"{one.created_at:%Y-%m-%d}",
            f"{one.used_at:%Y-%m-%d %H:%M}" if one.used_at else "never",
            one.id,
        )
        for one in found
    ]
    header = ("NAME", "KEPT", "SINCE", "LAST USED (UTC)", "ID")
    invocation.output.table(found, header, rows, "None.")


@passkeys.command("rename")
def rename_passkey(
    ctx: typer.Context, passkey: Which, name: Annotated[str, typer.Argument(help="What to call it.")]
) -> None:
    """Call a passkey something else."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient) -> Passkey:
        return await cloud.rename_passkey((await _named(cloud, passkey)).id, name)

    renamed = _on(invocation, act)
    invocation.output.result(renamed, f"Now called {renamed.name}.")


@passkeys.command("remove")
def remove_passkey(
    ctx: typer.Context, passkey: Which, code: Code = None, password_stdin: Stdin = False
) -> None:
    """Remove a passkey."""
    invocation = Invocation(ctx)
    proof = _proof(invocation, code, password_stdin)

    async def act(cloud: CloudClient) -> Passkey:
        found = await _named(cloud, passkey)
        await cloud.remove_passkey(found.id, proof)
        return found

    removed = _on(invocation, act)
    invocation.output.result({"removed": removed.id}, f"{removed.name} is removed.")


async def _named(cloud: CloudClient, wanted: str) -> Passkey:
    """Raises `not_found`, and `conflict` where several are called that."""
    found = await cloud.passkeys()
    same = [one for one in found if wanted == one.id or wanted.casefold() == one.name.casefold()]
    if len(same) == 1:
        return same[0]
    if same:
        raise FarsiteError(ErrorCode.CONFLICT, f"Several passkeys are called {wanted!r}: give an id.")
    raise FarsiteError(ErrorCode.NOT_FOUND, f"There is no passkey {wanted!r} of yours.")
