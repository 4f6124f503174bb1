"""How commands end when something is wrong: one sentence and a code, no traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from farsite_signaling.wire.errors import FarsiteError


@contextmanager
def told(json: bool = False) -> Iterator[None]:
    """Exit 1 with `error: … [code]` on stderr, or with the problem as JSON on stdout."""
    try:
        yield
    except FarsiteError as error:
        if json:
            typer.echo(error.problem().model_dump_json(exclude_none=True))
        else:
            typer.echo(f"error: {error.detail} [{error.code}]", err=True)
        raise typer.Exit(1) from None
