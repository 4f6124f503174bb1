"""The cloud's commands. Imports nothing heavy: `farsite --help` loads this module."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from farsite_cloud.catalogue.cli import catalogue
from farsite_cloud.commands.account_cli import account
from farsite_cloud.turn.command import turn_config

__all__ = ["cloud", "turn_config", "up"]

up = typer.Typer(add_completion=False, rich_markup_mode=None)
cloud = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Manage this cloud."
)
cloud.add_typer(account, name="account")

Config = Annotated[Path | None, typer.Option("--config", help="Settings file (TOML).")]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Database, keys and secrets.")]
Json = Annotated[bool, typer.Option("--json", help="JSON, one line per event.")]


@up.command(name="up")
def up_command(
    config: Config = None,
    data_dir: DataDir = None,
    database: Annotated[
        str | None,
        typer.Option("--database", help="postgresql://… (SQLite); a password in FARSITE_DATABASE rather."),
    ] = None,
    redis: Annotated[
        str | None, typer.Option("--redis", help="redis://…, shared by all processes of this cloud.")
    ] = None,
    database_pool: Annotated[
        int | None, typer.Option("--database-pool", help="PostgreSQL connections at most (10).")
    ] = None,
    database_timeout: Annotated[
        float | None, typer.Option("--database-timeout", help="Seconds for a statement of PostgreSQL (2).")
    ] = None,
    bind: Annotated[
        str | None, typer.Option("--bind", help="Address to listen on (127.0.0.1; with TLS every one).")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", help="Port (8080; with TLS 443). 0: any free one.")
    ] = None,
    tls_certificate: Annotated[Path | None, typer.Option("--tls-certificate", help="PEM chain.")] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", help="PEM private key.")] = None,
    public_url: Annotated[
        str | None, typer.Option("--public-url", help="Address everybody reaches this cloud at.")
    ] = None,
    trusted_proxies: Annotated[
        str | None, typer.Option("--trusted-proxies", help="Networks whose X-Forwarded-For is believed.")
    ] = None,
    owner_email: Annotated[
        str | None, typer.Option("--owner-email", help="First run: the owner's address.")
    ] = None,
    organization: Annotated[
        str | None, typer.Option("--organization", help="First run: the organization's name.")
    ] = None,
    turn: Annotated[
        str | None, typer.Option("--turn", help="Relay: auto (coturn when installed), off, external.")
    ] = None,
    turn_host: Annotated[
        str | None, typer.Option("--turn-host", help="Where clients reach the relay.")
    ] = None,
    turn_listening_ip: Annotated[
        str | None, typer.Option("--turn-listening-ip", help="Addresses the relay listens on.")
    ] = None,
    turn_external_ip: Annotated[
        str | None, typer.Option("--turn-external-ip", help="Relay behind 1:1 NAT: its public address.")
    ] = None,
    turn_port: Annotated[int | None, typer.Option("--turn-port", help="Relay port (3478).")] = None,
    turn_tls_port: Annotated[
        int | None, typer.Option("--turn-tls-port", help="Relay TLS port (5349); 0 closes it.")
    ] = None,
    turn_alt_tls_port: Annotated[
        int | None, typer.Option("--turn-alt-tls-port", help="Second relay TLS port (443); 0 closes it.")
    ] = None,
    turn_certificate: Annotated[
        Path | None, typer.Option("--turn-certificate", help="Relay's PEM chain (else one is made).")
    ] = None,
    turn_key: Annotated[Path | None, typer.Option("--turn-key", help="Relay's PEM private key.")] = None,
    turn_min_port: Annotated[int | None, typer.Option("--turn-min-port", help="First relayed port.")] = None,
    turn_max_port: Annotated[int | None, typer.Option("--turn-max-port", help="Last relayed port.")] = None,
    turn_user_quota: Annotated[
        int | None, typer.Option("--turn-user-quota", help="Relay allocations of one session (24).")
    ] = None,
    turn_total_quota: Annotated[
        int | None, typer.Option("--turn-total-quota", help="Relay allocations at a time (4000).")
    ] = None,
    turn_max_bps: Annotated[
        int | None, typer.Option("--turn-max-bps", help="Bytes/s of an allocation each way (no limit).")
    ] = None,
    turn_credential_ttl: Annotated[
        int | None,
        typer.Option("--turn-credential-ttl", help="Seconds a relay credential is good for (3600)."),
    ] = None,
    turn_user: Annotated[str | None, typer.Option("--turn-user", help="Account coturn continues as.")] = None,
    turn_allowed_peer: Annotated[
        str | None, typer.Option("--turn-allowed-peer", help="Exceptions to the relay's denied ranges.")
    ] = None,
    turn_allow_loopback: Annotated[
        bool | None, typer.Option("--turn-allow-loopback", help="Relay to this machine: trials only.")
    ] = None,
    sign_up: Annotated[
        str | None, typer.Option("--sign-up", help="Who may make an account: open, or invited.")
    ] = None,
    deletion_grace_days: Annotated[
        int | None,
        typer.Option("--deletion-grace-days", help="To restore a deleted organization, days (30)."),
    ] = None,
    support_max_days: Annotated[
        int | None, typer.Option("--support-max-days", help="Longest support access, days (30).")
    ] = None,
    smtp_host: Annotated[
        str | None, typer.Option("--smtp-host", help="Mail server (else mails are kept here).")
    ] = None,
    smtp_port: Annotated[int | None, typer.Option("--smtp-port", help="Its port (587).")] = None,
    smtp_security: Annotated[
        str | None, typer.Option("--smtp-security", help="starttls, tls or none.")
    ] = None,
    smtp_username: Annotated[
        str | None, typer.Option("--smtp-username", help="Account there; FARSITE_SMTP_PASSWORD beside it.")
    ] = None,
    smtp_from: Annotated[str | None, typer.Option("--smtp-from", help="Sender of mails.")] = None,
    smtp_ca_file: Annotated[
        Path | None, typer.Option("--smtp-ca-file", help="PEM authorities of the mail server.")
    ] = None,
    licensing: Annotated[
        str | None, typer.Option("--licensing", help="off: nothing is limited; on: licences are asked for.")
    ] = None,
    licence_keys: Annotated[
        str | None, typer.Option("--licence-keys", help="Files with licence authorities' public keys.")
    ] = None,
    licence_trial_days: Annotated[
        int | None, typer.Option("--licence-trial-days", help="Length of the trial (30).")
    ] = None,
    audit_retention_days: Annotated[
        int | None, typer.Option("--audit-retention-days", help="Days audit rows are kept (0: for ever).")
    ] = None,
    outbound_allowed: Annotated[
        str | None,
        typer.Option(
            "--outbound-allowed", help="Internal networks webhooks and identity providers may be in."
        ),
    ] = None,
    outbound_ca_file: Annotated[
        Path | None, typer.Option("--outbound-ca-file", help="PEM authorities of those.")
    ] = None,
    catalogue: Annotated[
        Path | None,
        typer.Option("--catalogue", help="What is known of models: CSV or JSON, read at the start."),
    ] = None,
    log_level: Annotated[
        str | None, typer.Option("--log-level", help="debug, info, warning or error.")
    ] = None,
    json: Json = False,
) -> None:
    """Run the cloud: API, signaling hub and relay. Secrets are given by environment or file only."""
    flags: dict[str, Any] = dict(locals())
    config, as_json = flags.pop("config"), flags.pop("json")
    from farsite_cloud.commands.failure import told

    with told(as_json):
        from farsite_cloud.commands.up import serve

        serve(flags, config, as_json)


audit = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="The audit logs of this cloud."
)
cloud.add_typer(audit, name="audit")
cloud.add_typer(catalogue, name="catalogue")
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
