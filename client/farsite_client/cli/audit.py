"""`farsite audit …`: who did what in the organization; exported, and verified."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from farsite_client.audit import verify_export
from farsite_client.cli.choosing import since as moment_of
from farsite_client.cli.edges import readable
from farsite_client.cli.folders import on_cloud
from farsite_client.cli.invocation import Invocation
from farsite_client.cli.listing import Listing
from farsite_client.cli.output import size_text
from farsite_client.cloud import CloudClient
from farsite_client.edge_hosts import find_edge
from farsite_client.profile import Stored
from farsite_signaling.wire.audit_api import (
    AuditCheckpoint,
    AuditFilter,
    AuditRow,
    AuditVerification,
    ExportFormat,
)
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

audit = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    cls=Listing,
    help="The audit log: list, export, verify, checkpoint.",
)
_MOST = 64 * 1024
Limit = Annotated[int, typer.Option(min=1, max=10000, help="How many rows, newest first.")]
Actor = Annotated[str | None, typer.Option(help="Who: part of an address or name.")]
Action = Annotated[str | None, typer.Option(help="What: session.granted, or session for all of its kind.")]
Target = Annotated[str | None, typer.Option(help="Part of what it was done to.")]
Outcome = Annotated[str | None, typer.Option(help="allowed, refused or failed.")]
Edge = Annotated[
    str | None,
    typer.Option("--edge", metavar="EDGE", help="Edge host: name, or id (also of one that is gone)."),
]
Session = Annotated[str | None, typer.Option(help="Id of a session.")]
Source = Annotated[str | None, typer.Option(help="Part of the address it came from.")]
Since = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="From this time on: a day or moment (UTC), or 8h, 7d (ago)."),
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Before this time.")]
Text = Annotated[str | None, typer.Option(help="Anywhere in the row.")]
CheckpointFile = Annotated[Path | None, typer.Option("--checkpoint", help="File with an earlier checkpoint.")]


@audit.command("list")
def list_audit(
    ctx: typer.Context,
    limit: Limit = 50,
    actor: Actor = None,
    action: Action = None,
    target: Target = None,
    outcome: Outcome = None,
    edge: Edge = None,
    session: Session = None,
    source: Source = None,
    since: Since = None,
    until: Until = None,
    text: Text = None,
) -> None:
    """Who did what, refused attempts included: rows that fit all that is given, newest first."""
    given = {name: value for name, value in locals().items() if name not in ("ctx", "limit")}
    invocation, wanted = Invocation(ctx), _filter(given)
    rows, names = invocation.run(_fetch(invocation, limit, wanted))
    invocation.output.table(
        rows,
        ("AT (UTC)", "WHO", "WHAT", "TARGET", "OUTCOME", "FROM", "MORE"),
        [_row(row, names) for row in rows],
        "Nothing yet.",
    )


def _filter(given: Mapping[str, object]) -> AuditFilter:
    values = {name: value for name, value in given.items() if value is not None}
    times = {name: moment_of(str(values[name])) for name in ("since", "until") if name in values}
    return AuditFilter.model_validate(values | times)


async def _with_edge(cloud: CloudClient, organization: str, wanted: AuditFilter) -> AuditFilter:
    """An edge host's name as its id; what none is called is taken for the id of one that was removed."""
    if wanted.edge is None:
        return wanted
    try:
        found = await find_edge(cloud, organization, wanted.edge)
    except FarsiteError as error:
        if error.code not in (ErrorCode.NOT_FOUND, ErrorCode.FORBIDDEN):
            raise
        return wanted
    return wanted.model_copy(update={"edge": found.id})


async def _fetch(
    invocation: Invocation, limit: int, wanted: AuditFilter
) -> tuple[list[AuditRow], dict[str, str]]:
    """The rows, and what the ids in them are called."""
    async with invocation.cloud() as (cloud, stored):
        found: list[AuditRow] = []
        wanted = await _with_edge(cloud, stored.organization_id, wanted)
        async for row in cloud.audit(stored.organization_id, wanted, page_size=min(limit, 100)):
            found.append(row)
            if len(found) == limit:
                break
        names = {stored.account_id: stored.email}
        if not invocation.output.as_json:
            names |= {edge.id: edge.name async for edge in cloud.edge_hosts(stored.organization_id)}
        return found, names


def _row(row: AuditRow, names: Mapping[str, str]) -> tuple[object, ...]:
    who, target, source = (readable(text, names) for text in (row.actor, row.target, row.source))
    return f"{row.at:%Y-%m-%d %H:%M:%S}", who, row.action, target, row.outcome, source, _more(row)


def _more(row: AuditRow) -> str:
    """How long and how much a tunnel was, or why something was refused."""
    details = row.details
    parts = []
    if isinstance(details.get("seconds"), int | float):
        parts.append(f"{details['seconds']:.0f} s")
    for name, arrow in (("bytes_sent", "↓"), ("bytes_received", "↑")):
        if isinstance(details.get(name), int):
            parts.append(f"{arrow} {size_text(details[name])}")
    return " ".join([*parts, *([str(details["code"])] if "code" in details else [])])


