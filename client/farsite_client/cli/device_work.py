"""`farsite device …`: what is done to many devices as tasks, and what one tells of itself."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer

from farsite_client.cli.chosen_devices import Chosen
from farsite_client.cli.device import (
    PASSWORD_VARIABLE,
    One,
    PasswordStdin,
    device,
    on_chosen,
    on_edge,
    report_results,
)
from farsite_client.cli.devices import COLUMNS, Edge, device_row
from farsite_client.cli.following import follow
from farsite_client.cli.invocation import Invocation, read_password
from farsite_client.cli.output import ago, counted, size_text
from farsite_client.cli.reach import Lan
from farsite_client.cli.risks import Yes, confirm
from farsite_client.cli.spread import spread
from farsite_client.cli.tasks import WaitFlag, finish
from farsite_client.edge import EdgeClient
from farsite_signaling.wire.device_api import MAX_CREDENTIALS, DeviceDetails, NetworkSettings
from farsite_signaling.wire.edge_tasks import Task
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

Make = Callable[[EdgeClient], Awaitable[Task]]


def _task(invocation: Invocation, edge: str, lan: str | None, wait: bool, make: Make) -> None:
    async def act(client: EdgeClient) -> Task:
        task = await make(client)
        return await follow(client.tasks, task.id, invocation.output) if wait else task

    finish(invocation, on_edge(invocation, edge, lan, act))


def _task_on(
    invocation: Invocation,
    edge: str,
    lan: str | None,
    wait: bool,
    chosen: Chosen,
    make: Callable[[EdgeClient, list[str]], Awaitable[Task]],
) -> None:
    async def made(client: EdgeClient) -> Task:
        return await make(client, await chosen.of(client))

    _task(invocation, edge, lan, wait, made)


@device.command("try-log-ins")
@spread
def try_log_ins(
    ctx: typer.Context,
    edge: Edge,
    chosen: Chosen,
    file: Annotated[
        Path,
        typer.Option("--credentials", metavar="FILE", help="Lines of USER:PASSWORD; - is standard input."),
    ] = Path("-"),
    wait: WaitFlag = False,
    lan: Lan = None,
) -> None:
    """Log in with the first of some credentials that each device takes; slowly, so that none locks us out."""
    credentials = _credentials(file)
    _task_on(
        Invocation(ctx), edge, lan, wait, chosen, lambda client, ids: client.work.log_in(ids, credentials)
    )


def _credentials(file: Path) -> list[tuple[str, str]]:
    try:
        text = sys.stdin.read(10_000) if str(file) == "-" else file.read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        raise FarsiteError(ErrorCode.INVALID_REQUEST, f"{file} cannot be read: {error}.") from None
    pairs = [line.partition(":") for line in text.splitlines() if line.strip()]
    found = [(name.strip(), password) for name, colon, password in pairs if colon and name.strip()]
    if not found or len(found) != len(pairs) or len(found) > MAX_CREDENTIALS:
        detail = f"Give 1 to {MAX_CREDENTIALS} lines of USER:PASSWORD."
        raise FarsiteError(ErrorCode.INVALID_REQUEST, detail)
    return found


@device.command("rotate-password")
@spread
def rotate_password(
    ctx: typer.Context,
    edge: Edge,
    chosen: Chosen,
    given: Annotated[
        bool, typer.Option("--given", help="One you name for all; else each device gets its own.")
    ] = False,
    password_stdin: PasswordStdin = False,
    wait: WaitFlag = False,
    lan: Lan = None,
) -> None:
    """Change the password of the account in use: the new one must work, the old one must be refused."""
    invocation = Invocation(ctx)
    password = (
        read_password(PASSWORD_VARIABLE, "New password", from_stdin=password_stdin, confirm=True)
        if given or password_stdin
        else None
    )
    _task_on(
        invocation, edge, lan, wait, chosen, lambda client, ids: client.work.rotate_passwords(ids, password)
    )


@device.command("service-account")
@spread
def service_account(
    ctx: typer.Context, edge: Edge, chosen: Chosen, wait: WaitFlag = False, lan: Lan = None
) -> None:
    """Make an account of the edge host's own; the one in use is left as it is."""
    _task_on(Invocation(ctx), edge, lan, wait, chosen, lambda client, ids: client.work.service_accounts(ids))


