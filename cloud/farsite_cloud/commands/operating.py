"""What the operator's commands share: options, one unit of work at the desk, and how it is told. Imports nothing heavy:
`farsite --help` loads this module."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

Config = Annotated[Path | None, typer.Option("--config", help="Settings file (TOML).")]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Database, keys and secrets.")]
Json = Annotated[bool, typer.Option("--json", help="JSON, one line per event.")]


def do(
    act: Any,
    text: Callable[[Any], str],
    config: Path | None,
    data_dir: Path | None,
    as_json: bool,
    key: str | None = None,
) -> None:
    """`act`: of a `Desk`; what it gives is shown as `text`, or as JSON, under `key` when it is no object."""
    import json as encoder

    from farsite_cloud.commands.desk import run
    from farsite_cloud.commands.failure import told
    from farsite_cloud.settings import load_settings

    with told(as_json):
        done = run(load_settings({"data_dir": data_dir}, file=config), act)
        typer.echo(encoder.dumps({key: done} if key else done) if as_json else text(done))


def lines(shown: dict[str, Any]) -> str:
    """A line for each value."""
    return "\n".join(f"{name.replace('_', ' ')}: {_value(value)}" for name, value in shown.items())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {_value(one)}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None or value == "" else str(value)
