"""`farsite edges`."""

from __future__ import annotations

import re
from collections.abc import Mapping

import typer

from farsite_client.cli.invocation import Invocation
from farsite_client.cli.output import ago
from farsite_signaling.wire.cloud_api import EdgeHost

edges = typer.Typer(add_completion=False, rich_markup_mode=None)
_URN = re.compile(r"urn:farsite:[\w.-]+:(edge|user):([\w.-]+)(?::device:[\w.-]+)?")


@edges.command("edges")
def edges_command(ctx: typer.Context) -> None:
    """The organization's edge hosts."""
    invocation = Invocation(ctx)
    found = invocation.run(_edges(invocation))
    invocation.output.table(
        found,
        ("NAME", "ONLINE", "REMOTE ACCESS", "VERSION", "DEVICES", "LAST SEEN", "ID"),
        [_row(edge) for edge in found],
        "No edge hosts yet. Claim one with: farsite claim --name NAME",
    )


async def _edges(invocation: Invocation) -> list[EdgeHost]:
    async with invocation.cloud() as (cloud, stored):
        return [edge async for edge in cloud.edge_hosts(stored.organization_id)]


def _row(edge: EdgeHost) -> tuple[object, ...]:
    access = {None: "unknown", True: "on", False: "off"}[edge.remote_access]
    devices = f"{edge.devices_managed} (+{edge.devices_discovered} discovered)"
    seen = "now" if edge.online else ago(edge.last_seen)
    return edge.name, "yes" if edge.online else "no", access, edge.version, devices, seen, edge.id


def readable(text: str, names: Mapping[str, str]) -> str:
    """Names in place of the long ones that certificates carry; `--json` has these."""
    match = _URN.fullmatch(text)
    kind, id = match.groups() if match else ("", text.removeprefix("edge "))
    if id in names:
        return names[id]
    return f"{kind} {id}" if match else text
