"""`farsite apps EDGE packages|list|start|stop|restart|remove|license|policy`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from farsite_client.cli.devices import Edge
from farsite_client.cli.invocation import Invocation
from farsite_client.cli.listing import listing
from farsite_client.cli.output import size_text
from farsite_client.cli.policies import tell_policy
from farsite_client.cli.reach import Lan
from farsite_client.cli.tasks import on
from farsite_client.edge import EdgeClient
from farsite_signaling.wire.apps_api import MAX_LICENCE, AppAction, AppPackage, DeviceApp
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.policy_api import Policy, PolicyMode

apps = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    cls=listing("packages"),
    help="Apps (ACAP): packages of the edge host's folder, apps of a device, policies that install them.",
)
Device = Annotated[str, typer.Argument(metavar="DEVICE", help="Serial number.")]
App = Annotated[str, typer.Argument(metavar="APP", help="Its name, as 'list' shows it.")]
PACKAGES = ("APP", "VERSION", "ARCHITECTURE", "AXIS OS", "SIGNED", "SIZE", "FILE", "PROBLEM")
APPS = ("APP", "VERSION", "STATUS", "LICENCE", "SIGNED", "VENDOR", "TITLE")


@apps.callback()
def group(ctx: typer.Context, edge: Edge) -> None:
    """Apps (ACAP): packages of the edge host's folder, apps of a device, policies that install them."""
    ctx.ensure_object(dict)["edge"] = edge


@apps.command("packages")
def packages(ctx: typer.Context, lan: Lan = None) -> None:
    """App packages in the edge host's folder, and why some cannot be used."""
    invocation = Invocation(ctx)
    found = on(invocation, ctx.obj["edge"], lan, lambda client: client.apps.packages())
    invocation.output.table(found, PACKAGES, [_package(one) for one in found], "No packages in the folder.")


def _package(one: AppPackage) -> tuple[object, ...]:
    os = f"{one.requires or '?'}–{one.until}" if one.until else (f"{one.requires}+" if one.requires else "")
    signed = "" if one.problem else "yes" if one.signed else "no"
    return (one.name, one.version, one.architecture, os, signed, size_text(one.bytes), one.file, one.problem)


@apps.command("list")
def list_(ctx: typer.Context, device: Device, lan: Lan = None) -> None:
    """The apps of a device."""
    invocation = Invocation(ctx)
    found = on(invocation, ctx.obj["edge"], lan, lambda client: client.apps.of_device(device))
    _show(invocation, found)


def _show(invocation: Invocation, found: list[DeviceApp]) -> None:
    signed = {True: "yes", False: "no", None: ""}
    rows = [
        (one.name, one.version, one.status, one.license, signed[one.signed], one.vendor, one.title)
        for one in found
    ]
    invocation.output.table(found, APPS, rows, "No apps.")


def _control(ctx: typer.Context, device: str, app: str, action: AppAction, lan: str | None) -> None:
    invocation = Invocation(ctx)
    found = on(invocation, ctx.obj["edge"], lan, lambda client: client.apps.control(device, app, action))
    _show(invocation, found)


@apps.command("start")
def start(ctx: typer.Context, device: Device, app: App, lan: Lan = None) -> None:
    """Start an app."""
    _control(ctx, device, app, "start", lan)


@apps.command("stop")
def stop(ctx: typer.Context, device: Device, app: App, lan: Lan = None) -> None:
    """Stop an app."""
    _control(ctx, device, app, "stop", lan)


@apps.command("restart")
def restart(ctx: typer.Context, device: Device, app: App, lan: Lan = None) -> None:
    """Stop an app and start it again."""
    _control(ctx, device, app, "restart", lan)


@apps.command("remove")
def remove(ctx: typer.Context, device: Device, app: App, lan: Lan = None) -> None:
    """Remove an app from a device; a policy that wants it installs it again."""
    invocation = Invocation(ctx)
    found = on(invocation, ctx.obj["edge"], lan, lambda client: client.apps.remove(device, app))
    _show(invocation, found)


@apps.command("license")
def license_(
    ctx: typer.Context,
    device: Device,
    app: App,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="The vendor's key file for this device.", dir_okay=False),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the key.")] = False,
    lan: Lan = None,
) -> None:
    """Install the licence key of an app, or remove it."""
    invocation = Invocation(ctx)
    if (file is None) != remove:
        raise typer.BadParameter("a key file, or --remove: one of them", param_hint="FILE")
    key = "" if file is None else _key(file)

    async def act(client: EdgeClient) -> list[DeviceApp]:
        if remove:
            return await client.apps.unlicense(device, app)
        return await client.apps.license(device, app, key)

    _show(invocation, on(invocation, ctx.obj["edge"], lan, act))


def _key(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_LICENCE + 1)
        text = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise FarsiteError(ErrorCode.INVALID_REQUEST, f"{file} holds no licence key: {error}.") from None
    if not text.strip() or len(content) > MAX_LICENCE:
        raise FarsiteError(
            ErrorCode.INVALID_REQUEST, f"{file} holds no licence key: it is empty or too large."
        )
    return text


@apps.command("policy")
def policy(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="What the policy is to be called.")],
    wanted: Annotated[
        list[str], typer.Argument(metavar="APP...", help="NAME[@VERSION][:running|stopped|any|absent]")
    ],
    window: Annotated[
        str | None,
        typer.Option(metavar="HH:MM-HH:MM", help="Change devices only then, in the site's time zone."),
    ] = None,
    days: Annotated[str | None, typer.Option(help="Days on which the window opens: sat,sun.")] = None,
    report_only: Annotated[bool, typer.Option("--report-only", help="Compare, and change nothing.")] = False,
    lan: Lan = None,
) -> None:
    """Make an apps policy. It is applied with: policies EDGE apply."""
    if days and not window:
        raise typer.BadParameter("days belong to a --window", param_hint="--days")
    invocation = Invocation(ctx)
    settings: dict[str, Any] = {"apps": wanted}
    if window:
        settings["window"] = f"{window} {days}" if days else window
    mode = PolicyMode.REPORT_ONLY if report_only else PolicyMode.ENFORCE

    async def act(client: EdgeClient) -> Policy:
        return await client.policies.create("apps", name, settings, mode=mode)

    made = on(invocation, ctx.obj["edge"], lan, act)
    tell_policy(invocation, made)
