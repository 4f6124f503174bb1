"""`farsite discover`: look for devices now, or scan many addresses as a task."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from farsite_client.cli.devices import COLUMNS, Edge, device_row
from farsite_client.cli.following import follow
from farsite_client.cli.invocation import Invocation
from farsite_client.cli.output import counted
from farsite_client.cli.reach import Lan, reach
from farsite_client.cli.spreadsheet import read_spreadsheet
from farsite_client.cli.tasks import WaitFlag, finish
from farsite_client.edge import EdgeClient
from farsite_signaling.wire.discovery_api import ScanStarted
from farsite_signaling.wire.edge_api import DiscoverResult
from farsite_signaling.wire.edge_tasks import Task

discover = typer.Typer(add_completion=False, rich_markup_mode=None)


@discover.command("discover")
def discover_command(
    ctx: typer.Context,
    edge: Edge,
    targets: Annotated[
        list[str] | None,
        typer.Argument(help="Addresses, ranges (10.0.0.1-10.0.0.9) or subnets to probe over HTTP too."),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="Scan the addresses of a file; - is standard input."),
    ] = None,
    scan: Annotated[
        bool, typer.Option("--scan", help="Probe as a task: up to 25,600 addresses, goes on by itself.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Only say what would be scanned.")] = False,
    rate: Annotated[
        int | None, typer.Option(min=10, max=50_000, help="Connections begun in a second while scanning.")
    ] = None,
    multicast: Annotated[bool, typer.Option(help="Ask by mDNS, SSDP and WS-Discovery.")] = True,
    port: Annotated[list[int] | None, typer.Option(min=1, max=65535, help="HTTP ports to probe.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, max=60, help="Seconds.")] = 3.0,
    wait: WaitFlag = False,
    lan: Lan = None,
) -> None:
    """Let an edge host look for devices."""
    invocation = Invocation(ctx)
    if csv is not None or scan or check:
        text = read_spreadsheet(csv) if csv is not None else None
        _scan(invocation, edge, targets or [], text, port or [], rate, check, wait, lan)
        return
    result = invocation.run(_discover(invocation, edge, targets or [], multicast, port or [], timeout, lan))
    rows = [device_row(device) for device in result.devices]
    invocation.output.table(result, COLUMNS, rows, "No devices found.")
    for problem in result.problems:
        invocation.output.note(f"warning: {problem}")


def _scan(
    invocation: Invocation,
    edge: str,
    targets: list[str],
    text: str | None,
    ports: list[int],
    rate: int | None,
    check: bool,
    wait: bool,
    lan: str | None,
) -> None:
    async def act() -> tuple[ScanStarted, Task | None]:
        async with reach(invocation, edge, lan) as client:
            started = await client.scans.start(targets, csv=text, ports=ports, rate=rate, check=check)
            _tell(invocation, started)
            return started, await _waited(invocation, client, started) if wait else started.task

    started, task = invocation.run(act())
    if task is None:
        invocation.output.result(started, f"{counted(started.addresses, 'address')} would be scanned.")
    elif wait:
        finish(invocation, task)
    else:
        invocation.output.result(
            started, f"{started.addresses:,} addresses are scanned: task {task.id[:12]}."
        )


async def _waited(invocation: Invocation, client: EdgeClient, started: ScanStarted) -> Task | None:
    return await follow(client.tasks, started.task.id, invocation.output) if started.task else None


def _tell(invocation: Invocation, started: ScanStarted) -> None:
    for problem in started.problems:
        invocation.output.note(f"line {problem.line}: {problem.text}: {problem.problem}")
    if started.duplicates:
        named = counted(started.duplicates, "address")
        invocation.output.note(f"Named more than once in the file: {named}.")


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
