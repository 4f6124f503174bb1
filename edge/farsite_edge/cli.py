"""`farsite edge …` and `farsite simulator`. Heavy imports wait until a command runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from farsite_edge.simulator.command import simulator
from farsite_signaling.wire.refusals import plain

if TYPE_CHECKING:
    from farsite_edge.settings import EdgeSettings

__all__ = ["doctor", "edge", "simulator"]

edge = typer.Typer(help="Run and set up an edge host on this machine.", no_args_is_help=True)
T = TypeVar("T")

ConfigOption = Annotated[Path | None, typer.Option("--config", help="Settings file (TOML).")]
DataOption = Annotated[Path | None, typer.Option("--data-dir", help="Where keys and database live.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


@edge.command()
def run(
    config: ConfigOption = None,
    data_dir: DataOption = None,
    as_json: JsonOption = False,
    name: Annotated[str | None, typer.Option(help="Name until claimed.")] = None,
    bind: Annotated[list[str] | None, typer.Option(help="Address to listen on; repeatable.")] = None,
    http_port: Annotated[int | None, typer.Option(help="HTTP discovery (37080).")] = None,
    https_port: Annotated[int | None, typer.Option(help="HTTPS API (37443).")] = None,
    multicast_port: Annotated[int | None, typer.Option(help="UDP discovery (6801).")] = None,
    multicast: Annotated[bool | None, typer.Option(help="Answer UDP discovery.")] = None,
    cloud_ca: Annotated[Path | None, typer.Option(help="PEM to trust for the cloud.")] = None,
    turn_ca: Annotated[Path | None, typer.Option(help="PEM to trust for TURN over TLS.")] = None,
    allow_http_cloud: Annotated[bool | None, typer.Option(help="Allow an http:// cloud (trials).")] = None,
    allow_loopback_devices: Annotated[
        bool | None, typer.Option(help="Accept devices on this machine (simulator).")
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any other setting; repeatable.")
    ] = None,
    supervised: Annotated[
        bool,
        typer.Option("--supervised", help="Start it again when it dies or hangs (where systemd does not)."),
    ] = False,
) -> None:
    """Run the edge host until it is told to stop."""
    if supervised:
        from farsite_edge.supervisor.supervisor import same_without_flag, supervise

        raise typer.Exit(supervise(same_without_flag()))
    flags = {
        "data_dir": data_dir,
        "name": name,
        "bind": bind or None,
        "http_port": http_port,
        "https_port": https_port,
        "multicast_port": multicast_port,
        "multicast": multicast,
        "cloud_ca": cloud_ca,
        "turn_ca": turn_ca,
        "allow_http_cloud": allow_http_cloud,
        "allow_loopback_devices": allow_loopback_devices,
    }

    def start() -> None:
        from farsite_edge.service import serve

        settings = _settings(config, flags | _pairs(setting or []))
        serve(settings, as_json=as_json)

    _guarded(start, as_json)


@edge.command()
def claim(
    code: Annotated[str, typer.Argument(help="The one-time setup code.")],
    cloud: Annotated[str, typer.Option("--cloud", help="The cloud's address, https://…")],
    proxy: Annotated[
        str | None,
        typer.Option(
            help="http://user:password@host:port or socks5://…; with a password better by environment.",
            envvar="FARSITE_EDGE_PROXY_ADDRESS",
            show_envvar=True,
        ),
    ] = None,
    remote_access: Annotated[bool, typer.Option("--remote-access", help="Allow remote access.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Leave the organization it belongs to now, or did.")
    ] = False,
    config: ConfigOption = None,
    data_dir: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Claim this edge host into an organization, whether it runs or not."""

    def act() -> None:
        import asyncio

        from farsite_edge.commands import claim as claim_here
        from farsite_edge.commands import runs
        from farsite_edge.wording import claimed
        from farsite_signaling.wire.edge_api import ClaimRequest

        body: dict[str, Any] = {"code": code, "cloud_url": cloud}
        body |= {"remote_access": remote_access, "again": again}
        body |= {"proxy_address": proxy} if proxy else {}
        request = ClaimRequest.model_validate(body)
        settings = _settings(config, {"data_dir": data_dir})
        info = asyncio.run(claim_here(settings, request))
        if as_json:
            typer.echo(info.model_dump_json())
            return
        running = asyncio.run(runs(settings))
        lines = claimed(
            info.name, info.organization, settings.data_dir, running=running, remote=remote_access
        )
        typer.echo("\n".join(lines))

    _guarded(act, as_json)


@edge.command()
def status(config: ConfigOption = None, data_dir: DataOption = None, as_json: JsonOption = False) -> None:
    """How the running edge host is doing."""

    def act() -> None:
        from farsite_edge.commands import status as ask

        _wait(ask(_settings(config, {"data_dir": data_dir})), as_json)

    _guarded(act, as_json)


@edge.command()
def health(config: ConfigOption = None, data_dir: DataOption = None, as_json: JsonOption = False) -> None:
    """Exit code 0 when the edge host answers within five seconds: for containers and monitoring."""

    def act() -> None:
        from farsite_edge.commands import health as ask

        _wait(ask(_settings(config, {"data_dir": data_dir})), as_json)

    _guarded(act, as_json)


