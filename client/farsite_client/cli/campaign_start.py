"""`farsite campaigns upgrade|policy|start`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from farsite_client.cli.axis_os import Days, Stages, Window, site_rollout
from farsite_client.cli.campaign_following import Wait, finish, follow
from farsite_client.cli.folders import find_folder, on_cloud
from farsite_client.cli.invocation import Invocation
from farsite_client.cli.spread import spread
from farsite_client.cli.templates import find_template
from farsite_client.cli.upgrade_hints import hints
from farsite_client.cloud import CloudClient
from farsite_client.edge_hosts import find_edge
from farsite_signaling.wire.refusals import plain
from farsite_signaling.wire.work import Selection
from farsite_signaling.wire.work_api import Campaign, CampaignRequest, CampaignRollout

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
Parameters = Callable[[CloudClient, str], Awaitable[dict[str, Any]]]


@dataclass
class Which:
    """The devices, and the edge hosts among whose they are."""

    models: Models = None
    edges: Edges = None
    folders: Folders = None
    devices: Serials = None

    def selection(self, below: str | None = None) -> Selection:
        given = {"models": self.models, "devices": self.devices, "version_below": below}
        return Selection.model_validate({name: value for name, value in given.items() if value})

    async def places(self, cloud: CloudClient, organization: str) -> dict[str, list[str]]:
        known = await cloud.folders(organization) if self.folders else []
        return {
            "edge_hosts": [(await find_edge(cloud, organization, one)).id for one in self.edges or ()],
            "folders": [find_folder(known, one).id for one in self.folders or ()],
        }


@dataclass
class Pace:
    """How it goes through the edge hosts."""

    stages: Stages = "100"
    parallel: Parallel = 20
    max_failures: Limit = 3
    max_share: Share = None
    soak: Soak = 0

    def plan(
        self, site_parallel: int = 4, window: str | None = None, days: str | None = None
    ) -> CampaignRollout:
        return CampaignRollout(
            stages=site_rollout(1, self.stages, 1, None, None).stages,
            parallel=self.parallel,
            soak_minutes=self.soak,
            max_failures=self.max_failures,
            max_failure_share=self.max_share,
            # The limit of each site is the campaign's: it comes with every order.
            site=site_rollout(site_parallel, "100", self.max_failures or 5000, window, days),
        )


@dataclass
class Terms:
    """When it is done, what it is called, and who waits for it."""

    starts_at: Starts = None
    expires: Expires = 168
    title: Title = None
    wait: Wait = False

    def values(self) -> dict[str, Any]:
        at = self.starts_at.astimezone() if self.starts_at else None
        return {"starts_at": at, "expires_in_hours": self.expires, "title": self.title}


def add_starts(campaigns: typer.Typer) -> None:
    campaigns.command("upgrade")(upgrade)
    campaigns.command("policy")(policy)
    campaigns.command("start")(start)


@spread
def upgrade(
    ctx: typer.Context,
    which: Which,
    below: Below = None,
    version: Annotated[
        str | None, typer.Option("--to", help="A version; the recommended one of each device without.")
    ] = None,
    direct: Annotated[
        bool, typer.Option("--direct", help="Leave out versions there is no image of.")
    ] = False,
    *,
    pace: Pace,
    site_parallel: SiteParallel = 4,
    window: Window = None,
    days: Days = None,
    terms: Terms,
) -> None:
    """Upgrade AXIS OS on devices of many edge hosts. Stages are shares of the edge hosts."""
    invocation = Invocation(ctx)

    async def parameters(cloud: CloudClient, organization: str) -> dict[str, Any]:
        for hint in hints(await cloud.os_overview(organization), which.models or (), version):
            invocation.output.note(f"warning: {hint}")
        return {"version": version, "direct": direct}

    plan = pace.plan(site_parallel, window, days)
    _start(invocation, "os.upgrade", parameters, which, which.selection(below), plan, terms)


@spread
def policy(
    ctx: typer.Context,
    template: Annotated[str, typer.Argument(help="A policy template, by name or id.")],
    which: Which,
    version: Annotated[int | None, typer.Option("--version", min=1, help="Not the newest one.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Devices with another policy of the kind leave that one.")
    ] = False,
    *,
    pace: Pace,
    terms: Terms,
) -> None:
    """Apply a policy template to devices of many edge hosts."""

    async def parameters(cloud: CloudClient, organization: str) -> dict[str, Any]:
        found = await find_template(cloud, organization, template)
        return {"template": found.id, "version": version, "replace": replace}

    _start(Invocation(ctx), "policy.apply", parameters, which, which.selection(), pace.plan(), terms)


@spread
def start(
    ctx: typer.Context,
    kind: Annotated[str, typer.Argument(help="One of `farsite campaigns kinds`.")],
    which: Which,
    parameters: Annotated[str, typer.Option("--parameters", metavar="JSON", help="As the kind says.")] = "{}",
    below: Below = None,
    rollout: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="JSON file with the rollout.")
    ] = None,
    *,
    terms: Terms,
) -> None:
    """Start a campaign of any kind."""
    plan = _read(CampaignRollout, rollout.read_text("utf-8") if rollout else "{}", "--rollout")
    given: dict[str, Any] = _json(parameters)

    async def said(cloud: CloudClient, organization: str) -> dict[str, Any]:
        return given

    _start(Invocation(ctx), kind, said, which, which.selection(below), plan, terms)


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


def _start(
    invocation: Invocation,
    kind: str,
    parameters: Parameters,
    which: Which,
    selection: Selection,
    plan: CampaignRollout,
    terms: Terms,
) -> None:
    async def act(cloud: CloudClient, organization: str) -> Campaign:
        request = CampaignRequest(
            kind=kind,
            parameters=await parameters(cloud, organization),
            selection=selection,
            rollout=plan,
            **await which.places(cloud, organization),
            **terms.values(),
        )
        made = await cloud.start_campaign(organization, request)
        return await follow(cloud, organization, made.id, invocation.output) if terms.wait else made

    finish(invocation, on_cloud(invocation, act), terms.wait)
