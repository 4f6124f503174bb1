"""`farsite os EDGE inventory|images|catalogue|download|upgrade|rollback`."""

from __future__ import annotations

from typing import Annotated, Any, get_args

import typer

from farsite_client.cli.devices import Edge
from farsite_client.cli.following import follow
from farsite_client.cli.invocation import Invocation
from farsite_client.cli.listing import listing
from farsite_client.cli.output import size_text
from farsite_client.cli.reach import Lan
from farsite_client.cli.tasks import WaitFlag, finish, on
from farsite_client.edge import EdgeClient
from farsite_signaling.wire.edge_tasks import Day, OsRow, Rollout, Task, UpdateWindow
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

os = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    cls=listing("inventory"),
    help="AXIS OS: inventory, images, upgrades and rollbacks.",
)
Ids = Annotated[list[str] | None, typer.Argument(metavar="[DEVICE]...", help="Serial numbers.")]
Parallel = Annotated[int, typer.Option(min=1, max=64, help="Devices at the same time.")]
Stages = Annotated[str, typer.Option(help="Cumulative shares, percent: 5,25,100.")]
MaxFailures = Annotated[int, typer.Option(min=1, help="Stop when so many devices have failed.")]
Window = Annotated[
    str | None, typer.Option(metavar="HH:MM-HH:MM", help="Start devices only then, in the site's time zone.")
]
Days = Annotated[str | None, typer.Option(help="Days on which the window opens: mon,tue.")]
ROWS = ("MODEL", "DEVICES", "VERSIONS", "TRACK", "SUPPORT UNTIL", "RECOMMENDED", "STATE")


@os.callback()
def group(ctx: typer.Context, edge: Edge) -> None:
    """AXIS OS: inventory, images, upgrades and rollbacks."""
    ctx.ensure_object(dict)["edge"] = edge


@os.command("inventory")
def inventory(ctx: typer.Context, lan: Lan = None) -> None:
    """Managed devices by model: versions, track, end of support, recommended version."""
    invocation = Invocation(ctx)
    found = on(invocation, ctx.obj["edge"], lan, lambda client: client.os.inventory())
    invocation.output.table(found, ROWS, [_row(row) for row in found.rows], "No managed devices.")


def _row(row: OsRow) -> tuple[object, ...]:
    versions = ", ".join(f"{one.version or '?'} ({one.count})" for one in row.versions)
    recommended = f"{row.recommended} (new major)" if row.crosses_major else row.recommended or "-"
    return (
        row.model or "unknown",
        row.devices,
        versions,
        row.track,
        row.support_end or "-",
        recommended,
        row.state,
    )


@os.command("images")
def images(ctx: typer.Context, lan: Lan = None) -> None:
    """Images in the edge host's folder, and why some cannot be used."""
    invocation = Invocation(ctx)
    found = on(invocation, ctx.obj["edge"], lan, lambda client: client.os.images())
    rows = [
        (one.file, one.version or "-", ", ".join(one.models), size_text(one.bytes), one.problem or "")
        for one in found.images
    ]
    empty = f"There is no image in {found.folder}."
    invocation.output.table(found, ("FILE", "VERSION", "MODELS", "SIZE", "PROBLEM"), rows, empty)


@os.command("catalogue")
def catalogue(
    ctx: typer.Context,
    refresh: Annotated[bool, typer.Option("--refresh", help="Fetch it now.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Also of models that are not managed.")] = False,
    lan: Lan = None,
) -> None:
    """Images the edge host can download, for the models it manages."""
    invocation = Invocation(ctx)
    found = on(invocation, ctx.obj["edge"], lan, lambda client: client.os.catalogue(refresh=refresh))
    if found.problem:
        invocation.output.note(f"{found.problem} Images can be put into the folder {found.folder}.")
    for line in found.skipped:
        invocation.output.note(f"left out: {line}")
    rows = [
        (
            ", ".join(one.models),
            one.version,
            one.track,
            size_text(one.bytes),
            "yes" if one.stored else "",
            one.id[:12],
        )
        for one in found.images
        if everything or one.wanted
    ]
    empty = (
        "It offers nothing for the models managed."
        if found.url
        else "No catalogue is set (setting os_catalogue)."
    )
    invocation.output.table(found, ("MODELS", "VERSION", "TRACK", "SIZE", "STORED", "IMAGE"), rows, empty)


@os.command("download")
def download(
    ctx: typer.Context,
    images: Annotated[
        list[str] | None, typer.Argument(metavar="[IMAGE]...", help="Ids, or how they begin.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The newest image of a model.")] = None,
    version: Annotated[str | None, typer.Option("--version", help="With --model: this one.")] = None,
    wait: WaitFlag = False,
    lan: Lan = None,
) -> None:
    """Download images to the edge host before they are needed; upgrades do so by themselves."""
    invocation = Invocation(ctx)
    if bool(images) == (model is not None):
        raise typer.BadParameter("images, or --model: one of them", param_hint="IMAGE")

    async def act(client: EdgeClient) -> Task:
        chosen = await _whole_ids(client, images or [])
        task = await client.os.download(chosen, model=model, version=version)
        return await follow(client.tasks, task.id, invocation.output) if wait else task

    finish(invocation, on(invocation, ctx.obj["edge"], lan, act))


