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
    report.say(f"\n[bold]Farsite demo[/]  [dim]data in {options.folder}[/]\n")
    finished = False
    try:
        with _stopped_by_signals():
            async with perform(options, report) as stage:
                finished = True
                _finish(report, as_json)
                if not once:
                    _suggest(report, stage)
                    await asyncio.Event().wait()
    except asyncio.CancelledError:
        return 0 if finished else 130
    except FarsiteError as error:
        report.error = {"code": error.code, "detail": error.detail}
        report.say(f"\n[red]error:[/] {escape(str(error))}")
        _finish(report, as_json)
    return 0 if report.error is None else 1


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGINT and SIGTERM cancel the demo, which stops its parts in order."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):  # Windows raises KeyboardInterrupt instead
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
    yield


def _finish(report: Report, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(report.result()) + "\n")
        sys.stdout.flush()


def _suggest(report: Report, stage: Stage) -> None:
    serial = sorted(camera["serial"] for camera in stage.cameras)[0]
    account = stage.cameras[0]
    command = stage.place.client_command
    report.say(f"""
[bold]It stays up. Try, in another terminal:[/]

  {command("edges")}
  {command(f"devices '{EDGE_NAME}'")}
  {command(f"open '{EDGE_NAME}/{serial}'")}      [dim]device account: {account["username"]} / {account["password"]}[/]
  {command("status")}

  Cloud      {stage.cloud_url}  [dim](API documentation: {stage.cloud_url}/api/docs)[/]
  Sign-in    {OWNER} / {PASSWORD}

[dim]Ctrl+C stops everything.[/]
""")
