"""Options every command takes: `--json`, `--home`, `--proxy`, `--ca-file`, `--config`.

They may stand before the command's name or after it; what stands last wins.
"""

from __future__ import annotations

import functools
from typing import Annotated, Any

import typer
import typer.main

FLAGS = ("json", "home", "proxy", "ca_file", "config")
COMMAND = "command"
"""Beside the options: the command they were given to, for errors to speak of its options."""


def _keep(ctx: typer.Context, param: typer.CallbackParam, value: Any) -> Any:
    given = ctx.ensure_object(dict)
    given[COMMAND] = ctx.command
    if value not in (None, False):
        given[param.name] = value
    return value


Json = Annotated[bool, typer.Option("--json", help="Print JSON.", callback=_keep, expose_value=False)]
Home = Annotated[
    str | None,
    typer.Option(
        "--home", metavar="FOLDER", help="Where the sign-in is kept.", callback=_keep, expose_value=False
    ),
]
Proxy = Annotated[
    str | None,
    typer.Option(
        "--proxy",
        metavar="URL",
        help="HTTP or SOCKS5 proxy to the cloud.",
        callback=_keep,
        expose_value=False,
    ),
]
CaFile = Annotated[
    str | None,
    typer.Option(
        "--ca-file", metavar="FILE", help="PEM authorities to trust too.", callback=_keep, expose_value=False
    ),
]
Config = Annotated[
    str | None,
    typer.Option("--config", metavar="FILE", help="Settings (TOML).", callback=_keep, expose_value=False),
]


def common(
    json: Json = False,
    home: Home = None,
    proxy: Proxy = None,
    ca_file: CaFile = None,
    config: Config = None,
) -> None: ...


@functools.cache
def _common_parameters() -> tuple[Any, ...]:
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(common)
    return tuple(item for item in typer.main.get_command(app).params if item.name in FLAGS)


def add_common_options(command: Any) -> None:
    """Give `command`, and every command of a group, the common options it does not declare itself."""
    for child in getattr(command, "commands", {}).values():
        add_common_options(child)
    taken = {parameter.name for parameter in command.params}
    command.params.extend(item for item in _common_parameters() if item.name not in taken)
