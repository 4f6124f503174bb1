"""`farsite turn-config`: coturn's configuration for a relay that runs on a machine of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

turn_config = typer.Typer(add_completion=False, rich_markup_mode=None)

_PREFIX = "FARSITE_TURN_"


def _option(name: str, text: str, **more: Any) -> Any:
    return typer.Option(f"--{name}", envvar=_PREFIX + name.upper().replace("-", "_"), help=text, **more)


@turn_config.command(name="turn-config")
def render_command(
    host: Annotated[str | None, _option("host", "Name or address clients reach the relay at.")] = None,
    secret: Annotated[
        list[str] | None,
        _option("secret", "Shared with the cloud; give the old one as a second during rotation."),
    ] = None,
    realm: Annotated[str | None, _option("realm", "TURN realm (default: farsite).")] = None,
    listening_ip: Annotated[
        list[str] | None, _option("listening-ip", "Address to listen on and relay from (default: every one).")
    ] = None,
    external_ip: Annotated[
        str | None, _option("external-ip", "Behind 1:1 NAT: PUBLIC or PUBLIC/PRIVATE address.")
    ] = None,
    port: Annotated[int | None, _option("port", "UDP and TCP (default: 3478); 0 closes it.")] = None,
    tls_port: Annotated[int | None, _option("tls-port", "TLS (default: 5349); 0 closes it.")] = None,
    alt_tls_port: Annotated[
        int | None,
        _option("alt-tls-port", "TLS for sites where nothing but 443 is open (default: 443); 0 closes it."),
    ] = None,
    certificate: Annotated[Path | None, _option("certificate", "PEM certificate chain for TLS.")] = None,
    key: Annotated[Path | None, _option("key", "PEM private key for TLS.")] = None,
    min_port: Annotated[int | None, _option("min-port", "First relay port (default: 49152).")] = None,
    max_port: Annotated[int | None, _option("max-port", "Last relay port (default: 65535).")] = None,
    user_quota: Annotated[
        int | None, _option("user-quota", "Allocations of one session (default: 24).")
    ] = None,
    total_quota: Annotated[
        int | None, _option("total-quota", "Allocations at a time (default: 4000).")
    ] = None,
    max_bps: Annotated[
        int | None,
        _option("max-bps", "Bytes per second of an allocation each way; 0: no limit (default: 0)."),
    ] = None,
    allowed_peer: Annotated[
        list[str] | None, _option("allowed-peer", "Address, block or range reached although denied.")
    ] = None,
    allow_loopback: Annotated[
        bool | None, typer.Option("--allow-loopback", help="Relay to this machine: trials only.")
    ] = None,
    credential_ttl: Annotated[
        int | None, _option("credential-ttl", "Seconds a credential is good for (default: 3600).")
    ] = None,
    data_dir: Annotated[
        Path | None, _option("data-dir", "coturn's own files (default: /var/lib/farsite/turn).")
    ] = None,
    user: Annotated[str | None, _option("user", "Account coturn continues as.")] = None,
    coturn: Annotated[
        str | None, _option("coturn", "Version to write for, as 4.6.1 (default: the one installed here).")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="TOML file; settings in (default: turn).")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write there, readable by you only.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object: config, urls, output.")] = False,
) -> None:
    """Render coturn's configuration file: REST secret, TLS, relay ports, quotas, denied peers."""
    given: dict[str, object] = {
        "host": host,
        "secrets": secret or None,
        "realm": realm,
        "listening_ips": _split(listening_ip),
        "external_ip": external_ip,
        "port": port,
        "tls_port": tls_port,
        "alt_tls_port": alt_tls_port,
        "certificate": certificate,
        "key": key,
        "min_port": min_port,
        "max_port": max_port,
        "user_quota": user_quota,
        "total_quota": total_quota,
        "max_bps": max_bps,
        "allowed_peers": _split(allowed_peer),
        "allow_loopback": allow_loopback,
        "credential_ttl": credential_ttl,
        "data_dir": data_dir,
        "user": user,
    }
    from farsite_signaling.wire.errors import FarsiteError

    try:
        _run(
            {name: value for name, value in given.items() if value is not None}, config, coturn, output, json_
        )
    except FarsiteError as error:
        if json_:
            print(error.problem().model_dump_json(exclude_none=True))  # noqa: T201 - the command's output
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        raise typer.Exit(1) from None


def _split(values: list[str] | None) -> list[str] | None:
    """Options repeat; the environment says `a, b`."""
    return " ".join(values).replace(",", " ").split() if values else None


def _run(
    given: dict[str, object], config: Path | None, coturn: str | None, output: Path | None, as_json: bool
) -> None:
    from farsite_cloud.turn.config import render, urls
    from farsite_cloud.turn.file import load_settings, write_config

    settings = load_settings(given, config)
    text = render(settings, _version(coturn))
    if output is not None:
        write_config(output, text)
    if as_json:
        answer = {"urls": urls(settings), "config": text, "output": str(output) if output else None}
        print(json.dumps(answer))  # noqa: T201 - the command's output
    elif output is None:
        print(text, end="")  # noqa: T201
    else:
        print(f"Wrote {output}. Start it with: turnserver -c {output}")  # noqa: T201


def _version(text: str | None) -> tuple[int, int, int] | None:
    import asyncio

    from farsite_cloud.turn.version import installed_version, parse_version
    from farsite_signaling.wire.errors import ErrorCode, FarsiteError

    if text is None:
        return asyncio.run(installed_version("turnserver"))
    version = parse_version(text)
    if version is None:
        raise FarsiteError(ErrorCode.SETTING_INVALID, f"{text!r} is no coturn version; write it as 4.6.1.")
    return version