async def _whole_ids(client: EdgeClient, given: list[str]) -> list[str]:
    if not given:
        return []
    known = [one.id for one in (await client.os.catalogue()).images]
    whole: list[str] = []
    for text in given:
        fitting = [image for image in known if image.startswith(text.lower())]
        if len(fitting) != 1:
            several = "several images begin" if fitting else "no image of the catalogue begins"
            raise FarsiteError(ErrorCode.NOT_FOUND, f"{several.capitalize()} with {text[:64]!r}.")
        whole += fitting
    return whole


@os.command("upgrade")
def upgrade(
    ctx: typer.Context,
    ids: Ids = None,
    model: Annotated[str | None, typer.Option(help="All managed devices of a model.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All managed devices.")] = False,
    version: Annotated[
        str | None, typer.Option("--to", help="A version; the recommended one without.")
    ] = None,
    factory_default: Annotated[
        str, typer.Option(metavar="none|soft|hard", help="With a downgrade: the device loses its settings.")
    ] = "none",
    direct: Annotated[
        bool, typer.Option("--direct", help="Leave out versions there is no image of.")
    ] = False,
    parallel: Parallel = 4,
    stages: Stages = "100",
    max_failures: MaxFailures = 3,
    window: Window = None,
    days: Days = None,
    wait: WaitFlag = False,
    lan: Lan = None,
) -> None:
    """Upgrade devices: uncommitted first, committed when version and log-in have been checked."""
    invocation = Invocation(ctx)
    if factory_default not in ("none", "soft", "hard"):
        raise typer.BadParameter("none, soft or hard", param_hint="--factory-default")
    rollout = site_rollout(parallel, stages, max_failures, window, days)

    async def act(client: EdgeClient) -> Task:
        chosen = await _chosen(client, ids or [], model, everything)
        task = await client.os.upgrade(
            chosen, version, rollout=rollout, factory_default=factory_default, direct=direct
        )
        return await follow(client.tasks, task.id, invocation.output) if wait else task

    finish(invocation, on(invocation, ctx.obj["edge"], lan, act))


@os.command("rollback")
def rollback(
    ctx: typer.Context,
    ids: Ids = None,
    model: Annotated[str | None, typer.Option(help="All managed devices of a model.")] = None,
    parallel: Parallel = 4,
    stages: Stages = "100",
    max_failures: MaxFailures = 3,
    window: Window = None,
    days: Days = None,
    wait: WaitFlag = False,
    lan: Lan = None,
) -> None:
    """Take devices back to the version before, and its settings."""
    invocation = Invocation(ctx)
    rollout = site_rollout(parallel, stages, max_failures, window, days)

    async def act(client: EdgeClient) -> Task:
        task = await client.os.rollback(await _chosen(client, ids or [], model, False), rollout=rollout)
        return await follow(client.tasks, task.id, invocation.output) if wait else task

    finish(invocation, on(invocation, ctx.obj["edge"], lan, act))


async def _chosen(client: EdgeClient, ids: list[str], model: str | None, everything: bool) -> list[str]:
    if sum((bool(ids), model is not None, everything)) != 1:
        raise FarsiteError(
            ErrorCode.INVALID_REQUEST,
            "Name devices, or --model, or --all: one of them, so that no other is meant.",
        )
    if ids:
        return ids
    managed = await client.devices(managed=True)
    chosen = [one.id for one in managed if everything or one.model.casefold() == (model or "").casefold()]
    if not chosen:
        raise FarsiteError(ErrorCode.NOT_FOUND, "No managed device is meant.")
    return chosen


def site_rollout(
    parallel: int, stages: str, max_failures: int, window: str | None, days: str | None
) -> Rollout:
    values: dict[str, Any] = {"parallel": parallel, "max_failures": max_failures}
    opens = None if window is None else _window(window, days)
    try:
        shares = [int(share) for share in stages.split(",")]
        return Rollout.model_validate({**values, "stages": shares, "window": opens})
    except ValueError:  # pydantic's are ones too
        detail = f"{stages!r}: shares grow from 1 to 100 percent, such as 5,25,100"
        raise typer.BadParameter(detail, param_hint="--stages") from None


def _window(window: str, days: str | None) -> UpdateWindow:
    chosen = [day.strip().lower()[:3] for day in (days or "").split(",") if day.strip()]
    if odd := next((day for day in chosen if day not in get_args(Day)), None):
        known = ", ".join(get_args(Day))
        raise typer.BadParameter(f"{odd!r} is not one of {known}", param_hint="--days")
    start, _, end = window.partition("-")
    try:
        return UpdateWindow.model_validate({"start": start, "end": end, "days": chosen})
    except ValueError:
        detail = f"{window!r} is not written like 22:00-05:00"
        raise typer.BadParameter(detail, param_hint="--window") from None
