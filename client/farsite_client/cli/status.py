"""`farsite status`: live sessions of this user on this machine."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from farsite_client.cli.invocation import Invocation
from farsite_client.cli.output import ago, size_text
from farsite_client.runtime import INTERVAL, SessionState, live_sessions, way

status = typer.Typer(add_completion=False, rich_markup_mode=None)


@status.command("status")
def status_command(
    ctx: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it again every second.")] = False,
) -> None:
    """Live sessions of this machine: path and why, round trip, bytes, since when, last error."""
    invocation = Invocation(ctx)
    folder = invocation.profile.runtime
    if watch:
        invocation.serve(_watch(invocation, folder))
    else:
        _show(invocation, live_sessions(folder))


async def _watch(invocation: Invocation, folder: Path) -> None:
    while True:
        if not invocation.output.as_json:
            _clear()
        _show(invocation, live_sessions(folder))
        await asyncio.sleep(INTERVAL)


def _clear() -> None:
    if sys.stdout.isatty():
        typer.echo("\033[2J\033[H", nl=False)


def _show(invocation: Invocation, sessions: list[SessionState]) -> None:
    output = invocation.output
    if output.as_json:
        output.json(sessions)
        return
    if not sessions:
        output.line("No live sessions. Open one with: farsite open EDGE/DEVICE")
    for session in sessions:
        for text in describe(session):
            output.line(text)


def describe(session: SessionState) -> list[str]:
    lines = [f"{session.edge} ({session.organization}): {session.state}, {session.command} pid {session.pid}"]
    if tunnel := session.tunnel:
        rtt = "not measured yet" if tunnel.rtt_ms is None else f"{tunnel.rtt_ms:.1f} ms"
        moved = f"{size_text(tunnel.bytes_sent)} sent, {size_text(tunnel.bytes_received)} received"
        lines += [
            f"  path        {way(tunnel)}",
            f"  round trip  {rtt}",
            f"  bytes       {moved}, {tunnel.streams} streams",
            f"  since       {ago(tunnel.since)}, session {tunnel.session}",
        ]
    for port in session.ports:
        where = port.url or f"{port.address}:{port.port}"
        lines.append(f"  local port  {where} -> {port.target}, {port.connections} connections")
    if session.last_error:
        error = session.last_error
        lines.append(f"  last error  {error.detail} [{error.code}] {ago(error.at)}")
    return lines
