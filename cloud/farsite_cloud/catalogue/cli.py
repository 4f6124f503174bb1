"""`farsite cloud catalogue …`. Imports nothing heavy: `farsite --help` loads this module."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from farsite_cloud.commands.operating import Config, DataDir

catalogue = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="What is known of models: warranty, ends of support, releases.",
)
Json = Annotated[bool, typer.Option("--json", help="JSON.")]


@catalogue.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV with a header, a JSON array, or JSON Lines.")],
    partial: Annotated[
        bool, typer.Option("--partial", help="Take the good lines, tell the bad ones.")
    ] = False,
    config: Config = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Replace the catalogue by a file; every bad line is told with its number."""
    from farsite_cloud.commands.catalogue import import_file, problem_lines
    from farsite_cloud.commands.failure import told
    from farsite_cloud.settings import load_settings
    from farsite_signaling.wire.errors import FarsiteError

    with told(json):
        try:
            number, problems = import_file(load_settings({"data_dir": data_dir}, file=config), file, partial)
        except FarsiteError as error:
            if not json:
                problem_lines(file, [(one["field"], one["message"]) for one in error.errors])
            raise
        if not json:
            problem_lines(file, [(f"line {line}", text) for line, text in problems])
        bad = [{"line": line, "message": text} for line, text in problems]
        _show(json, f"The catalogue has {number} models.", models=number, problems=bad)


@catalogue.command("list")
def list_(config: Config = None, data_dir: DataDir = None, json: Json = False) -> None:
    """All models the catalogue knows."""
    from farsite_cloud.commands.catalogue import as_text, read_models
    from farsite_cloud.commands.failure import told
    from farsite_cloud.settings import load_settings

    with told(json):
        models = read_models(load_settings({"data_dir": data_dir}, file=config))
        _show(json, as_text(models), models=models)


def _show(as_json: bool, text: str, **values: Any) -> None:
    import json as encoder

    typer.echo(encoder.dumps(values) if as_json else text)
