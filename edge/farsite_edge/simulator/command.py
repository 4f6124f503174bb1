"""`farsite simulator`: run simulated devices until stopped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from farsite_edge.simulator.models import DeviceDescription
    from farsite_edge.simulator.simulator import Simulator
    from farsite_signaling.wire.errors import FarsiteError

simulator = typer.Typer(add_completion=False)


@simulator.callback(invoke_without_command=True)
def run(
    ctx: typer.Context,
    count: int = typer.Option(5, min=1, max=1000, help="How many devices."),
    models: str = typer.Option("", help="Model names, comma separated, taken in turn; default: all."),
    config: Path | None = typer.Option(
        None, exists=True, dir_okay=False, help="TOML file that describes the devices."
    ),
    bind: str = typer.Option(
        "127.0.0.1", help="Address, or network such as 127.0.1.0/24: one address per device."
    ),
    first_port: int = typer.Option(
        0, min=0, max=65535, help="First HTTP port; 0: free ports (80 in a network)."
    ),
    site: str = typer.Option("", help="Name of the site: another one has other serial numbers."),
    factory_default: int = typer.Option(0, min=0, help="How many of them are factory new."),
    username: str = typer.Option("root", help="Account of every device."),
    password: str = typer.Option("farsite-demo", help="Password of every device."),
    https: bool = typer.Option(True, help="HTTPS with a self-signed certificate, where the firmware has it."),
    multicast: bool = typer.Option(True, help="Announce the devices by mDNS and SSDP."),
    interface: list[str] = typer.Option([], help="Address of this machine to announce on; may be repeated."),
    boot_seconds: float | None = typer.Option(
        None, min=0, max=3600, help="How long a restart takes; default: 3."
    ),
    as_json: bool = typer.Option(False, "--json", help="One JSON line per event."),
) -> None:
    """Simulate Axis-style devices of several models and firmware generations."""
    if ctx.invoked_subcommand is not None:
        return
    import asyncio

    from farsite_edge.simulator.models import describe, load
    from farsite_edge.simulator.simulator import Simulator
    from farsite_signaling.wire.errors import FarsiteError

    try:
        names = [name for name in models.split(",") if name.strip()]
        described: list[DeviceDescription] = (
            load(config)
            if config
            else describe(
                count,
                names,
                factory_default=factory_default,
                username=username,
                password=password,
                site=site,
            )
        )
        if boot_seconds is not None:
            described = [replace(one, boot_seconds=boot_seconds) for one in described]
        made = Simulator(
            described,
            bind=bind,
            first_port=first_port,
            https=https,
            multicast=multicast,
            interfaces=interface,
        )
        asyncio.run(_serve(made, as_json))
    except FarsiteError as error:
        _fail(error, as_json)


@simulator.command("image")
def image(
    model: str = typer.Argument(help="Model the image is for; several separated by commas."),
    version: str = typer.Argument(help="Its version, such as 12.10.1."),
    file: Path = typer.Argument(help="File to write.", dir_okay=False),
    size: int = typer.Option(1, min=0, max=512, help="MiB of payload."),
    unsigned: bool = typer.Option(False, "--unsigned", help="One that devices refuse."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Make an AXIS OS image that simulated devices take."""
    from farsite_edge.simulator.image import make_image
    from farsite_signaling.wire.errors import ErrorCode, FarsiteError
    from farsite_signaling.wire.os_versions import parse

    if not parse(version):
        raise typer.BadParameter("a version is written like 12.10.1", param_hint="VERSION")
    names = [name.strip() for name in model.split(",") if name.strip()]
    try:
        make_image(file, names, version, size=size * 1024 * 1024, signed=not unsigned)
    except OSError as error:
        detail = f"{file} cannot be written: {error.strerror or error}."
        _fail(FarsiteError(ErrorCode.STORAGE_FAILED, detail), as_json)
    row = {"file": str(file), "models": names, "version": version, "bytes": file.stat().st_size}
    typer.echo(
        json.dumps(row) if as_json else f"{file}: {version} for {', '.join(names)}, {row['bytes']} bytes"
    )


async def _serve(made: Simulator, as_json: bool) -> None:
    import asyncio
    import signal

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows: Ctrl+C raises KeyboardInterrupt instead
            break
    async with made:
        _announce(made, as_json)
        await stop.wait()


def _announce(made: Simulator, as_json: bool) -> None:
    devices = [_row(device) for device in made.devices]
    if as_json:
        typer.echo(json.dumps({"event": "ready", "devices": devices, "problems": made.problems}))
        return
    for row in devices:
        state = "factory new" if row["setup_required"] else f"{row['username']} / {row['password']}"
        typer.echo(f"{row['serial']}  {row['url']:<28} {row['model']:<12} {row['version']:<10} {state}")
    for problem in made.problems:
        typer.echo(f"warning: {problem}", err=True)
    typer.echo(f"{len(devices)} simulated devices are ready. Stop with Ctrl+C.")


def _row(device: Any) -> dict[str, Any]:
    from farsite_edge.simulator.device import url_host

    return {
        "serial": device.serial,
        "address": device.address,
        "http_port": device.http_port,
        "https_port": device.https_port,
        "url": f"http://{url_host(device.address)}:{device.http_port}/",
        "username": device.username,
        "password": device.password,
        "model": device.model.number,
        "version": device.version,
        "setup_required": device.needs_setup,
        "video": device.model.video,
    }


def _fail(error: FarsiteError, as_json: bool) -> None:
    if as_json:
        typer.echo(error.problem().model_dump_json())
    else:
        typer.echo(f"error: {error}", err=True)
    raise typer.Exit(1)
