"""`farsite certificates EDGE list|policy`."""

from __future__ import annotations

from typing import Annotated

import typer

from farsite_client.cli.devices import Edge
from farsite_client.cli.invocation import Invocation
from farsite_client.cli.listing import Listing
from farsite_client.cli.output import ago
from farsite_client.cli.policies import COLUMNS as POLICY_COLUMNS
from farsite_client.cli.policies import policy_row
from farsite_client.cli.reach import Lan
from farsite_client.cli.tasks import on
from farsite_client.edge import EdgeClient
from farsite_signaling.wire.policy_api import DevicePolicy, Policy, PolicyMode

certificates = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    cls=Listing,
    help="HTTPS certificates of devices by the organization's authority.",
)
KIND = "certificates"
COLUMNS = ("DEVICE", "STATE", "CERTIFICATE", "CHECKED", "DETAIL")


@certificates.callback()
def group(ctx: typer.Context, edge: Edge) -> None:
    """HTTPS certificates of devices by the organization's authority."""
    ctx.ensure_object(dict)["edge"] = edge


@certificates.command("list")
def list_(ctx: typer.Context, lan: Lan = None) -> None:
    """The devices of certificates policies: which certificate they show, until when."""
    invocation = Invocation(ctx)

    async def act(client: EdgeClient) -> list[DevicePolicy]:
        policies = await client.policies.all(KIND)
        return [row for one in policies for row in await client.policies.results(one.id)]

    found = on(invocation, ctx.obj["edge"], lan, act)
    rows = [(row.device, row.state, _shown(row), ago(row.checked_at), _detail(row)) for row in found]
    invocation.output.table(found, COLUMNS, rows, "No certificates policy is applied to a device.")


def _shown(row: DevicePolicy) -> str:
    return next((one.found for one in row.settings if one.setting == "certificate"), "")


def _detail(row: DevicePolicy) -> str:
    return row.detail or next((one.detail for one in row.settings if one.setting == "certificate"), "")


@certificates.command("policy")
def policy(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="What the policy is to be called.")],
    days: Annotated[int, typer.Option(min=7, max=825, help="How long a certificate is good for.")] = 365,
    keep_old: Annotated[
        bool, typer.Option("--keep-old", help="Leave our former certificates there.")
    ] = False,
    report_only: Annotated[bool, typer.Option("--report-only", help="Compare, and change nothing.")] = False,
    lan: Lan = None,
) -> None:
    """Make a certificates policy. It is applied with: policies EDGE apply."""
    invocation = Invocation(ctx)
    mode = PolicyMode.REPORT_ONLY if report_only else PolicyMode.ENFORCE
    settings = {"days": days, "remove_old": not keep_old}

    async def act(client: EdgeClient) -> Policy:
        return await client.policies.create(KIND, name, settings, mode=mode)

    made = on(invocation, ctx.obj["edge"], lan, act)
    invocation.output.table(made, POLICY_COLUMNS, [policy_row(made)], "")