@device.command("restart")
@spread
def restart(ctx: typer.Context, edge: Edge, chosen: Chosen, wait: WaitFlag = False, lan: Lan = None) -> None:
    """Restart devices; they are waited for."""
    _task_on(Invocation(ctx), edge, lan, wait, chosen, lambda client, ids: client.work.restart(ids))


@device.command("factory-default")
@spread
def factory_default(
    ctx: typer.Context,
    edge: Edge,
    chosen: Chosen,
    hard: Annotated[bool, typer.Option("--hard", help="Forget the network settings too.")] = False,
    yes: Yes = False,
    wait: WaitFlag = False,
    lan: Lan = None,
) -> None:
    """Take devices back to how they came from the factory: they lose settings, apps and accounts."""
    invocation = Invocation(ctx)
    ids = chosen.ids or on_edge(invocation, edge, lan, chosen.of)
    confirm(f"{counted(len(set(ids)), 'device')} to lose all settings, apps and accounts. Go on?", yes)
    _task(invocation, edge, lan, wait, lambda client: client.work.factory_default(ids, hard=hard))


@device.command("set-params")
@spread
def set_params(
    ctx: typer.Context,
    edge: Edge,
    chosen: Chosen,
    values: Annotated[list[str], typer.Option("--set", metavar="NAME=VALUE", help="May be repeated.")],
    wait: WaitFlag = False,
    lan: Lan = None,
) -> None:
    """Set the same parameters on many devices and read them back."""
    pairs = [value.partition("=") for value in values]
    if not all(equals for _, equals, _ in pairs):
        raise typer.BadParameter("write NAME=VALUE", param_hint="--set")
    changes = {name.removeprefix("root."): value for name, _, value in pairs}
    _task_on(
        Invocation(ctx), edge, lan, wait, chosen, lambda client, ids: client.work.set_parameters(ids, changes)
    )


@device.command("network")
def network(
    ctx: typer.Context,
    edge: Edge,
    id: One,
    address: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS/PREFIX", help="Set this static address, such as 192.168.1.20/24."),
    ] = None,
    router: Annotated[str | None, typer.Option(help="With --address.")] = None,
    dhcp: Annotated[bool, typer.Option("--dhcp", help="Get the address by DHCP.")] = False,
    wait: WaitFlag = False,
    lan: Lan = None,
) -> None:
    """Show a device's network settings, or change them; they are put back when it does not return."""
    invocation = Invocation(ctx)
    if dhcp and address:
        raise typer.BadParameter("either --dhcp or --address", param_hint="--dhcp")
    if dhcp or address:
        _task(
            invocation,
            edge,
            lan,
            wait,
            lambda client: client.work.set_network(id, address=address, router=router),
        )
        return
    found = on_edge(invocation, edge, lan, lambda client: client.work.network(id))
    invocation.output.table(found, ("SETTING", "VALUE"), _network_rows(found), "")


def _network_rows(found: NetworkSettings) -> list[tuple[str, object]]:
    return [
        ("interface", f"{found.interface} ({found.mac})"),
        ("mode", found.mode),
        ("address", found.address),
        ("router", found.router),
        ("IPv6", found.ipv6_address or found.ipv6_mode),
        ("IPv6 router", found.ipv6_router),
        ("addresses", ", ".join(found.addresses)),
        ("host name", found.hostname),
        ("name servers", ", ".join(found.name_servers)),
    ]


@device.command("details")
def details(ctx: typer.Context, edge: Edge, id: One, lan: Lan = None) -> None:
    """Everything a device tells of itself, read now."""
    invocation = Invocation(ctx)
    found = on_edge(invocation, edge, lan, lambda client: client.work.details(id))
    invocation.output.table(found, ("FACT", "VALUE"), _detail_rows(found), "")
    for problem in found.problems:
        invocation.output.note(f"warning: {problem}")


