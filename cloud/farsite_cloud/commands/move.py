"""`farsite cloud move-database`: how it goes, and what to do then."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import typer

from farsite_cloud.database.moved import unmark_moved
from farsite_cloud.database.opening import database_exists, described, open_database
from farsite_cloud.moving.carrying import Step, Tell
from farsite_cloud.moving.job import Move, Moved
from farsite_cloud.settings import CloudSettings
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


def move(settings: CloudSettings, to: str, *, rehearsal: bool, as_json: bool) -> None:
    """Raises `FarsiteError`; then nothing was moved."""
    with _lines() if as_json else _bar() as tell:
        moved = asyncio.run(Move(settings, to, rehearsal=rehearsal, tell=tell).run())
    if as_json:
        _line({"event": "moved" if moved.committed else "rehearsed"} | asdict(moved))
    else:
        typer.echo("\n".join(as_text(moved)))


@contextmanager
def _lines() -> Iterator[Tell]:
    """One of each table when all of it is there."""

    def tell(step: Step) -> None:
        if step.what == "count" or step.done == step.rows:
            _line({"event": step.what, "name": step.name, "rows": step.rows})

    yield tell


def _line(event: dict[str, object]) -> None:
    typer.echo(json.dumps(event))


@contextmanager
def _bar() -> Iterator[Tell]:
    """Of rows, each of which is written and read once; nothing where nobody looks."""
    stderr = typer.get_text_stream("stderr")
    if not stderr.isatty():
        yield lambda step: None
        return
    with typer.progressbar(length=1, label="Moving", file=stderr) as bar:
        before: dict[tuple[str, str], int] = {}

        def tell(step: Step) -> None:
            if step.what == "count":
                bar.length = 2 * step.rows + 1
            elif step.what in ("copy", "verify"):
                bar.update(step.done - before.get((step.what, step.name), 0))
                before[step.what, step.name] = step.done

        yield tell
        bar.update(1)


def as_text(moved: Moved) -> Iterator[str]:
    rows, tables = sum(moved.tables.values()), len(moved.tables)
    what = f"{rows:,} rows of {tables} tables, {moved.logs} audit logs verified, in {moved.seconds:.1f} s"
    for note in moved.notes:
        yield f"note: {note}"
    if not moved.committed:
        yield f"It can be moved to {moved.target}: {what}. Nothing was changed."
        return
    yield f"Moved to {moved.target}: {what}."
    yield f"Next: {moved.next}, then farsite up."
    yield f"{moved.key} belongs to it as before: it stays where it is, and no cloud starts without it."
    yield f"{moved.source} is as it was; no cloud starts on it any more. Keep it until you are sure."


def take_back_database(settings: CloudSettings, *, as_json: bool) -> None:
    """Raises `conflict` when it was not moved away."""
    if not database_exists(settings):
        detail = f"There is no cloud in {settings.data_dir}. Name its folder with --data-dir."
        raise FarsiteError(ErrorCode.NOT_FOUND, detail)
    if not asyncio.run(_take_back(settings)):
        raise FarsiteError(ErrorCode.CONFLICT, f"{described(settings)} was not moved away.")
    where = described(settings)
    told = f"A cloud starts on {where} again. What was done at the other database since is not in it."
    typer.echo(json.dumps({"event": "taken_back", "database": where}) if as_json else told)


async def _take_back(settings: CloudSettings) -> bool:
    database = open_database(settings)
    try:
        async with database.writing(patient=True) as session:
            return await unmark_moved(session)
    finally:
        await database.aclose()
