"""`farsite demo`."""

from __future__ import annotations

from pathlib import Path

import typer

demo = typer.Typer(add_completion=False)


@demo.command(name="demo")
def run(
    once: bool = typer.Option(False, "--once", help="End when done: exit code 0, or 1 if anything failed."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object at the end and nothing else."),
    nat: str = typer.Option("none", help="none, or hard: both ends behind symmetric NATs (root, Linux)."),
    cameras: int = typer.Option(5, min=1, max=50, help="Simulated cameras."),
    mib: int = typer.Option(32, min=1, max=1024, help="MiB to move each way."),
    folder: Path | None = typer.Option(
        None, help="Where data and snapshots go; default: a temporary folder."
    ),
) -> None:
    """Show the main job on this machine: a site, a cloud, and you, far away."""
    import asyncio

    from farsite_client.demo.options import MIB, DemoOptions, NatKind
    from farsite_client.demo.stay import show

    if nat not in list(NatKind):
        raise typer.BadParameter(f"{nat!r}; choose from {', '.join(NatKind)}", param_hint="--nat")
    with _folder(folder) as place:
        options = DemoOptions(place, cameras=cameras, transfer=mib * MIB, nat=NatKind(nat))
        raise typer.Exit(asyncio.run(show(options, once=once, as_json=as_json)))


def _folder(wanted: Path | None):  # type: ignore[no-untyped-def]
    import contextlib
    import tempfile

    if wanted is None:
        # Kept afterwards: the snapshot is something to look at.
        return contextlib.nullcontext(Path(tempfile.mkdtemp(prefix="farsite-demo-")))
    wanted.mkdir(parents=True, exist_ok=True)
    return contextlib.nullcontext(wanted)