@audit.command("export")
def export(
    ctx: typer.Context,
    format: Annotated[ExportFormat, typer.Option(help="jsonl (verifiable) or csv.")] = ExportFormat.JSONL,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file (else standard output).")
    ] = None,
    actor: Actor = None,
    action: Action = None,
    target: Target = None,
    outcome: Outcome = None,
    edge: Edge = None,
    session: Session = None,
    source: Source = None,
    since: Since = None,
    until: Until = None,
    text: Text = None,
) -> None:
    """The whole log, or what fits all that is given, oldest first."""
    given = {name: value for name, value in locals().items() if name not in ("ctx", "format", "output")}
    wanted = _filter(given)
    invocation = Invocation(ctx)

    async def work() -> int:
        async with invocation.cloud() as (cloud, stored):
            chosen = await _with_edge(cloud, stored.organization_id, wanted)
            pieces = cloud.audit_export(stored.organization_id, chosen, format=format)
            return await _save(pieces, output)

    size = invocation.run(work())
    if output is not None:
        shown = {"file": str(output), "bytes": size}
        invocation.output.result(shown, f"{output}: {size_text(size)}.")


async def _save(pieces: AsyncIterator[bytes], output: Path | None) -> int:
    """A file is there whole or not at all."""
    if output is None:
        return await _copy(pieces, sys.stdout.buffer)
    partial = output.with_name(output.name + ".part")
    try:
        with partial.open("wb") as file:
            size = await _copy(pieces, file)
        partial.replace(output)
    except OSError as error:
        detail = f"Cannot write {output}: {error.strerror}."
        raise FarsiteError(ErrorCode.INVALID_REQUEST, detail) from None
    finally:
        partial.unlink(missing_ok=True)
    return size


async def _copy(pieces: AsyncIterator[bytes], file: object) -> int:
    size = 0
    async for piece in pieces:
        file.write(piece)  # type: ignore[attr-defined]
        size += len(piece)
    return size


@audit.command("verify")
def verify(
    ctx: typer.Context,
    checkpoint: CheckpointFile = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="An export (jsonl), verified here without the cloud.")
    ] = None,
) -> None:
    """Recompute the log's hash chain and say where it breaks; exit code 1 when it does."""
    invocation = Invocation(ctx)
    stored = invocation.profile.load()
    signed = None if checkpoint is None else _read_checkpoint(checkpoint, stored)
    if file is not None:
        result = _verify_file(file, stored, signed)
    else:
        token = None if signed is None else signed.token
        result = on_cloud(invocation, lambda cloud, organization: cloud.verify_audit(organization, token))
    invocation.output.result(result, _verdict(result))
    if not result.ok:
        raise typer.Exit(1)


def _verify_file(file: Path, stored: Stored, signed: AuditCheckpoint | None) -> AuditVerification:
    try:
        with file.open(encoding="utf-8") as lines:
            return verify_export(lines, stored.organization_id, signed)
    except (OSError, UnicodeDecodeError):
        raise FarsiteError(ErrorCode.INVALID_REQUEST, f"Cannot read {file}.") from None


def _read_checkpoint(file: Path, stored: Stored) -> AuditCheckpoint:
    """Checked with the authority this machine pinned when it enrolled. Raises `signature_invalid`."""
    try:
        with file.open("rb") as opened:
            text = opened.read(_MOST).decode().strip()
        token = AuditCheckpoint.model_validate_json(text).token if text.startswith("{") else text
    except (OSError, ValueError):
        raise FarsiteError(ErrorCode.INVALID_REQUEST, f"There is no checkpoint in {file}.") from None
    from farsite_signaling.identity.certificates import load_certificate, public_key_of
    from farsite_signaling.identity.checkpoints import verify_checkpoint

    key = public_key_of(load_certificate(stored.authority))
    claims = verify_checkpoint(token, key, stored.organization_id)
    return AuditCheckpoint(**claims.model_dump(), token=token)


def _verdict(result: AuditVerification) -> str:
    note = f" {result.note}" if result.note else ""
    if result.broken is not None:
        return f"BROKEN at row {result.broken.seq}: {result.broken.detail} [{result.broken.kind}]{note}"
    compared = f" {result.checkpoints} signed checkpoints agree." if result.checkpoints else ""
    return f"Rows {result.first} to {result.last} are as they were written.{compared}{note}"


@audit.command("checkpoint")
def make_checkpoint(
    ctx: typer.Context,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file to keep it in.")] = None,
) -> None:
    """Let the organization's authority sign where the log stands now. Keep it elsewhere, for a later verify."""
    invocation = Invocation(ctx)
    made = on_cloud(invocation, lambda cloud, organization: cloud.audit_checkpoint(organization))
    if output is None:
        invocation.output.result(made, made.token)
        return
    from farsite_signaling.identity.keys import write_private

    write_private(output, made.model_dump_json().encode() + b"\n")
    invocation.output.result(made, f"Row {made.seq}, signed, is in {output}.")
