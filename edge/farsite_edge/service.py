"""Runs the edge host as a process: logging, signals, events."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any

from farsite_edge import heap
from farsite_edge.lifetime import Lifetime
from farsite_edge.logs import begin_logging
from farsite_edge.settings import EdgeSettings
from farsite_edge.supervisor.notifier import Notifier
from farsite_edge.wording import sentence
from farsite_signaling.descriptors import raise_descriptors


def serve(settings: EdgeSettings, *, as_json: bool) -> None:
    """Until SIGTERM or SIGINT. Raises `FarsiteError` when it cannot start."""
    begin_logging(settings.log_level, settings.data_dir)
    with contextlib.suppress(KeyboardInterrupt):
        _run(_serve(settings, Events(as_json)))


class Events:
    """What other programs wait for: one line each on standard output."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json

    def __call__(self, event: str, values: dict[str, object]) -> None:
        line = json.dumps({"event": event, **values}) if self._as_json else sentence(event, values)
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


async def _serve(settings: EdgeSettings, events: Events) -> None:
    stop = asyncio.Event()
    _on_signals(stop)
    notifier = Notifier.from_environment(os.environ)
    with notifier.beating(orphaned=stop.set):
        await Lifetime(settings, events, notifier, stop).run()


def _on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for name in ("SIGTERM", "SIGINT"):
        number = getattr(signal, name)
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))


def _run(work: Coroutine[Any, Any, None]) -> None:
    heap.tidy()
    raise_descriptors()
    try:
        import uvloop
    except ImportError:
        asyncio.run(work)
    else:
        uvloop.run(work)