def _detail_rows(found: DeviceDetails) -> list[tuple[str, object]]:
    shown = found.device
    rows: list[tuple[str, object]] = [
        ("serial", shown.id),
        ("state", shown.state),
        ("product", found.full_name or shown.product),
        ("version", shown.version),
        ("build date", found.build_date),
        ("version before", found.inactive_version),
        ("hardware", " ".join(filter(None, (found.hardware_id, found.architecture, found.soc)))),
        ("uptime", f"{found.uptime} s" if found.uptime is not None else ""),
        ("account", f"{found.account} ({', '.join(found.account_groups)})"),
        ("capabilities", ", ".join(found.capabilities)),
        ("APIs", len(found.apis)),
        ("certificate", shown.fingerprint),
    ]
    return rows + (_network_rows(found.network) if found.network else [])


@device.command("credentials")
def credentials(ctx: typer.Context, edge: Edge, id: One, lan: Lan = None) -> None:
    """What the edge host logs in with, and did before; passwords stay there."""
    invocation = Invocation(ctx)
    found = on_edge(invocation, edge, lan, lambda client: client.work.credentials(id))
    kind = "service account" if found.service_account else "in use"
    rows = (
        [(found.username, kind, ago(found.changed_at) if found.changed_at else "")] if found.username else []
    )
    rows += [
        (past.username, "left as it was" if past.still_valid else "changed", ago(past.until))
        for past in found.history
    ]
    invocation.output.table(
        found, ("ACCOUNT", "STATE", "CHANGED"), rows, "The edge host has no log-in for it."
    )
    if found.unresolved:
        invocation.output.note("A change was interrupted; it is looked into when the device answers again.")


@device.command("accept-certificate")
def accept_certificate(
    ctx: typer.Context,
    edge: Edge,
    id: One,
    fingerprint: Annotated[str | None, typer.Option(help="SHA-256 you know it must have.")] = None,
    yes: Yes = False,
    lan: Lan = None,
) -> None:
    """Accept the certificate a device shows now, after you replaced it."""
    invocation = Invocation(ctx)
    shown = fingerprint
    if shown is None:
        known = on_edge(invocation, edge, lan, lambda client: client.device(id))
        if known.new_fingerprint is None:
            raise FarsiteError(
                ErrorCode.CONFLICT, f"{id} shows no other certificate than the one remembered."
            )
        confirm(f"{id} shows the certificate {known.new_fingerprint}. Is that right?", yes)
        shown = known.new_fingerprint
    found = on_edge(invocation, edge, lan, lambda client: client.work.accept_certificate(id, shown))
    invocation.output.table(found, COLUMNS, [device_row(found)], "")


@device.command("tag")
@spread
def tag(
    ctx: typer.Context,
    edge: Edge,
    chosen: Chosen,
    add: Annotated[list[str] | None, typer.Option("--add", help="May be repeated.")] = None,
    remove: Annotated[list[str] | None, typer.Option("--remove", help="May be repeated.")] = None,
    lan: Lan = None,
) -> None:
    """Put tags on devices and take them off."""
    invocation = Invocation(ctx)
    if not add and not remove:
        raise typer.BadParameter("name a tag", param_hint="--add/--remove")
    results = on_chosen(
        invocation,
        edge,
        lan,
        chosen,
        lambda client, ids: client.work.tag(ids, add=add or (), remove=remove or ()),
    )
    report_results(invocation, results, "tagged")


@device.command("report")
def report(
    ctx: typer.Context,
    edge: Edge,
    id: One,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; DEVICE-report.zip without it.")
    ] = None,
    mode: Annotated[str, typer.Option(help="text, zip or zip_with_image.")] = "zip",
    lan: Lan = None,
) -> None:
    """Download the device's server report, which its vendor's support asks for."""
    invocation = Invocation(ctx)
    if mode not in ("text", "zip", "zip_with_image"):
        raise typer.BadParameter("text, zip or zip_with_image", param_hint="--mode")
    file = output or Path(f"{Path(id).name}-report.{'txt' if mode == 'text' else 'zip'}")
    part = file.with_name(f"{file.name}.part")

    async def act(client: EdgeClient) -> int:
        with part.open("wb") as writing:
            return await client.report(id, writing.write, mode=mode)

    try:
        size = on_edge(invocation, edge, lan, act)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    result = {"device": id, "file": str(file.resolve()), "bytes": size}
    invocation.output.result(result, f"{size_text(size)} in {file}")
