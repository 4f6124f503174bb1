"""The cloud's commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from farsite_cloud.catalogue.cli import catalogue
from farsite_cloud.commands.account_cli import account
from farsite_cloud.commands.move_cli import move_database
from farsite_cloud.commands.operating import Config, DataDir, Json
from farsite_cloud.commands.organizations_cli import organizations
from farsite_cloud.commands.up_cli import up
from farsite_cloud.turn.command import turn_config

__all__ = ["cloud", "turn_config", "up"]

cloud = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Manage this cloud."
)
cloud.add_typer(account, name="account")
cloud.add_typer(organizations, name="organizations")


audit = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="The audit logs of this cloud."
)
cloud.add_typer(audit, name="audit")
cloud.add_typer(catalogue, name="catalogue")
cloud.command("move-database")(move_database)
Organization = Annotated[
    str | None, typer.Option("--organization", help="Its id, or 'operator'. Without: all of them.")
]


@audit.command("verify")
def audit_verify(
    organization: Organization = None,
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", help="File with an earlier checkpoint.")
    ] = None,
    config: Config = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Recompute the logs' hash chains and say where one breaks; exit code 1 when one does."""
    from farsite_cloud.commands.audit import as_text, verify
    from farsite_cloud.commands.failure import told
    from farsite_cloud.settings import load_settings

    with told(json):
        results = verify(load_settings({"data_dir": data_dir}, file=config), organization, checkpoint)
        _show(json, as_text(results), logs=[result.model_dump(mode="json") for result in results])
    if not all(result.ok for result in results):
        raise typer.Exit(1)


@audit.command("checkpoint")
def audit_checkpoint(
    organization: Organization = None, config: Config = None, data_dir: DataDir = None, json: Json = False
) -> None:
    """Sign where the logs stand now; keep what is printed on another machine."""
    from farsite_cloud.commands.audit import checkpoint
    from farsite_cloud.commands.failure import told
    from farsite_cloud.settings import load_settings

    with told(json):
        made = checkpoint(load_settings({"data_dir": data_dir}, file=config), organization)
        _show(
            json,
            "\n".join(one.model_dump_json() for one in made),
            checkpoints=[one.model_dump(mode="json") for one in made],
        )


@cloud.command("forget-clock")
def forget_clock(config: Config = None, data_dir: DataDir = None, json: Json = False) -> None:
    """Let licences go by the clock as it is now, after one that was far ahead was corrected."""
    from farsite_cloud.commands.failure import told
    from farsite_cloud.commands.licences import forget_clock as run
    from farsite_cloud.settings import load_settings

    with told(json):
        changed = run(load_settings({"data_dir": data_dir}, file=config))
        _show(json, f"{changed} organizations go by this machine's clock again.", organizations=changed)


@cloud.command()
def openapi() -> None:
    """Print the API's OpenAPI document."""
    from farsite_cloud.commands.manage import openapi_text

    typer.echo(openapi_text())


@cloud.command()
def migrate(config: Config = None, data_dir: DataDir = None, json: Json = False) -> None:
    """Bring the database to this release's schema (`farsite up` does it by itself)."""
    from farsite_cloud.commands.failure import told
    from farsite_cloud.commands.manage import migrate as run
    from farsite_cloud.settings import load_settings

    with told(json):
        revision = run(load_settings({"data_dir": data_dir}, file=config))
        _show(json, f"The database has schema {revision}.", revision=revision)


@cloud.command()
def backup(
    file: Annotated[Path, typer.Argument(dir_okay=False, help="The file to write, such as cloud.tar.gz.")],
    config: Config = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Write database, key and secrets to one file, while the cloud runs (SQLite; for PostgreSQL: pg_dump)."""
    from farsite_cloud.commands.backup import backup as run
    from farsite_cloud.commands.failure import told
    from farsite_cloud.settings import load_settings

    with told(json):
        made = run(load_settings({"data_dir": data_dir}, file=config), file)
        key = "" if made.has_key else " The master key is not in it: it is a setting of yours. Keep it too."
        text = (
            f"{made.file}: {made.size / 1024:,.0f} KiB. Who has this file has every organization in it.{key}"
        )
        _show(json, text, file=str(made.file), bytes=made.size, has_key=made.has_key)


@cloud.command()
def restore(
    file: Annotated[Path, typer.Argument(dir_okay=False, help="A file that backup wrote.")],
    config: Config = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Put a backup into a data folder that has no cloud yet."""
    from farsite_cloud.commands.backup import restore as run
    from farsite_cloud.commands.failure import told
    from farsite_cloud.settings import load_settings

    with told(json):
        settings = load_settings({"data_dir": data_dir}, file=config)
        manifest = run(settings, file)
        when = f"{manifest.made_at:%Y-%m-%d %H:%M} UTC"
        text = f"The cloud as it was at {when} is in {settings.data_dir}. Start it with the settings it had: farsite up"
        _show(json, text, data_dir=str(settings.data_dir), **manifest.model_dump(mode="json"))


@cloud.command()
def doctor(config: Config = None, data_dir: DataDir = None, json: Json = False) -> None:
    """Check database, disk, public URL, certificates and relay of this machine; exit code 1 when something fails."""
    import asyncio

    from farsite_cloud.commands.doctor import examine
    from farsite_cloud.commands.failure import told
    from farsite_cloud.settings import load_settings
    from farsite_signaling.checks import show

    with told(json):
        report = asyncio.run(examine(load_settings({"data_dir": data_dir}, file=config)))
    raise typer.Exit(show(report, as_json=json))


@cloud.command()
def reset_password(email: str, config: Config = None, data_dir: DataDir = None, json: Json = False) -> None:
    """Give an account a new password, and sign it out everywhere."""
    from farsite_cloud.commands.failure import told
    from farsite_cloud.commands.manage import reset_password as run
    from farsite_cloud.settings import load_settings

    with told(json):
        password = run(load_settings({"data_dir": data_dir}, file=config), email)
        _show(json, f"New password of {email}: {password}", email=email, password=password)


@cloud.command()
def outbox(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many mails, newest first.")] = 20,
    config: Config = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Mails that were not sent: all of them without a mail server."""
    from farsite_cloud.commands.failure import told
    from farsite_cloud.commands.outbox import as_text, read_outbox
    from farsite_cloud.settings import load_settings

    with told(json):
        mails = read_outbox(load_settings({"data_dir": data_dir}, file=config), limit)
        _show(json, as_text(mails), mails=mails)


def _show(as_json: bool, text: str, **values: Any) -> None:
    import json as encoder

    typer.echo(encoder.dumps(values) if as_json else text)
