"""`farsite edges`, `farsite audit`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

import typer

from farsite_client.cli.invocation import Invocation
from farsite_client.cli.output import ago
from farsite_signaling.wire.audit_api import AuditRow
from farsite_signaling.wire.cloud_api import EdgeHost

edges = typer.Typer(add_completion=False, rich_markup_mode=None)
audit = typer.Typer(add_completion=False, rich_markup_mode=None)
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


@audit.command("audit")
def audit_command(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=10000, help="How many rows, newest first.")] = 50,
) -> None:
    """Who did what in the organization, refused attempts included."""
    invocation = Invocation(ctx)
    rows, names = invocation.run(_audit(invocation, limit))
    invocation.output.table(
        rows,
        ("AT (UTC)", "WHO", "WHAT", "TARGET", "OUTCOME", "FROM"),
        [_audit_row(row, names) for row in rows],
        "Nothing yet.",
    )


async def _audit(invocation: Invocation, limit: int) -> tuple[list[AuditRow], dict[str, str]]:
    """The rows, and what the ids in them are called."""
    async with invocation.cloud() as (cloud, stored):
        found: list[AuditRow] = []
        async for row in cloud.audit(stored.organization_id, page_size=min(limit, 100)):
            found.append(row)
            if len(found) == limit:
                break
        names = {stored.account_id: stored.email}
        if not invocation.output.as_json:
            names |= {edge.id: edge.name async for edge in cloud.edge_hosts(stored.organization_id)}
        return found, names


def _audit_row(row: AuditRow, names: Mapping[str, str]) -> tuple[object, ...]:
    who, target, source = (readable(text, names) for text in (row.actor, row.target, row.source))
    return f"{row.at:%Y-%m-%d %H:%M:%S}", who, row.action, target, row.outcome, source


def readable(text: str, names: Mapping[str, str]) -> str:
    """Names in place of the long ones that certificates carry; `--json` has these."""
    match = _URN.fullmatch(text)
    kind, id = match.groups() if match else ("", text.removeprefix("edge "))
    if id in names:
        return names[id]
    return f"{kind} {id}" if match else text
