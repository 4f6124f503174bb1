"""`farsite licences …`: the organization's licences."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from farsite_client.cli.folders import on_cloud
from farsite_client.cli.invocation import Invocation
from farsite_client.cli.listing import listing
from farsite_client.cloud import CloudClient
from farsite_client.edge_hosts import find_edge
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.licence_api import Allocation, LicenceOverview

licences = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    cls=listing("show"),
    help="Licences: what there is and is needed, redeem, allocate.",
)
_MOST = 16 * 1024


@licences.command("show")
def show(ctx: typer.Context) -> None:
    """The state, the current need of each kind, and until when it is covered."""
    invocation = Invocation(ctx)
    _print(invocation, on_cloud(invocation, lambda cloud, organization: cloud.licences(organization)))


def _print(invocation: Invocation, found: LicenceOverview) -> None:
    invocation.output.note(f"{found.state}: {found.detail}")
    if found.clock_behind:
        late = timedelta(seconds=round(found.clock_behind))
        invocation.output.note(
            f"warning: the cloud's clock is {late} behind what it was; licences go by the later time."
        )
    rows = [
        (one.kind, one.needed, one.owned, one.unallocated, one.missing, _day(one.covered_until))
        for one in found.needs
        if one.needed or one.owned
    ]
    columns = ("KIND", "NEEDED", "OWNED", "UNALLOCATED", "MISSING", "COVERED UNTIL")
    invocation.output.table(found, columns, rows, "No device needs a licence.")


def _day(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d}"


@licences.command("list")
def list_licences(ctx: typer.Context) -> None:
    """The licences that were redeemed; they end at the beginning of the day shown (UTC)."""
    invocation = Invocation(ctx)
    found = on_cloud(invocation, lambda cloud, organization: cloud.licences(organization)).licences
    rows = [
        (
            one.kind,
            one.count,
            _day(one.starts_at),
            _day(one.ends_at),
            "yes" if one.active else "no",
            one.issuer,
            one.id,
        )
        for one in found
    ]
    columns = ("KIND", "COUNT", "FROM", "ENDS", "ACTIVE", "ISSUER", "ID")
    invocation.output.table(found, columns, rows, "None.")


@licences.command("redeem")
def redeem(
    ctx: typer.Context,
    key: Annotated[str | None, typer.Argument(help="The key, as you received it.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="A file with the key.")] = None,
) -> None:
    """Redeem a licence key for this organization. Each can be redeemed once."""
    invocation = Invocation(ctx)
    text = _key(key, file)
    _print(
        invocation, on_cloud(invocation, lambda cloud, organization: cloud.redeem_licence(organization, text))
    )


def _key(key: str | None, file: Path | None) -> str:
    if (key is None) == (file is None):
        raise FarsiteError(ErrorCode.INVALID_REQUEST, "Give the licence key, or a file with it (--file).")
    if file is None:
        return key or ""
    try:
        with file.open("rb") as opened:
            return opened.read(_MOST).decode().strip()
    except (OSError, UnicodeDecodeError):
        raise FarsiteError(ErrorCode.INVALID_REQUEST, f"Cannot read a licence key from {file}.") from None


@licences.command("allocations")
def allocations(ctx: typer.Context) -> None:
    """What each edge host needs and gets, in the order in which they are served."""
    invocation = Invocation(ctx)
    found = on_cloud(invocation, lambda cloud, organization: cloud.licence_allocations(organization))
    _print_allocations(invocation, found)


def _print_allocations(invocation: Invocation, found: Sequence[Allocation]) -> None:
    rows = [
        (
            one.edge_name,
            sum(one.needed.values()),
            sum(one.allocated.values()),
            one.missing,
            sum(one.first.values()) or "",
            "yes" if one.changes_allowed else "no",
            one.edge_id,
        )
        for one in found
    ]
    columns = ("EDGE HOST", "NEEDED", "ALLOCATED", "MISSING", "RESERVED", "CHANGES", "ID")
    invocation.output.table(found, columns, rows, "No edge hosts yet.")


@licences.command("reserve")
def reserve(
    ctx: typer.Context,
    edge: Annotated[str, typer.Argument(metavar="EDGE", help="Name or id of an edge host.")],
    devices: Annotated[int, typer.Option("--devices", min=0, help="Licences of kind device.")] = 0,
    universal: Annotated[int, typer.Option("--universal", min=0, help="Universal licences.")] = 0,
) -> None:
    """Let licences go to one edge host before others. Without numbers: no longer."""
    invocation = Invocation(ctx)

    async def work(cloud: CloudClient, organization: str) -> list[Allocation]:
        found = await find_edge(cloud, organization, edge)
        return await cloud.reserve_licences(organization, found.id, device=devices, universal=universal)

    _print_allocations(invocation, on_cloud(invocation, work))
