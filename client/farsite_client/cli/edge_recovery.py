"""`farsite edges reclaim|revoke-certificate`: an edge host whose machine or certificate is lost comes back."""

from __future__ import annotations

from typing import Annotated

import typer

from farsite_client.cli.folders import on_cloud
from farsite_client.cli.invocation import Invocation
from farsite_client.cli.risks import Risk, confirm_risk
from farsite_client.cloud import CloudClient
from farsite_client.edge_hosts import find_edge
from farsite_signaling.wire.cloud_api import EdgeHost, SetupCode

One = Annotated[str, typer.Argument(metavar="EDGE", help="Name or id of the edge host.")]


def reclaim(ctx: typer.Context, edge: One) -> None:
    """A code to claim an edge host again as the same one, also on another machine. Its old certificate ends then."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> tuple[SetupCode, str]:
        found = await find_edge(cloud, organization, edge)
        return await cloud.setup_code_again(organization, found.id), cloud.url

    code, url = on_cloud(invocation, act)
    invocation.output.result(
        {"code": code.code, "expires_at": code.expires_at.isoformat(), "name": code.name, "cloud": url},
        f"Code for {code.name}, good until {code.expires_at:%H:%M} UTC and for one use: {code.code}\n"
        f"On its machine: farsite edge claim {code.code} --cloud {url} --again",
    )


def revoke_certificate(ctx: typer.Context, edge: One, aware: Risk = False) -> None:
    """Cut an edge host off whose key may be in wrong hands, until it is claimed again."""
    invocation = Invocation(ctx)

    async def act(cloud: CloudClient, organization: str) -> EdgeHost:
        found = await find_edge(cloud, organization, edge)
        found = await cloud.edge_host(organization, found.id)
        confirm_risk(f"Cut {found.name} off until it is claimed again on its machine?", aware)
        await cloud.revoke_edge_certificate(organization, found.id, risk_confirmed=True)
        return found

    gone = on_cloud(invocation, act)
    text = f"{gone.name} is cut off. Back with: farsite edges reclaim {gone.id}"
    invocation.output.result({"revoked": gone.id, "name": gone.name}, text)


def add_recovery(edges: typer.Typer) -> None:
    edges.command("reclaim")(reclaim)
    edges.command("revoke-certificate")(revoke_certificate)
