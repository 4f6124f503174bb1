"""`farsite up`: an option for every setting that may stand on a command line."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from farsite_cloud.commands.failure import told
from farsite_cloud.settings import CloudSettings

up = typer.Typer(add_completion=False, rich_markup_mode=None)
_ADDRESSES = ("database", "redis")
"""Secret for the password that may be in them; without one they are given as any other setting."""
_KINDS = (bool, int, float, Path)


@up.command(name="up")
def up_command(**given: Any) -> None:
    """Run the cloud: API, signaling hub and relay. Secrets are given by environment or file only."""
    config, as_json = given.pop("config"), given.pop("json")
    with told(as_json):
        from farsite_cloud.commands.up import serve

        serve(given, config, as_json)


def _parameters() -> Iterator[inspect.Parameter]:
    yield _parameter("config", Path | None, typer.Option(None, "--config", help="Settings file (TOML)."))
    for name, field in CloudSettings.model_fields.items():
        parts = set(_parts(field.annotation))
        if SecretStr not in parts or name in _ADDRESSES:
            kind = next((kind for kind in _KINDS if kind in parts), str)
            yield _parameter(name, kind | None, _option(name, field))
    yield _parameter("json", bool, typer.Option(False, "--json", help="JSON, one line per event."))


def _parameter(name: str, annotation: Any, option: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=annotation)


def _parts(annotation: Any) -> Iterator[Any]:
    """A type with those it is made of."""
    yield annotation
    if get_origin(annotation) is not Literal:
        for part in get_args(annotation):
            yield from _parts(part)


def _option(name: str, field: FieldInfo) -> Any:
    text = field.description or name.replace("_", " ")
    default = field.default
    shown = f" ({default})" if isinstance(default, str | int | float) and default not in ("", False) else ""
    if name in _ADDRESSES:
        shown = f"; with a password rather FARSITE_{name.upper()}"
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    return typer.Option(
        None,
        f"--{name.replace('_', '-')}",
        help=f"{_sentence(text)}{shown}.",
        metavar="|".join(choices) or None,
    )


def _sentence(text: str) -> str:
    return text if "://" in text.split()[0] else text[:1].upper() + text[1:]


up_command.__signature__ = inspect.Signature(list(_parameters()))  # type: ignore[attr-defined]
