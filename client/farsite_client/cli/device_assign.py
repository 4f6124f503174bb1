"""`farsite device assign`: host names and addresses for many devices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import farsite_client.cli.device_work  # noqa: F401  # adds the rest of the group
from farsite_client.cli.device import device, on_edge
from farsite_client.cli.devices import Edge
from farsite_client.cli.following import follow
from farsite_client.cli.invocation import Invocation
from farsite_client.cli.reach import Lan
from farsite_client.cli.spreadsheet import read_spreadsheet
from farsite_client.cli.tasks import WaitFlag, finish
from farsite_client.edge import EdgeClient
from farsite_signaling.wire.assign_api import AssignPlan, AssignPlanRow, AssignRequest, AssignRow, AssignRule
from farsite_signaling.wire.edge_tasks import Task
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.refusals import plain

COLUMNS = ("LINE", "DEVICE", "NOW", "ADDRESS", "ROUTER", "IPV6", "IPV6 ROUTER", "DNS", "HOST NAME", "PROBLEM")

__all__ = ["device"]


@device.command("assign")
def assign(
    ctx: typer.Context,
    edge: Edge,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[DEVICE]...", help="For a rule: in this order.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--table",
            metavar="FILE",
            help="CSV with serial, hostname, address, prefix, gateway, ipv6, ipv6gateway, dns; or JSON.",
        ),
    ] = None,
    host_name: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="Such as cam-{serial} or {model}-{n:03}.")
    ] = None,
    first: Annotated[
        str | None, typer.Option(metavar="ADDRESS/PREFIX", help="First address of a range.")
    ] = None,
    last: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Last address of the range.")] = None,
    router: Annotated[str | None, typer.Option(help="With --first.")] = None,
    ipv6: Annotated[
        str | None, typer.Option(metavar="auto|off", help="IPv6 by router advertisements, or off.")
    ] = None,
    ipv6_first: Annotated[
        str | None, typer.Option(metavar="ADDRESS/PREFIX", help="First address of a range of IPv6.")
    ] = None,
    ipv6_last: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Last one of it.")] = None,
    ipv6_router: Annotated[str | None, typer.Option(help="With --ipv6-first.")] = None,
    dns: Annotated[list[str] | None, typer.Option(help="A name server; may be repeated.")] = None,
    dhcp: Annotated[bool, typer.Option("--dhcp", help="Addresses by DHCP.")] = False,
    check: Annotated[bool, typer.Option("--dry-run", help="Look for conflicts, and change nothing.")] = False,
    wait: WaitFlag = False,
    lan: Lan = None,
) -> None:
    """Give devices host names and addresses by a table or a rule; a device that does not return gets its former ones."""
    invocation = Invocation(ctx)
    if (file is None) == (not ids):
        raise typer.BadParameter("a --table, or devices and a rule: one of them", param_hint="--table")
    if file is not None:
        request = _from_file(file, check)
    else:
        if ipv6 not in (None, "auto", "off"):
            raise typer.BadParameter("auto or off; an address goes into --ipv6-first", param_hint="--ipv6")
        rule = AssignRule(
            ids=ids or [],
            host_name=host_name,
            first=first,
            last=last,
            router=router,
            ipv6="auto" if ipv6 == "auto" else "off" if ipv6 == "off" else None,
            ipv6_first=ipv6_first,
            ipv6_last=ipv6_last,
            ipv6_router=ipv6_router,
            dns=dns or [],
            dhcp=dhcp,
        )
        request = AssignRequest(rule=rule, check=check)

    async def act(client: EdgeClient) -> tuple[AssignPlan, Task | None]:
        plan = await client.work.assign(request)
        done = (
            await follow(client.tasks, plan.task.id, invocation.output) if wait and plan.task else plan.task
        )
        return plan, done

    plan, task = on_edge(invocation, edge, lan, act)
    if not (wait and task):
        invocation.output.table(plan, COLUMNS, [_row(one) for one in plan.rows], "No devices.")
        if any(one.problem for one in plan.rows):
            raise typer.Exit(1)
        return
    for one in plan.rows:
        if one.problem:
            invocation.output.note(f"line {one.line}, {one.device}: {one.problem}")
    finish(invocation, task)


def _row(one: AssignPlanRow) -> tuple[object, ...]:
    return (
        one.line,
        one.device,
        one.now,
        one.address,
        one.router,
        one.ipv6,
        one.ipv6_router,
        ", ".join(one.dns),
        one.host_name,
        one.problem,
    )


def _from_file(file: Path, check: bool) -> AssignRequest:
    text = read_spreadsheet(file)
    if not text.lstrip().startswith("["):
        return AssignRequest(csv=text, check=check)
    from pydantic import TypeAdapter, ValidationError

    try:
        rows = TypeAdapter(list[AssignRow]).validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise FarsiteError(
            ErrorCode.INVALID_REQUEST, f"{file}: {plain(first['msg'])} (row {where})."
        ) from None
    return AssignRequest(rows=rows, check=check)
