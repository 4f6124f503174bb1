"""`farsite devices`, `farsite discover`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from farsite_client.cli.invocation import Invocation
from farsite_client.cli.reach import Lan, reach
from farsite_signaling.wire.edge_api import Device, DiscoverResult

devices = typer.Typer(add_completion=False, rich_markup_mode=None)
discover = typer.Typer(add_completion=False, rich_markup_mode=None)
Edge = Annotated[str, typer.Argument(metavar="EDGE", help="Name or id of the edge host.")]

COLUMNS = ("ID", "STATE", "ADDRESS", "MODEL", "VERSION", "FOUND BY", "LAST ERROR")


def device_row(device: Device) -> Sequence[object]:
    port = "" if device.http_port == 80 else f":{device.http_port}"
    return (
        device.id,
        device.state,
        device.address + port,
        device.model or device.product,
        device.version,
        ", ".join(device.found_by),
        device.last_error,
    )


@devices.command("devices")
def devices_command(
    ctx: typer.Context,
    edge: Edge,
    discovered: Annotated[bool, typer.Option("--discovered", help="Only those not managed yet.")] = False,
    managed: Annotated[bool, typer.Option("--managed", help="Only managed ones.")] = False,
    lan: Lan = None,
) -> None:
    """Devices an edge host knows."""
    invocation = Invocation(ctx)
    wanted = None if discovered == managed else managed
    found = invocation.run(_devices(invocation, edge, wanted, lan))
    invocation.output.table(
        found,
        COLUMNS,
        [device_row(device) for device in found],
        f"None. Let the edge host look: farsite discover {edge}",
    )


async def _devices(invocation: Invocation, edge: str, managed: bool | None, lan: str | None) -> list[Device]:
    async with reach(invocation, edge, lan) as client:
        return await client.devices(managed=managed)


@discover.command("discover")
def discover_command(
    ctx: typer.Context,
    edge: Edge,
    targets: Annotated[
        list[str] | None,
        typer.Argument(help="Addresses, ranges (10.0.0.1-10.0.0.9) or subnets to probe over HTTP too."),
    ] = None,
    multicast: Annotated[bool, typer.Option(help="Ask by mDNS, SSDP and WS-Discovery.")] = True,
    port: Annotated[list[int] | None, typer.Option(help="HTTP ports to probe.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, max=60, help="Seconds.")] = 3.0,
    lan: Lan = None,
) -> None:
    """Let an edge host look for devices."""
    invocation = Invocation(ctx)
    work = _discover(invocation, edge, targets or [], multicast, port or [], timeout, lan)
    result = invocation.run(work)
    invocation.output.table(
        result, COLUMNS, [device_row(device) for device in result.devices], "No devices found."
    )
    for problem in result.problems:
        invocation.output.note(f"warning: {problem}")


async def _discover(
    invocation: Invocation,
    edge: str,
    targets: list[str],
    multicast: bool,
    ports: list[int],
    timeout: float,
    lan: str | None,
) -> DiscoverResult:
    async with reach(invocation, edge, lan) as client:
        return await client.discover(targets, multicast=multicast, ports=ports, timeout=timeout)
