"""`farsite campaigns …`: work on devices of many edge hosts."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from farsite_client.cli.axis_os import Days, Stages, Window, site_rollout
from farsite_client.cli.folders import find_folder, on_cloud
from farsite_client.cli.following import going_on
from farsite_client.cli.invocation import Invocation
from farsite_client.cli.listing import Listing
from farsite_client.cli.output import Output, ago, counted
from farsite_client.cli.templates import find_template
from farsite_client.cli.upgrade_hints import hints
from farsite_client.cloud import CloudClient
from farsite_client.edge_hosts import find_edge
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.refusals import plain
from farsite_signaling.wire.work import Selection
from farsite_signaling.wire.work_api import (
    Campaign,
    CampaignRequest,
    CampaignResume,
    CampaignRetry,
    CampaignRollout,
    CampaignState,
)

campaigns = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    cls=Listing,
    help="Campaigns: upgrades and policies on devices of many edge hosts.",
)
One = Annotated[str, typer.Argument(metavar="CAMPAIGN", help="Its id, or the end of it.")]
Edges = Annotated[list[str] | None, typer.Option("--edge", help="An edge host; may be repeated.")]
Folders = Annotated[
    list[str] | None, typer.Option("--folder", help="All edge hosts in a folder and below; may be repeated.")
]
Models = Annotated[list[str] | None, typer.Option("--model", help="Devices of a model; may be repeated.")]
Serials = Annotated[list[str] | None, typer.Option("--device", help="A serial number; may be repeated.")]
Below = Annotated[
    str | None, typer.Option("--below", metavar="VERSION", help="Only devices that run an older version.")
]
Parallel = Annotated[int, typer.Option(min=1, max=1000, help="Edge hosts at work at the same time.")]
SiteParallel = Annotated[int, typer.Option(min=1, max=64, help="Devices at the same time on each edge host.")]
Limit = Annotated[
    int | None, typer.Option("--max-failures", min=1, help="Stop when so many devices have failed, anywhere.")
]
Share = Annotated[
    int | None,
    typer.Option("--max-failure-share", min=1, max=100, help="Stop at so many percent of failed devices."),
]
Soak = Annotated[int, typer.Option("--soak-minutes", min=0, help="Watch each stage so long before the next.")]
Starts = Annotated[
    datetime | None,
    typer.Option("--starts-at", formats=["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"], help="In this machine's time."),
]
Expires = Annotated[
    int, typer.Option("--expires-in-hours", min=1, help="Edge hosts that stay away longer are left out.")
]
Title = Annotated[str | None, typer.Option("--title", help="What to call it.")]
Wait = Annotated[
    bool, typer.Option("--wait", help="Stay until it is over; exit code 1 unless everything succeeds.")
]
COLUMNS = ("ID", "CAMPAIGN", "STATE", "EDGE HOSTS", "DEVICES", "FAILED", "STARTED", "DETAIL")


@campaigns.command("list")
def list_(
    ctx: typer.Context,
    open_only: Annotated[bool, typer.Option("--open", help="Only those that are not over.")] = False,
) -> None:
    """Campaigns, newest first."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> list[Campaign]:
        state = "open" if open_only else None
        return [one async for one in cloud.campaigns(organization, state=state)]

    found = on_cloud(invocation, act)
    invocation.output.table(found, COLUMNS, [_row(one) for one in found], "No campaigns yet.")


def _row(one: Campaign) -> tuple[object, ...]:
    edges, devices = one.orders, one.devices
    done = edges.succeeded + edges.failed + edges.cancelled + edges.expired
    return (
        one.id,
        one.title,
        one.state,
        f"{done}/{edges.total}" + (f" ({edges.offline_waiting} offline)" if edges.offline_waiting else ""),
        f"{devices.succeeded}/{devices.total}",
        devices.failed,
        ago(one.created_at),
        one.detail,
    )


@campaigns.command("kinds")
def kinds(ctx: typer.Context) -> None:
    """What campaigns can do, for `start`."""
    invocation = Invocation(ctx)
    found = on_cloud(invocation, lambda cloud, organization: cloud.campaign_kinds(organization))
    rows = [
        (one.kind, one.title, ", ".join(one.parameters.get("properties", {})), one.right) for one in found
    ]
    invocation.output.table(found, ("KIND", "DOES", "PARAMETERS", "RIGHT"), rows, "None.")


