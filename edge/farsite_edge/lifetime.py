"""One edge host after another on the same data folder: a database that turns out damaged is repaired by starting anew."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from farsite_edge.host import EdgeHost
from farsite_edge.settings import EdgeSettings
from farsite_edge.supervise import LONGEST_PAUSE, wait_for_any
from farsite_edge.supervisor.notifier import Notifier
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.hub import AuditEntry

GRACE = 3.0
"""Answers under way leave, and the cloud hears of the damage."""
REST = 600.0
"""Between two repairs: a disk that breaks whatever is written to it does not keep us from serving what is known."""
LOOK = 30.0
Tell = Callable[[str, dict[str, object]], None]
logger = logging.getLogger(__name__)


class Lifetime:
    """`tell` is told `ready` at each start, and `stopping`. Raises what the first start raises; later ones are tried
    again."""

    def __init__(
        self,
        settings: EdgeSettings,
        tell: Tell,
        notifier: Notifier,
        stop: asyncio.Event,
        *,
        make: Callable[..., EdgeHost] = EdgeHost,
    ) -> None:
        self._settings = settings
        self._tell = tell
        self._notifier = notifier
        self._stop = stop
        self._make = make
        self._repaired_at = float("-inf")
        self._waiting: list[AuditEntry] = []

    async def run(self) -> None:
        again, failures = False, 0
        while not self._stop.is_set():
            try:
                await self._once(again=again)
                again, failures = True, 0
            except FarsiteError as error:
                if not again:
                    raise
                failures += 1
                logger.error("the edge host cannot start again yet: %s", error)
                await wait_for_any(self._stop, timeout=min(LONGEST_PAUSE, 2.0**failures))

    async def _once(self, *, again: bool) -> None:
        host = self._make(self._settings, notify=self._tell, suspect=again)
        host.audit.take_over(self._waiting)
        async with host:
            self._waiting = []
            self._settings = _same_ports(self._settings, host)
            await self._tell_why(host)
            self._tell("ready", _ready(host))
            self._notifier.ready(f"{host.info().state}, port {host.https_port}")
            await self._until_damaged(host)
            if self._stop.is_set():
                self._notifier.stopping()
                self._tell("stopping", {})
                return
            logger.error("the edge host starts again to repair its database")
        self._repaired_at = time.monotonic()
        self._waiting = host.audit.waiting

    async def _tell_why(self, host: EdgeHost) -> None:
        """It did not end by itself: somebody may want to know."""
        why, self._notifier.why = self._notifier.why, ""
        if why:
            await host.audit.note(
                "edge.restarted", actor="supervisor", outcome="failed", details={"detail": why}
            )

    async def _until_damaged(self, host: EdgeHost) -> None:
        """Or told to stop."""
        await wait_for_any(self._stop, host.core.database.health.damaged)
        told = ""
        while not self._stop.is_set() and (why := self._not_now(host.core.database.path)):
            if why != told:
                logger.error("the damaged database is not repaired yet: %s", why)
            told = why
            await wait_for_any(self._stop, timeout=LOOK)
        if not self._stop.is_set():
            await wait_for_any(self._stop, timeout=GRACE)

    def _not_now(self, path: Path) -> str:
        """Why it would not succeed. Until then what is known is served."""
        if time.monotonic() < self._repaired_at + REST:
            return f"that was done less than {REST / 60:.0f} minutes ago"
        try:
            if shutil.disk_usage(path.parent).free < 2 * path.stat().st_size:
                return "there is no room for a second one"
        except OSError as error:
            return f"{path} cannot be looked at ({error.strerror})"
        return "" if os.access(path.parent, os.W_OK) else f"{path.parent} cannot be written"


def _same_ports(settings: EdgeSettings, host: EdgeHost) -> EdgeSettings:
    """Free ports were chosen once, and others know them by now."""
    names = ("http_port", "https_port", "multicast_port")
    chosen = {name: getattr(host, name) for name in names if getattr(settings, name) == 0}
    return settings.model_copy(update=chosen)


def _ready(host: EdgeHost) -> dict[str, object]:
    info = host.info()
    return {
        "id": info.id,
        "pid": os.getpid(),
        "name": info.name,
        "state": info.state.value,
        "http_port": host.http_port,
        "https_port": host.https_port,
        "multicast_port": host.multicast_port,
        "fingerprint": info.fingerprint,
        "data_dir": str(host.settings.data_dir),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
