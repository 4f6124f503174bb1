"""Campaigns as commands show them, find them and wait for them."""

from __future__ import annotations

from typing import Annotated

import typer

from farsite_client.cli.following import going_on
from farsite_client.cli.invocation import Invocation
from farsite_client.cli.output import Output, ago, counted
from farsite_client.cloud import CloudClient
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.work_api import Campaign, CampaignState

One = Annotated[str, typer.Argument(metavar="CAMPAIGN", help="Its id, or the end of it.")]
Wait = Annotated[
    bool, typer.Option("--wait", help="Stay until it is over; exit code 1 unless everything succeeds.")
]
COLUMNS = ("ID", "CAMPAIGN", "STATE", "EDGE HOSTS", "DEVICES", "FAILED", "STARTED", "DETAIL")


def row_of(one: Campaign) -> tuple[object, ...]:
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


async def follow(cloud: CloudClient, organization: str, campaign: str, output: Output) -> Campaign:
    """Until it is over, or waits for somebody; with `--json` one line per change, `{"event": "progress", …}`."""
    last: Campaign | None = None
    said = f"The campaign goes on. Look at it: farsite campaigns show {campaign} --wait"
    async with going_on(output, said):
        async for shown in cloud.follow_campaign(organization, campaign):
            if output.as_json:
                output.json({"event": "progress", **shown.model_dump(mode="json")})
            else:
                output.note(line(shown))
            last = shown
    assert last is not None
    return last


def line(shown: Campaign) -> str:
    edges, devices = shown.orders, shown.devices
    parts = [f"{shown.progress:.0%}", f"{devices.succeeded} of {devices.total} devices done"]
    parts += [f"{devices.failed} failed"] if devices.failed else []
    parts += [f"{counted(edges.offline_waiting, 'edge host')} offline"] if edges.offline_waiting else []
    return f"{shown.title}: {shown.state}, {', '.join(parts)}. {shown.detail}{_why(shown)}".strip()


def _why(shown: Campaign) -> str:
    if shown.state is not CampaignState.FAILED:
        return ""
    return f" Device by device: farsite campaigns show {shown.id} --devices"


def finish(invocation: Invocation, campaign: Campaign, waited: bool) -> None:
    invocation.output.table(campaign, COLUMNS, [row_of(campaign)], "")
    if waited and campaign.state is not CampaignState.SUCCEEDED:
        raise typer.Exit(1)


async def find_campaign(cloud: CloudClient, organization: str, wanted: str) -> str:
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
