"""`farsite campaigns …`: work on devices of many edge hosts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from farsite_client.cli.campaign_following import COLUMNS, One, Wait, find_campaign, finish, follow, row_of
from farsite_client.cli.campaign_show import add_show
from farsite_client.cli.campaign_start import Expires, Limit, Share, add_starts
from farsite_client.cli.folders import on_cloud
from farsite_client.cli.invocation import Invocation
from farsite_client.cli.listing import Listing
from farsite_client.cloud import CloudClient
from farsite_signaling.wire.work_api import Campaign, CampaignResume, CampaignRetry

campaigns = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    cls=Listing,
    help="Campaigns: upgrades and policies on devices of many edge hosts.",
)


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
    invocation.output.table(found, COLUMNS, [row_of(one) for one in found], "No campaigns yet.")


@campaigns.command("kinds")
def kinds(ctx: typer.Context) -> None:
    """What campaigns can do, for `start`."""
    invocation = Invocation(ctx)
    found = on_cloud(invocation, lambda cloud, organization: cloud.campaign_kinds(organization))
    rows = [
        (one.kind, one.title, ", ".join(one.parameters.get("properties", {})), one.right) for one in found
    ]
    invocation.output.table(found, ("KIND", "DOES", "PARAMETERS", "RIGHT"), rows, "None.")


add_starts(campaigns)
add_show(campaigns)


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
        found = await find_campaign(cloud, organization, campaign)
        made = await cloud.cancel_campaign(organization, found)
        return await follow(cloud, organization, found, invocation.output) if wait else made

    finish(invocation, on_cloud(invocation, act), False)


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
        found = await find_campaign(cloud, organization, campaign)
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
        made = await change(cloud, organization, await find_campaign(cloud, organization, campaign))
        return await follow(cloud, organization, made.id, invocation.output) if wait else made

    finish(invocation, on_cloud(invocation, act), wait)