@edge.command("systemd-unit")
def systemd_unit(
    user: Annotated[str, typer.Option("--user", help="Who it runs as.")] = "farsite",
    data_dir: DataOption = None,
) -> None:
    """Print a systemd unit that keeps the edge host running."""

    def act() -> None:
        from farsite_edge.supervisor.unit import program, unit

        typer.echo(unit(program(), user=user, folder=data_dir), nl=False)

    _guarded(act, as_json=False)


@edge.command()
def info(config: ConfigOption = None, data_dir: DataOption = None, as_json: JsonOption = False) -> None:
    """Who the running edge host is: its id, ports and certificate fingerprint."""

    def act() -> None:
        from farsite_edge.commands import info as ask

        _wait(ask(_settings(config, {"data_dir": data_dir})), as_json)

    _guarded(act, as_json)


@edge.command()
def settings(
    remote_access: Annotated[str | None, typer.Option(metavar="on|off", help="Remote access.")] = None,
    proxy: Annotated[str | None, typer.Option(help="Proxy address; empty removes it.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the edge host.")] = None,
    config: ConfigOption = None,
    data_dir: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show or change the edge host's connections: remote access, proxy address, name."""
    if remote_access not in (None, "on", "off"):
        raise typer.BadParameter("on or off", param_hint="--remote-access")
    body: dict[str, Any] = {"proxy_address": proxy, "name": name}
    body["remote_access"] = None if remote_access is None else remote_access == "on"
    body = {key: value for key, value in body.items() if value is not None}

    def act() -> None:
        from farsite_edge.commands import settings as ask

        _wait(ask(_settings(config, {"data_dir": data_dir}), body), as_json)

    _guarded(act, as_json)


@edge.command("os-index")
def os_index(
    folder: Annotated[Path, typer.Argument(help="Folder of AXIS OS images.")],
    key: Annotated[
        Path | None, typer.Option("--key", help="Ed25519 private key (PEM) to sign it with.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write an index of images, for a web server that edge hosts download them from."""

    def act() -> None:
        from farsite_edge.os_catalogue.make import make_index

        _tell(make_index(folder, key), as_json)

    _guarded(act, as_json)


@edge.command("debug-bundle")
def debug_bundle(
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write, or - for standard output.", dir_okay=False)
    ] = None,
    anonymous: Annotated[
        bool, typer.Option("--anonymous", help="Replace serial numbers, addresses and names.")
    ] = False,
    config: ConfigOption = None,
    data_dir: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Collect what is needed to find a fault, without secrets, whether the edge host runs or not."""

    def act() -> None:
        from farsite_edge.debug_bundle.command import write

        write(_settings(config, {"data_dir": data_dir}), out, anonymous=anonymous, as_json=as_json)

    _guarded(act, as_json)


def _doctor(config: ConfigOption = None, data_dir: DataOption = None, as_json: JsonOption = False) -> None:
    """Check network, ports, certificates, storage and devices of this edge host; exit code 1 when something fails."""

    def act() -> int:
        import asyncio

        from farsite_edge.doctor import examine
        from farsite_signaling.checks import show

        return show(asyncio.run(examine(_settings(config, {"data_dir": data_dir}))), as_json=as_json)

    raise typer.Exit(_guarded(act, as_json))


# `farsite edge doctor`, and `farsite doctor` for short.
doctor = typer.Typer(add_completion=False, rich_markup_mode=None)
for _app in (edge, doctor):
    _app.command("doctor")(_doctor)


def _settings(config: Path | None, flags: dict[str, Any]) -> EdgeSettings:
    from farsite_edge.settings import load_settings

    return load_settings(flags, file=config)


def _pairs(given: list[str]) -> dict[str, str]:
    for text in given:
        if "=" not in text:
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--set")
    return dict(text.split("=", 1) for text in given)


def _wait(work: Coroutine[Any, Any, Any], as_json: bool) -> None:
    import asyncio

    _tell(asyncio.run(work).model_dump(mode="json"), as_json)


def _tell(values: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(values))
        return
    width = max(len(name) for name in values)
    for name, value in values.items():
        if value in ("", []):
            continue
        typer.echo(f"{name.replace('_', ' '):<{width}}  {_shown(value)}")


def _shown(value: object) -> object:
    if value is None or isinstance(value, bool):
        return {None: "-", True: "yes", False: "no"}[value]
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _guarded(act: Callable[[], T], as_json: bool) -> T:
    """Errors a user can act on: a line on stderr, or the problem as JSON; exit code 1."""
    from pydantic import ValidationError

    from farsite_signaling.wire.errors import FarsiteError

    try:
        return act()
    except FarsiteError as error:
        if as_json:
            typer.echo(error.problem().model_dump_json(exclude_none=True))
        else:
            typer.echo(f"error: {error}", err=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        typer.echo(f"error: {first['loc'][-1]}: {plain(first['msg'])}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        sys.stderr.write("\n")
    raise typer.Exit(1)
