"""`farsite demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from farsite_client.demo.options import MIB, DemoOptions, NatKind

demo = typer.Typer(add_completion=False, rich_markup_mode=None)


@demo.command(name="demo")
def run(
    once: Annotated[
        bool, typer.Option("--once", help="End when done: exit code 0, or 1 if anything failed.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object when done and nothing else.")
    ] = False,
    nat: Annotated[
        NatKind, typer.Option(help="hard: both ends behind symmetric NATs (root, Linux).")
    ] = NatKind.NONE,
    cameras: Annotated[int, typer.Option(min=1, max=50, help="Simulated cameras.")] = 5,
    mib: Annotated[int, typer.Option(min=1, max=1024, help="MiB to move each way.")] = 32,
    folder: Annotated[
        Path | None,
        typer.Option(
            help="Where data and snapshot go, kept afterwards; without it a temporary folder, of which only the "
            "snapshot stays."
        ),
    ] = None,
) -> None:
    """Show the main job on this machine: a site, a cloud, and you, far away."""
    from farsite_client.demo.folder import DemoFolder

    place = DemoFolder(folder)
    if not as_json:
        # Before the imports that take their time.
        typer.echo(f"\n{typer.style('Farsite demo', bold=True)}  data in {place.path}\n")
    import asyncio

    from farsite_client.demo.stay import show

    options = DemoOptions(place.path, cameras=cameras, transfer=mib * MIB, nat=nat)
    code = asyncio.run(show(options, once=once, as_json=as_json))
    place.tidy(failed=code == 1)
    if not as_json and (left := place.left()):
        typer.echo(left)
    raise typer.Exit(code)