@campaigns.command("upgrade")
def upgrade(
    ctx: typer.Context,
    models: Models = None,
    edges: Edges = None,
    folders: Folders = None,
    devices: Serials = None,
    below: Below = None,
    version: Annotated[
        str | None, typer.Option("--to", help="A version; the recommended one of each device without.")
    ] = None,
    direct: Annotated[
        bool, typer.Option("--direct", help="Leave out versions there is no image of.")
    ] = False,
    stages: Stages = "100",
    parallel: Parallel = 20,
    site_parallel: SiteParallel = 4,
    max_failures: Limit = 3,
    max_share: Share = None,
    soak: Soak = 0,
    window: Window = None,
    days: Days = None,
    starts_at: Starts = None,
    expires: Expires = 168,
    title: Title = None,
    wait: Wait = False,
) -> None:
    """Upgrade AXIS OS on devices of many edge hosts. Stages are shares of the edge hosts."""
    plan = _plan(stages, parallel, site_parallel, max_failures, max_share, soak, window, days)
    parameters: dict[str, Any] = {"version": version, "direct": direct}
    selection = {"models": models, "devices": devices, "version_below": below}
    values = {"kind": "os.upgrade", "title": title}
    invocation = Invocation(ctx)

    async def fill(cloud: CloudClient, organization: str) -> dict[str, Any]:
        for hint in hints(await cloud.os_overview(organization), models or (), version):
            invocation.output.note(f"warning: {hint}")
        return parameters

    _start(invocation, values, selection, edges, folders, plan, starts_at, expires, wait, fill)


@campaigns.command("policy")
def policy(
    ctx: typer.Context,
    template: Annotated[str, typer.Argument(help="A policy template, by name or id.")],
    models: Models = None,
    edges: Edges = None,
    folders: Folders = None,
    devices: Serials = None,
    version: Annotated[int | None, typer.Option("--version", min=1, help="Not the newest one.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Devices with another policy of the kind leave that one.")
    ] = False,
    stages: Stages = "100",
    parallel: Parallel = 20,
    max_failures: Limit = 3,
    max_share: Share = None,
    soak: Soak = 0,
    starts_at: Starts = None,
    expires: Expires = 168,
    title: Title = None,
    wait: Wait = False,
) -> None:
    """Apply a policy template to devices of many edge hosts."""
    invocation = Invocation(ctx)
    plan = _plan(stages, parallel, 4, max_failures, max_share, soak, None, None)

    async def fill(cloud: CloudClient, organization: str) -> dict[str, Any]:
        found = await find_template(cloud, organization, template)
        return {"template": found.id, "version": version, "replace": replace}

    selection = {"models": models, "devices": devices}
    values: dict[str, Any] = {"kind": "policy.apply", "title": title}
    _start(invocation, values, selection, edges, folders, plan, starts_at, expires, wait, fill)


@campaigns.command("start")
def start(
    ctx: typer.Context,
    kind: Annotated[str, typer.Argument(help="One of `farsite campaigns kinds`.")],
    parameters: Annotated[str, typer.Option("--parameters", metavar="JSON", help="As the kind says.")] = "{}",
    models: Models = None,
    edges: Edges = None,
    folders: Folders = None,
    devices: Serials = None,
    below: Below = None,
    rollout: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="JSON file with the rollout.")
    ] = None,
    starts_at: Starts = None,
    expires: Expires = 168,
    title: Title = None,
    wait: Wait = False,
) -> None:
    """Start a campaign of any kind."""
    plan = _read(CampaignRollout, rollout.read_text("utf-8") if rollout else "{}", "--rollout")
    values = {"kind": kind, "parameters": _json(parameters), "title": title}
    selection = {"models": models, "devices": devices, "version_below": below}
    _start(Invocation(ctx), values, selection, edges, folders, plan, starts_at, expires, wait)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise typer.BadParameter("not JSON", param_hint="--parameters") from None


def _read(model: type[CampaignRollout], text: str, hint: str) -> CampaignRollout:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        message = plain(error.errors(include_input=False, include_url=False)[0]["msg"])
        raise typer.BadParameter(message, param_hint=hint) from None


def _plan(
    stages: str,
    parallel: int,
    site_parallel: int,
    max_failures: int | None,
    max_share: int | None,
    soak: int,
    window: str | None,
    days: str | None,
) -> CampaignRollout:
    # The limit of each site is the campaign's: it comes with every order.
    site = site_rollout(site_parallel, "100", max_failures or 5000, window, days)
    shares = site_rollout(1, stages, 1, None, None).stages
    return CampaignRollout(
        stages=shares,
        parallel=parallel,
        soak_minutes=soak,
        max_failures=max_failures,
        max_failure_share=max_share,
        site=site,
    )


