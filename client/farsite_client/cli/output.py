"""What commands print: JSON for programs, plain lines and tables for people."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import typer
from pydantic import BaseModel

from farsite_client.cli.columns import lined_up, width_of

IDS = ("ID", "DEVICE")


def clean(value: object) -> str:
    """Text on one line without control characters: names come from other machines and reach a terminal."""
    text = "" if value is None else str(value)
    return "".join(character if character.isprintable() else " " for character in text)


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    if moment is None:
        return "never"
    seconds = int(((now or datetime.now(UTC)) - moment).total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{max(0, seconds)} s ago"


def counted(number: int, thing: str) -> str:
    """`1 device`, `2 devices`."""
    return (
        f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}{'es' if thing.endswith('s') else 's'}"
    )


def size_text(count: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def plain(value: Any) -> Any:
    """Models inside lists and dicts as JSON would have them."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value


class Output:
    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def json(self, value: Any) -> None:
        """One JSON value on a line of its own, at once."""
        typer.echo(json.dumps(plain(value), ensure_ascii=False))
        sys.stdout.flush()

    def line(self, text: str) -> None:
        """For people only."""
        if not self.as_json:
            typer.echo(clean(text))
            sys.stdout.flush()

    def note(self, text: str) -> None:
        """For people only, beside the result (stderr)."""
        if not self.as_json:
            typer.echo(clean(text), err=True)

    def result(self, value: Any, text: str) -> None:
        if self.as_json:
            self.json(value)
        else:
            self.line(text)

    def event(self, name: str, text: str, **fields: Any) -> None:
        """One line per event of a long-running command."""
        self.result({"event": name, **fields}, text)

    def table(self, value: Any, columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
        texts = [[clean(cell) for cell in row] for row in rows]
        if self.as_json:
            self.json(value)
        elif not texts:
            self.line(empty)
        else:
            self._print_table(columns, texts)

    def _print_table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        used = [index for index, _ in enumerate(columns) if any(row[index] for row in rows)]
        shown = [[row[index] for index in used] for row in (columns, *rows)]
        lines = lined_up(shown)
        wide = max(map(width_of, lines))
        # Read by programs and in logs: nothing is cut, nothing padded.
        if sys.stdout.isatty() and wide > shutil.get_terminal_size().columns:
            _print_folded(shown)
            return
        for number, line in enumerate(lines):
            typer.echo(typer.style(line, bold=True) if number == 0 and sys.stdout.isatty() else line)


def _print_folded(shown: Sequence[Sequence[str]]) -> None:
    """On a narrow terminal text goes on in the next line; nothing is cut, and ids stay whole for copying."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    columns, *rows = shown
    for index, column in enumerate(columns):
        whole = max(len(row[index]) for row in rows) if column in IDS else None
        table.add_column(column, overflow="fold", min_width=whole, no_wrap=whole is not None)
    for row in rows:
        table.add_row(*map(Text, row))
    Console(file=sys.stdout, highlight=False).print(table)
