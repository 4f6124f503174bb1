"""`farsite policies EDGE drift|score|export`: what goes to files and auditors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel

from farsite_client.cli.invocation import Invocation
from farsite_client.cli.output import ago
from farsite_client.cli.reach import Lan
from farsite_client.cli.tasks import on
from farsite_client.edge import EdgeClient
from farsite_signaling.wire.policy_api import (
    DriftReport,
    DriftRow,
    HardeningReport,
    Policy,
    PolicyTemplate,
    ScoreRow,
)

Find = Callable[[EdgeClient, str], Awaitable[Policy]]
AsCsv = Annotated[bool, typer.Option("--csv", help="As CSV.")]
To = Annotated[Path | None, typer.Option("--output", "-o", help="Into a file.")]
DRIFT = ("DEVICE", "MODEL", "POLICY", "SETTING", "WANTED", "FOUND", "SINCE", "WHY")
SCORES = ("DEVICE", "MODEL", "SCORE", "POINTS", "POLICY", "MISSING")


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
        _put(invocation, template, output)


def drift(ctx: typer.Context, csv: AsCsv = False, output: To = None, lan: Lan = None) -> None:
    """Settings that are other than policies want them: wanted, found, since when."""
    invocation = Invocation(ctx)

    async def fetch(client: EdgeClient) -> DriftReport | str:
        return await (client.policies.drift_csv() if csv else client.policies.drift())

    report = on(invocation, ctx.obj["edge"], lan, fetch)
    if isinstance(report, str) or output is not None:
        return _put(invocation, report, output)
    rows = [_deviation(row) for row in report.rows]
    invocation.output.table(report, DRIFT, rows, "Everything that was compared is as wanted.")


def _deviation(row: DriftRow) -> tuple[object, ...]:
    told = (row.device, row.model, row.policy_name, row.setting, row.wanted, row.found)
    return (*told, ago(row.since), row.detail)


def score(ctx: typer.Context, csv: AsCsv = False, output: To = None, lan: Lan = None) -> None:
    """The hardening score of the site and of each device, explained."""
    invocation = Invocation(ctx)

    async def fetch(client: EdgeClient) -> HardeningReport | str:
        return await (client.policies.hardening_csv() if csv else client.policies.hardening())

    report = on(invocation, ctx.obj["edge"], lan, fetch)
    if isinstance(report, str) or output is not None:
        return _put(invocation, report, output)
    rows = [_score(row) for row in report.rows]
    invocation.output.table(report, SCORES, rows, "No managed devices.")
    of_site = "not known yet" if report.score is None else f"{report.score} %"
    invocation.output.note(f"{report.edge}: {of_site}. {report.explained}")


def _score(row: ScoreRow) -> tuple[object, ...]:
    score = "-" if row.score is None else f"{row.score} %"
    points = f"{row.points}/{row.possible}"
    return (row.device, row.model, score, points, row.policy_name, "; ".join(row.missing))


def _put(invocation: Invocation, report: BaseModel | str, output: Path | None) -> None:
    text = report if isinstance(report, str) else report.model_dump_json(indent=2) + "\n"
    if output is None:
        typer.echo(text, nl=False)
        return
    output.write_text(text, encoding="utf-8", newline="")
    invocation.output.note(f"Written to {output}.")
