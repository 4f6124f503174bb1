"""`farsite campaigns show`: each edge host, each device, or every step."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from farsite_client.cli.campaign_following import One, Wait, find_campaign, follow, line
from farsite_client.cli.folders import on_cloud
from farsite_client.cli.invocation import Invocation
from farsite_client.cloud import CloudClient
from farsite_signaling.wire.work_api import Campaign, CampaignState


def add_show(campaigns: typer.Typer) -> None:
    campaigns.command("show")(show)


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
        found = await find_campaign(cloud, organization, campaign)
        if wait:
            await follow(cloud, organization, found, invocation.output)
        shown = await cloud.campaign(organization, found)
        return shown, await _parts(cloud, organization, found, devices or failed, failed, steps)

    shown, parts = on_cloud(invocation, act)
    invocation.output.note(line(shown))
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
