"""`farsite cloud account …`. Imports nothing heavy: `farsite --help` loads this module."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

account = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Accounts: find, disable, sign out, lost second factors, lost passwords.",
)
Config = Annotated[Path | None, typer.Option("--config", help="Settings file (TOML).")]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Database, keys and secrets.")]
Json = Annotated[bool, typer.Option("--json", help="JSON, one line per event.")]


@account.command("list")
def list_accounts(config: Config = None, data_dir: DataDir = None, json: Json = False) -> None:
    """Everybody who has an account, their second factors and organizations."""
    from farsite_cloud.commands import accounts
    from farsite_cloud.commands.desk import run
    from farsite_cloud.commands.failure import told
    from farsite_cloud.settings import load_settings

    with told(json):
        found = run(load_settings({"data_dir": data_dir}, file=config), accounts.list_accounts)
        lines = [
            f"{one['email']}\t{one['name']}\t{', '.join(one['second_factors']) or '-'}\t"
            f"{', '.join(one['organizations']) or '-'}"
            for one in found
        ]
        _show(json, "\n".join(lines) or "Nobody.", accounts=found)


@account.command("find")
def find(email: str, config: Config = None, data_dir: DataDir = None, json: Json = False) -> None:
    """One account by its address: second factors, organizations, sign-ins, last use."""
    from farsite_cloud.commands import accounts
    from farsite_cloud.commands.desk import run
    from farsite_cloud.commands.failure import told
    from farsite_cloud.settings import load_settings

    with told(json):
        settings = load_settings({"data_dir": data_dir}, file=config)
        one = run(settings, lambda desk: accounts.find(desk, email))
        lines = [
            f"{name.replace('_', ' ')}: {', '.join(value) or '-' if isinstance(value, list) else value or '-'}"
            for name, value in one.items()
        ]
        _show(json, "\n".join(lines), **one)


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
    from farsite_cloud.commands.desk import run
    from farsite_cloud.commands.failure import told
    from farsite_cloud.settings import load_settings

    with told(json):
        settings = load_settings({"data_dir": data_dir}, file=config)
        done = run(settings, lambda desk: accounts.disable(desk, email, reason[:500]))
        _show(json, f"{done['email']} is disabled; {done['ended']} sign-ins ended.", **done)


@account.command("enable")
def enable(email: str, config: Config = None, data_dir: DataDir = None, json: Json = False) -> None:
    """Let its owner in again; they are told by mail."""
    from farsite_cloud.commands import accounts
    from farsite_cloud.commands.desk import run
    from farsite_cloud.commands.failure import told
    from farsite_cloud.settings import load_settings

    with told(json):
        settings = load_settings({"data_dir": data_dir}, file=config)
        done = run(settings, lambda desk: accounts.enable(desk, email))
        _show(json, f"{done['email']} is enabled.", **done)


@account.command("sign-out")
def sign_out(email: str, config: Config = None, data_dir: DataDir = None, json: Json = False) -> None:
    """End all of somebody's sign-ins and access tokens, with their tunnels; they are told by mail."""
    from farsite_cloud.commands import accounts
    from farsite_cloud.commands.desk import run
    from farsite_cloud.commands.failure import told
    from farsite_cloud.settings import load_settings

    with told(json):
        settings = load_settings({"data_dir": data_dir}, file=config)
        done = run(settings, lambda desk: accounts.sign_out(desk, email))
        _show(json, f"{done['email']}: {done['ended']} sign-ins and access tokens ended.", **done)


@account.command("reset-mfa")
def reset_mfa(email: str, config: Config = None, data_dir: DataDir = None, json: Json = False) -> None:
    """Remove somebody's second factors and sign them out everywhere; they are told by mail. Be sure who asks."""
    from farsite_cloud.commands import accounts
    from farsite_cloud.commands.desk import run
    from farsite_cloud.commands.failure import told
    from farsite_cloud.settings import load_settings

    with told(json):
        settings = load_settings({"data_dir": data_dir}, file=config)
        done = run(settings, lambda desk: accounts.reset_mfa(desk, email))
        removed = ", ".join(done["removed"]) or "none was on"
        _show(json, f"{done['email']}: removed {removed}; {done['ended']} sign-ins ended.", **done)


@account.command("password-code")
def password_code(email: str, config: Config = None, data_dir: DataDir = None, json: Json = False) -> None:
    """A code somebody chooses a new password with (one hour, once), to be handed over by you."""
    from farsite_cloud.commands import accounts
    from farsite_cloud.commands.desk import run
    from farsite_cloud.commands.failure import told
    from farsite_cloud.settings import load_settings

    with told(json):
        settings = load_settings({"data_dir": data_dir}, file=config)
        made = run(settings, lambda desk: accounts.password_code(desk, email))
        text = (
            f"Code for {made['email']}: {made['code']}\nTo be used with: farsite account reset {made['url']}"
        )
        _show(json, text, **made)


def _show(as_json: bool, text: str, **values: Any) -> None:
    import json as encoder

    typer.echo(encoder.dumps(values) if as_json else text)
