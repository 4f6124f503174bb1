"""`farsite cloud move-database`: from SQLite to PostgreSQL, or back. Imports nothing heavy: `farsite --help` loads it."""

from __future__ import annotations

from typing import Annotated

import typer

from farsite_cloud.commands.operating import Config, DataDir, Json

To = Annotated[
    str | None,
    typer.Option(
        "--to",
        envvar="FARSITE_MOVE_TO",
        show_envvar=False,
        help="postgresql://user:password@host/name (with a password rather FARSITE_MOVE_TO), or sqlite: "
        "the file in the data folder.",
    ),
]


def move_database(
    to: To = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Do all of it and take it back; the cloud may run meanwhile.")
    ] = False,
    take_back: Annotated[
        bool, typer.Option("--take-back", help="Let a cloud start again on the database that was moved away.")
    ] = False,
    config: Config = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Take the stopped cloud's data from SQLite to an empty PostgreSQL database, or back: all of it or nothing."""
    from farsite_cloud.commands.failure import told
    from farsite_cloud.commands.move import move, take_back_database
    from farsite_cloud.settings import load_settings

    if (to is None) is not take_back:
        raise typer.BadParameter("give either --to or --take-back", param_hint="--to")
    with told(json):
        settings = load_settings({"data_dir": data_dir}, file=config)
        if to is None:
            take_back_database(settings, as_json=json)
        else:
            move(settings, to, rehearsal=dry_run, as_json=json)
