"""`farsite policies EDGE drift|score|export`: what goes to files and auditors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer

from farsite_client.cli.invocation import Invocation
from farsite_client.cli.output import ago
from farsite_client.cli.reach import Lan
from farsite_client.cli.tasks import on
from farsite_client.edge import EdgeClient
from farsite_signaling.wire.policy_api import Policy, PolicyTemplate

Find = Callable[[EdgeClient, str], Awaitable[Policy]]
AsCsv = Annotated[bool, typer.Option("--csv", help="As CSV.")]
To = Annotated[Path | None, typer.Option("--output", "-o", help="Into a file.")]


def add_reports(group: typer.Typer, find: Find) -> None:
    group.command("drift")(drift)
    group.command("score")(score)

    @group.command("export")
    def export(
        ctx: typer.Context,
        policy: Annotated[str, typer.Argument(metavar="POLICY", help="Its name or id.")],
        output: To = None,
        lan: Lan = None,
    ) -> None:
        """A policy as a document for other edge hosts; secrets are not in it."""
        invocation = Invocation(ctx)

        async def act(client: EdgeClient) -> PolicyTemplate:
            return await client.policies.template((await find(client, policy)).id)

        template = on(invocation, ctx.obj["edge"], lan, act)
        _put(invocation, template.model_dump_json(indent=2) + "\n", output)


def drift(ctx: typer.Context, csv: AsCsv = False, output: To = None, lan: Lan = None) -> None:
    """Settings that are other than policies want them: wanted, found, since when."""
    invocation = Invocation(ctx)
    if csv:
        _put(
            invocation,
            on(invocation, ctx.obj["edge"], lan, lambda client: client.policies.drift_csv()),
            output,
        )
        return
    report = on(invocation, ctx.obj["edge"], lan, lambda client: client.policies.drift())
    if output is not None:
        _put(invocation, report.model_dump_json(indent=2) + "\n", output)
        return
    rows = [
        (
            row.device,
            row.model,
            row.policy_name,
            row.setting,
            row.wanted,
            row.found,
            ago(row.since),
            row.detail,
        )
        for row in report.rows
    ]
    columns = ("DEVICE", "MODEL", "POLICY", "SETTING", "WANTED", "FOUND", "SINCE", "WHY")
    invocation.output.table(report, columns, rows, "Everything that was compared is as wanted.")


def score(ctx: typer.Context, csv: AsCsv = False, output: To = None, lan: Lan = None) -> None:
    """The hardening score of the site and of each device, explained."""
    invocation = Invocation(ctx)
    if csv:
        _put(
            invocation,
            on(invocation, ctx.obj["edge"], lan, lambda client: client.policies.hardening_csv()),
            output,
        )
        return
    report = on(invocation, ctx.obj["edge"], lan, lambda client: client.policies.hardening())
    if output is not None:
        _put(invocation, report.model_dump_json(indent=2) + "\n", output)
        return
    rows = [
        (
            row.device,
            row.model,
            "-" if row.score is None else f"{row.score} %",
            f"{row.points}/{row.possible}",
            row.policy_name,
            "; ".join(row.missing),
        )
        for row in report.rows
    ]
    columns = ("DEVICE", "MODEL", "SCORE", "POINTS", "POLICY", "MISSING")
    invocation.output.table(report, columns, rows, "No managed devices.")
    of_site = "not known yet" if report.score is None else f"{report.score} %"
    invocation.output.note(f"{report.edge}: {of_site}. {report.explained}")


def _put(invocation: Invocation, text: str, output: Path | None) -> None:
    if output is None:
        typer.echo(text, nl=False)
        return
    output.write_text(text, encoding="utf-8", newline="")
    invocation.output.note(f"Written to {output}.")
