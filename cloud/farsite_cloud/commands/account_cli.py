"""`farsite cloud account …`. Imports nothing heavy: `farsite --help` loads this module."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from farsite_cloud.commands.operating import Config, DataDir, Json, do, lines

account = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Accounts: find, disable, sign out, lost second factors, lost passwords.",
)


@account.command("list")
def list_accounts(config: Config = None, data_dir: DataDir = None, json: Json = False) -> None:
    """Everybody who has an account, their second factors and organizations."""
    from farsite_cloud.commands import accounts

    do(accounts.list_accounts, _listed, config, data_dir, json, key="accounts")


def _listed(found: list[dict[str, Any]]) -> str:
    rows = [
        f"{one['email']}\t{one['name']}\t{', '.join(one['second_factors']) or '-'}\t"
        f"{', '.join(one['organizations']) or '-'}"
        for one in found
    ]
    return "\n".join(rows) or "Nobody."


@account.command("find")
def find(email: str, config: Config = None, data_dir: DataDir = None, json: Json = False) -> None:
    """One account by its address: second factors, organizations, sign-ins, last use."""
    from farsite_cloud.commands import accounts

    do(lambda desk: accounts.find(desk, email), lines, config, data_dir, json)


@account.command("disable")
def disable(
    email: str,
    reason: Annotated[str, typer.Option("--reason", help="Told to its owner.")] = "",
    config: Config = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Let nobody into an account; sign-ins and tunnels end within seconds. Its owner is told by mail."""
    from farsite_cloud.commands import accounts

    def text(done: dict[str, Any]) -> str:
        return f"{done['email']} is disabled; {done['ended']} sign-ins ended."

    do(lambda desk: accounts.disable(desk, email, reason[:500]), text, config, data_dir, json)


@account.command("enable")
def enable(email: str, config: Config = None, data_dir: DataDir = None, json: Json = False) -> None:
    """Let its owner in again; they are told by mail."""
    from farsite_cloud.commands import accounts

    def text(done: dict[str, Any]) -> str:
        return f"{done['email']} is enabled."

    do(lambda desk: accounts.enable(desk, email), text, config, data_dir, json)


@account.command("sign-out")
def sign_out(email: str, config: Config = None, data_dir: DataDir = None, json: Json = False) -> None:
    """End all of somebody's sign-ins and access tokens, with their tunnels; they are told by mail."""
    from farsite_cloud.commands import accounts

    def text(done: dict[str, Any]) -> str:
        return f"{done['email']}: {done['ended']} sign-ins and access tokens ended."

    do(lambda desk: accounts.sign_out(desk, email), text, config, data_dir, json)


@account.command("reset-mfa")
def reset_mfa(email: str, config: Config = None, data_dir: DataDir = None, json: Json = False) -> None:
    """Remove somebody's second factors and sign them out everywhere; they are told by mail. Be sure who asks."""
    from farsite_cloud.commands import accounts

    def text(done: dict[str, Any]) -> str:
        removed = ", ".join(done["removed"]) or "none was on"
        return f"{done['email']}: removed {removed}; {done['ended']} sign-ins ended."

    do(lambda desk: accounts.reset_mfa(desk, email), text, config, data_dir, json)


@account.command("password-code")
def password_code(email: str, config: Config = None, data_dir: DataDir = None, json: Json = False) -> None:
    """A code somebody chooses a new password with (one hour, once), to be handed over by you."""
    from farsite_cloud.commands import accounts

    def text(made: dict[str, Any]) -> str:
        return (
            f"Code for {made['email']}: {made['code']}\nTo be used with: farsite account reset {made['url']}"
        )

    do(lambda desk: accounts.password_code(desk, email), text, config, data_dir, json)
