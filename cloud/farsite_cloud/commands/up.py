"""`farsite up`: run the cloud until told to stop."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from farsite_cloud.cloud import Cloud
from farsite_cloud.collecting import keep_what_is_there
from farsite_cloud.logs import start_logging
from farsite_cloud.settings import LOOPBACK, CloudSettings, load_settings
from farsite_signaling.descriptors import raise_descriptors


def serve(flags: Mapping[str, Any], config: Path | None, as_json: bool) -> None:
    """Raises `FarsiteError`."""
    settings = load_settings(flags, file=config)
    start_logging(settings.log_level)
    raise_descriptors()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, as_json))


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:  # Windows
        return None
    return uvloop.new_event_loop


async def _serve(settings: CloudSettings, as_json: bool) -> None:
    stop = asyncio.Event()
    _on_signals(stop)
    async with Cloud(settings) as cloud:
        keep_what_is_there()
        _report(ready_event(cloud), as_json, cloud)
        await stop.wait()
    if as_json:
        _line({"event": "stopped"})


def _on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))


def ready_event(cloud: Cloud) -> dict[str, Any]:
    first = cloud.first_run
    return {
        "event": "ready",
        "url": cloud.urls.api,
        "hub_url": cloud.urls.hub,
        "port": cloud.port,
        "data_dir": str(cloud.settings.data_dir),
        "first_run": first is not None,
        "owner_email": first.owner_email if first else None,
        "password_file": str(first.password_file) if first and first.password_file else None,
        "turn": cloud.services.relay.describe(),
        "mail": cloud.services.mailer.describe(),
    }


def _line(event: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def _report(event: dict[str, Any], as_json: bool, cloud: Cloud) -> None:
    if as_json:
        _line(event)
        return
    for line in ready_lines(event, cloud.settings):
        typer.echo(line)
    sys.stdout.flush()


def ready_lines(event: dict[str, Any], settings: CloudSettings) -> list[str]:
    lines = [f"Farsite cloud is ready at {event['url']} (API page: {event['url']}/api/docs)"]
    if event["first_run"]:
        where = (
            f"password in {event['password_file']}" if event["password_file"] else "with the password given"
        )
        lines.append(f"First run: sign in as {event['owner_email']}, {where}")
    if settings.listen_address == LOOPBACK and settings.public_url is None:
        lines.append(
            "Only this machine can reach it: give --tls-certificate and --tls-key, or --public-url behind a proxy"
        )
    if event["turn"]["warning"]:
        lines.append(f"warning: {event['turn']['warning']}")
    else:
        lines.append(f"Relay: {', '.join(event['turn']['urls'])}")
    if event["mail"]["warning"]:
        lines.append(f"Mail: {event['mail']['warning']}")
    else:
        lines.append(f"Mail: through {event['mail']['server']}")
    return lines