Fill = Callable[[CloudClient, str], Awaitable[dict[str, Any]]]


def _start(
    invocation: Invocation,
    values: dict[str, Any],
    selection: dict[str, Any],
    edges: list[str] | None,
    folders: list[str] | None,
    plan: CampaignRollout,
    starts_at: datetime | None,
    expires: int,
    wait: bool,
    fill: Fill | None = None,
) -> None:
    async def act(cloud: CloudClient, organization: str) -> Campaign:
        if fill is not None:
            values["parameters"] = await fill(cloud, organization)
        known = await cloud.folders(organization) if folders else []
        request = CampaignRequest(
            **values,
            edge_hosts=[(await find_edge(cloud, organization, one)).id for one in edges or ()],
            folders=[find_folder(known, one).id for one in folders or ()],
            selection=Selection(**{name: value for name, value in selection.items() if value}),
            rollout=plan,
            starts_at=starts_at.astimezone() if starts_at else None,
            expires_in_hours=expires,
        )
        made = await cloud.start_campaign(organization, request)
        return await follow(cloud, organization, made.id, invocation.output) if wait else made

    _finish(invocation, on_cloud(invocation, act), wait)


async def follow(cloud: CloudClient, organization: str, campaign: str, output: Output) -> Campaign:
    """Until it is over, or waits for somebody; with `--json` one line per change, `{"event": "progress", …}`."""
    last: Campaign | None = None
    said = f"The campaign goes on. Look at it: farsite campaigns show {campaign} --wait"
    async with going_on(output, said):
        async for shown in cloud.follow_campaign(organization, campaign):
            if output.as_json:
                output.json({"event": "progress", **shown.model_dump(mode="json")})
            else:
                output.note(_line(shown))
            last = shown
    assert last is not None
    return last


def _line(shown: Campaign) -> str:
    edges, devices = shown.orders, shown.devices
    parts = [f"{shown.progress:.0%}", f"{devices.succeeded} of {devices.total} devices done"]
    parts += [f"{devices.failed} failed"] if devices.failed else []
    parts += [f"{counted(edges.offline_waiting, 'edge host')} offline"] if edges.offline_waiting else []
    return f"{shown.title}: {shown.state}, {', '.join(parts)}. {shown.detail}{_why(shown)}".strip()


def _why(shown: Campaign) -> str:
    if shown.state is not CampaignState.FAILED:
        return ""
    return f" Device by device: farsite campaigns show {shown.id} --devices"


def _finish(invocation: Invocation, campaign: Campaign, waited: bool) -> None:
    invocation.output.table(campaign, COLUMNS, [_row(campaign)], "")
    if waited and campaign.state is not CampaignState.SUCCEEDED:
        raise typer.Exit(1)


