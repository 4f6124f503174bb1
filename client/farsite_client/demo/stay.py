"""Runs a demo for people or programs, and leaves it standing for people to try."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape

from farsite_client.demo.options import DemoOptions
from farsite_client.demo.performance import EDGE_NAME, Stage, perform
from farsite_client.demo.place import OWNER, PASSWORD
from farsite_client.demo.report import Report
from farsite_signaling.wire.errors import FarsiteError


async def show(options: DemoOptions, *, once: bool, as_json: bool) -> int:
    """Exit code: 0 when every step held, 1 when one failed, 130 when interrupted before the end."""
    report = Report(Console(stderr=as_json, soft_wrap=True), quiet=as_json)
    finished = False
    try:
        with _stopped_by_signals():
            async with perform(options, report) as stage:
                finished = True
                _finish(report, as_json)
                if not once:
                    _suggest(report, stage)
                    await _until_interrupted(report)
    except asyncio.CancelledError:
        return 0 if finished else 130
    except FarsiteError as error:
        report.error = {"code": error.code, "detail": error.detail}
        report.say(f"\n[red]error:[/] {escape(str(error))}")
        if not finished:
            _finish(report, as_json)
    return 0 if report.error is None else 1


async def _until_interrupted(report: Report) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        report.say("\nStopping …")


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGINT, SIGTERM and a closed terminal cancel the demo, which stops its parts in order."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError, AttributeError):  # Windows raises KeyboardInterrupt instead
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, task.cancel)
    yield


def _finish(report: Report, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(report.result()) + "\n")
        sys.stdout.flush()


def _suggest(report: Report, stage: Stage) -> None:
    camera = stage.with_video
    command = stage.place.client_command
    target = f"'{EDGE_NAME}/{camera['serial']}'"
    report.say(f"""
[bold]It stays up. Try, in another terminal:[/]

  {escape(command("edges"))}
  {escape(command(f"devices '{EDGE_NAME}'"))}
  {escape(command(f"open {target}"))}
  {escape(command("status"))}

  [dim]open:   the camera's own page, with live video; its account is {camera["username"]} / {camera["password"]}
  status: path, round trip and bytes, while open runs[/]

  Cloud      {stage.cloud_url}  [dim](API documentation: {stage.cloud_url}/api/docs)[/]
  Sign-in    {OWNER} / {PASSWORD}

[dim]Ctrl+C stops everything and removes its data.[/]
""")
