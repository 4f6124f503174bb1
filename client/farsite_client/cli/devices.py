"""`farsite devices`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from farsite_client.cli.invocation import Invocation
from farsite_client.cli.reach import Lan, reach
from farsite_signaling.wire.edge_api import Device

devices = typer.Typer(add_completion=False, rich_markup_mode=None)
Edge = Annotated[str, typer.Argument(metavar="EDGE", help="Name or id of the edge host.")]

COLUMNS = ("ID", "STATE", "ADDRESS", "MODEL", "VERSION", "TAGS", "FOUND BY", "LAST ERROR")


def device_row(device: Device) -> Sequence[object]:
    port = "" if device.http_port == 80 else f":{device.http_port}"
    return (
        device.id,
        device.state,
        device.address + port,
        device.model or device.product,
        device.version,
        ", ".join(device.tags),
        ", ".join(device.found_by),
        device.last_error,
    )


@devices.command("devices")
def devices_command(
    ctx: typer.Context,
    edge: Edge,
    discovered: Annotated[bool, typer.Option("--discovered", help="Only those not managed yet.")] = False,
    managed: Annotated[bool, typer.Option("--managed", help="Only managed ones.")] = False,
    status: Annotated[
        str | None,
        typer.Option(
            "--status", "--state", metavar="STATE", help="Such as unreachable or certificate_changed."
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Only those of a model.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only those with a tag.")] = None,
    search: Annotated[
        str | None, typer.Option(help="Words of serial number, address, model, version, tag.")
    ] = None,
    sort: Annotated[str, typer.Option(help="id, address, model, state, version or last_seen.")] = "id",
    descending: Annotated[bool, typer.Option("--descending", help="The other way round.")] = False,
    lan: Lan = None,
) -> None:
    """Devices an edge host knows."""
    invocation = Invocation(ctx)
    wanted = None if discovered == managed else managed
    given = {"status": status, "model": model, "tag": tag, "search": search, "sort": sort}
    filters = {name: value for name, value in given.items() if value is not None}
    filters["order"] = "descending" if descending else "ascending"
    found = invocation.run(_devices(invocation, edge, wanted, filters, lan))
    invocation.output.table(
        found,
        COLUMNS,
        [device_row(device) for device in found],
        f"None. Let the edge host look: farsite discover {edge}",
    )


async def _devices(
    invocation: Invocation, edge: str, managed: bool | None, filters: dict[str, str], lan: str | None
) -> list[Device]:
    async with reach(invocation, edge, lan) as client:
        return await client.devices(managed=managed, **filters)
