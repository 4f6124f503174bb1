"""`farsite device …`: what is done to devices at once; `device_work` adds the rest of the group."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from farsite_client.cli.chosen_devices import Chosen, Discovered
from farsite_client.cli.devices import COLUMNS, Edge, device_row
from farsite_client.cli.invocation import Invocation, read_password
from farsite_client.cli.output import counted
from farsite_client.cli.reach import Lan, reach
from farsite_client.cli.risks import Yes, confirm
from farsite_client.cli.spread import spread
from farsite_client.edge import EdgeClient
from farsite_signaling.wire.edge_api import DeviceResult
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

device = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Add, log in to, set up, read, change and remove devices.",
)
T = TypeVar("T")
PASSWORD_VARIABLE = "FARSITE_CLIENT_DEVICE_PASSWORD"
One = Annotated[str, typer.Argument(metavar="DEVICE", help="Serial number.")]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]


def on_edge(
    invocation: Invocation, edge: str, lan: str | None, act: Callable[[EdgeClient], Awaitable[T]]
) -> T:
    async def work() -> T:
        async with reach(invocation, edge, lan) as client:
            return await act(client)

    return invocation.run(work())


def on_chosen(
    invocation: Invocation,
    edge: str,
    lan: str | None,
    chosen: Chosen,
    act: Callable[[EdgeClient, list[str]], Awaitable[T]],
) -> T:
    async def work(client: EdgeClient) -> T:
        return await act(client, await chosen.of(client))

    return on_edge(invocation, edge, lan, work)


def report_results(invocation: Invocation, results: list[DeviceResult], done: str) -> None:
    """One row per device; exit code 1 unless all went well."""
    rows = [
        (result.id, done if result.ok else "failed", result.state, result.detail or "") for result in results
    ]
    invocation.output.table(results, ("DEVICE", "RESULT", "STATE", "DETAIL"), rows, "Nothing to do.")
    if not all(result.ok for result in results):
        raise typer.Exit(1)


@device.command("add")
@spread
def add(ctx: typer.Context, edge: Edge, chosen: Discovered, lan: Lan = None) -> None:
    """Manage discovered devices."""
    invocation = Invocation(ctx)
    results = on_chosen(invocation, edge, lan, chosen, lambda client, ids: client.add(ids))
    report_results(invocation, results, "added")


@device.command("remove")
@spread
def remove(ctx: typer.Context, edge: Edge, chosen: Chosen, yes: Yes = False, lan: Lan = None) -> None:
    """Stop managing devices and forget their credentials. It asks first when they are not named."""
    invocation = Invocation(ctx)
    ids = chosen.ids or on_edge(invocation, edge, lan, chosen.of)
    if not chosen.ids:
        many = counted(len(ids), "device")
        confirm(f"{many} to be managed no longer, and the credentials forgotten. Go on?", yes)
    report_results(invocation, on_edge(invocation, edge, lan, lambda client: client.remove(ids)), "removed")


@device.command("log-in")
@spread
def log_in(
    ctx: typer.Context,
    edge: Edge,
    chosen: Chosen,
    username: Annotated[str, typer.Option(help="The devices' user.")] = "root",
    password_stdin: PasswordStdin = False,
    lan: Lan = None,
) -> None:
    """Give the edge host the devices' credentials; each device is tried once.

    The password is asked for, or read from standard input or FARSITE_CLIENT_DEVICE_PASSWORD.
    """
    invocation = Invocation(ctx)
    password = read_password(PASSWORD_VARIABLE, f"Password of {username}", from_stdin=password_stdin)
    results = on_chosen(
        invocation, edge, lan, chosen, lambda client, ids: client.log_in(ids, username, password)
    )
    report_results(invocation, results, "logged in")


@device.command("set-up")
@spread
def set_up(
    ctx: typer.Context,
    edge: Edge,
    chosen: Chosen,
    username: Annotated[str, typer.Option(help="Name of the account to make.")] = "root",
    password_stdin: PasswordStdin = False,
    lan: Lan = None,
) -> None:
    """Make the first account of factory-new devices."""
    invocation = Invocation(ctx)
    password = read_password(
        PASSWORD_VARIABLE, f"New password of {username}", from_stdin=password_stdin, confirm=True
    )
    results = on_chosen(
        invocation, edge, lan, chosen, lambda client, ids: client.set_up(ids, password, username)
    )
    report_results(invocation, results, "set up")


@device.command("show")
def show(ctx: typer.Context, edge: Edge, id: One, lan: Lan = None) -> None:
    """One device."""
    invocation = Invocation(ctx)
    found = on_edge(invocation, edge, lan, lambda client: client.device(id))
    invocation.output.table(found, COLUMNS, [device_row(found)], "")


@device.command("params")
def params(
    ctx: typer.Context,
    edge: Edge,
    id: One,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="GROUP|NAME=VALUE...", help="Groups to read, or values to set."),
    ] = None,
    was: Annotated[
        list[str] | None,
        typer.Option("--was", metavar="NAME=VALUE", help="Set only if it still is; may be repeated."),
    ] = None,
    lan: Lan = None,
) -> None:
    """Read parameters of a device, or set them and read them back from it."""
    invocation = Invocation(ctx)
    changes, groups = _split(names or [])
    before, rest = _split(was or [])
    if rest or (before and not changes):
        raise typer.BadParameter("write NAME=VALUE, beside what is to be set", param_hint="--was")
    if changes:
        values = on_edge(
            invocation, edge, lan, lambda client: client.change_parameters(id, changes, before=before)
        )
    else:
        values = on_edge(invocation, edge, lan, lambda client: client.parameters(id, *groups))
    rows = sorted(values.items())
    invocation.output.table(values, ("PARAMETER", "VALUE"), rows, "No such parameters.")


def _split(names: list[str]) -> tuple[dict[str, str], list[str]]:
    names = [name.removeprefix("root.") for name in names]
    changes = dict(name.split("=", 1) for name in names if "=" in name)
    groups = [name for name in names if "=" not in name]
    if changes and groups:
        raise FarsiteError(
            ErrorCode.INVALID_REQUEST, "Either read groups or set NAME=VALUE, not both at once."
        )
    return changes, groups


@device.command("snapshot")
def snapshot(
    ctx: typer.Context,
    edge: Edge,
    id: One,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; DEVICE.jpg without it.")
    ] = None,
    resolution: Annotated[str | None, typer.Option(help="Such as 640x480.")] = None,
    lan: Lan = None,
) -> None:
    """Fetch a picture of now."""
    invocation = Invocation(ctx)
    data = on_edge(invocation, edge, lan, lambda client: client.snapshot(id, resolution=resolution))
    # The name is ours even if the device's answer were not: an id has no slashes once it was found.
    file = output or Path(f"{Path(id).name}.jpg")
    file.write_bytes(data)
    invocation.output.result(
        {"device": id, "file": str(file.resolve()), "bytes": len(data)}, f"{len(data)} bytes in {file}"
    )