async def _find(cloud: CloudClient, organization: str, wanted: str) -> str:
    """Ids begin with the time: their ends tell them apart. Raises `not_found`, `invalid_request`."""
    if len(wanted) >= 26:
        return wanted
    found = [one.id async for one in cloud.campaigns(organization) if one.id.endswith(wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        raise FarsiteError(
            ErrorCode.INVALID_REQUEST, f"Several campaigns end with {wanted}. Give more of it."
        )
    raise FarsiteError(ErrorCode.NOT_FOUND, f"There is no campaign {wanted}.")


@campaigns.command("show")
def show(
    ctx: typer.Context,
    campaign: One,
    devices: Annotated[bool, typer.Option("--devices", help="Each device, not each edge host.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Only devices that failed.")] = False,
    steps: Annotated[bool, typer.Option("--steps", help="The log of every device.")] = False,
    wait: Wait = False,
) -> None:
    """What each edge host, or each device, has done so far, and why not more."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> tuple[Campaign, Any]:
        found = await _find(cloud, organization, campaign)
        if wait:
            await follow(cloud, organization, found, invocation.output)
        shown = await cloud.campaign(organization, found)
        return shown, await _parts(cloud, organization, found, devices or failed, failed, steps)

    shown, parts = on_cloud(invocation, act)
    invocation.output.note(_line(shown))
    columns, rows, values = parts
    whole = {"campaign": shown, values[0]: values[1]}
    invocation.output.table(whole, columns, rows, "Nothing yet.")
    if wait and shown.state is not CampaignState.SUCCEEDED:
        raise typer.Exit(1)


async def _parts(
    cloud: CloudClient, organization: str, campaign: str, devices: bool, failed: bool, steps: bool
) -> tuple[tuple[str, ...], list[tuple[object, ...]], tuple[str, Any]]:
    if steps:
        return await _steps(cloud, organization, campaign)
    if devices:
        state = "failed" if failed else None
        found = [one async for one in cloud.campaign_devices(organization, campaign, state=state)]
        rows: list[tuple[object, ...]] = [
            (one.device, one.state, one.step, one.detail, one.code or "") for one in found
        ]
        return ("DEVICE", "STATE", "STEP", "DETAIL", "CODE"), rows, ("devices", found)
    orders = [one async for one in cloud.campaign_orders(organization, campaign)]
    rows = [
        (
            one.edge_name,
            one.stage + 1,
            one.state,
            f"{one.counts.succeeded}/{one.counts.total}",
            one.counts.failed,
            one.detail,
        )
        for one in orders
    ]
    return ("EDGE HOST", "STAGE", "STATE", "DEVICES", "FAILED", "DETAIL"), rows, ("orders", orders)


async def _steps(
    cloud: CloudClient, organization: str, campaign: str
) -> tuple[tuple[str, ...], list[tuple[object, ...]], tuple[str, Any]]:
    found = []
    rows: list[tuple[object, ...]] = []
    async for order in cloud.campaign_orders(organization, campaign):
        async for step in cloud.campaign_steps(organization, campaign, order.id):
            found.append({"edge_host_id": order.edge_host_id, **step.model_dump(mode="json")})
            at = f"{step.at.astimezone():%Y-%m-%d %H:%M:%S}"
            rows.append((at, order.edge_name, step.device, step.step, step.detail))
    return ("AT", "EDGE HOST", "DEVICE", "STEP", "DETAIL"), sorted(rows, key=str), ("steps", found)


@campaigns.command("pause")
def pause(ctx: typer.Context, campaign: One) -> None:
    """Start nothing further; devices at work are finished."""
    _change(Invocation(ctx), campaign, lambda cloud, org, found: cloud.pause_campaign(org, found))


@campaigns.command("resume")
def resume(
    ctx: typer.Context, campaign: One, max_failures: Limit = None, max_share: Share = None, wait: Wait = False
) -> None:
    """Go on after a pause or a stop. What failed so far does not count again."""
    given = {"max_failures": max_failures, "max_failure_share": max_share}
    change = CampaignResume(**{name: value for name, value in given.items() if value is not None})
    _change(
        Invocation(ctx), campaign, lambda cloud, org, found: cloud.resume_campaign(org, found, change), wait
    )


@campaigns.command("cancel")
def cancel(ctx: typer.Context, campaign: One, wait: Wait = False) -> None:
    """Cancel: what was not begun is left alone, devices at work stop where that is safe."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> Campaign:
        found = await _find(cloud, organization, campaign)
        made = await cloud.cancel_campaign(organization, found)
        return await follow(cloud, organization, found, invocation.output) if wait else made

    _finish(invocation, on_cloud(invocation, act), False)


@campaigns.command("retry")
def retry(ctx: typer.Context, campaign: One, expires: Expires = 168, wait: Wait = False) -> None:
    """Try again, as a new campaign, what did not succeed."""
    again = CampaignRetry(expires_in_hours=expires)
    _change(
        Invocation(ctx), campaign, lambda cloud, org, found: cloud.retry_campaign(org, found, again), wait
    )


@campaigns.command("remove")
def remove(ctx: typer.Context, campaign: One) -> None:
    """Forget a campaign that is over, and what became of its devices."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> str:
        found = await _find(cloud, organization, campaign)
        await cloud.remove_campaign(organization, found)
        return found

    gone = on_cloud(invocation, act)
    invocation.output.result({"removed": gone}, f"Removed {gone}.")


def _change(
    invocation: Invocation,
    campaign: str,
    change: Callable[[CloudClient, str, str], Awaitable[Campaign]],
    wait: bool = False,
) -> None:
    async def act(cloud: CloudClient, organization: str) -> Campaign:
        made = await change(cloud, organization, await _find(cloud, organization, campaign))
        return await follow(cloud, organization, made.id, invocation.output) if wait else made

    _finish(invocation, on_cloud(invocation, act), wait)
