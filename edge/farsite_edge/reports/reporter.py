"""State and audit rows to the cloud: on connecting, on change, and every minute."""

from __future__ import annotations

import asyncio
import logging
import platform
import uuid
from collections.abc import Awaitable, Callable

from farsite_edge.audit import AuditLog
from farsite_edge.devices.registry import Registry
from farsite_edge.preferences import Preferences
from farsite_edge.store.health import StorageHealth
from farsite_edge.version import __version__
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.hub import AuditEntry, Report
from farsite_signaling.wire.ids import clean

ACCEPT_TIMEOUT = 15.0
logger = logging.getLogger(__name__)


class Reporter:
    """One report at a time. Audit rows are sent again until a report with them was accepted: their ids make that
    harmless, their order stays.
    """

    def __init__(
        self,
        registry: Registry,
        preferences: Preferences,
        audit: AuditLog,
        send: Callable[[Report], Awaitable[None]],
        *,
        interval: float,
        path: Callable[[], str] = str,
        storage: StorageHealth | None = None,
        online: Callable[[], bool] = lambda: True,
        accept_timeout: float = ACCEPT_TIMEOUT,
    ) -> None:
        self._registry = registry
        self._preferences = preferences
        self._audit = audit
        self._send = send
        self._interval = interval
        self._path = path
        self._storage = storage or StorageHealth()
        self._online = online
        self._accept_timeout = accept_timeout
        self._due = asyncio.Event()
        self._pending: str | None = None
        self._accepted = asyncio.Event()

    def due(self) -> None:
        """Something changed, or the cloud is reachable again."""
        self._due.set()

    def accepted(self, report: str) -> None:
        if report == self._pending:
            self._accepted.set()

    async def run(self) -> None:
        while True:
            self._due.clear()
            while await self._report():
                pass
            await self._wait()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._interval):
                await self._due.wait()
        except TimeoutError:
            pass

    async def _report(self) -> bool:
        """Whether there is more to send at once."""
        if not self._online():
            return False
        try:
            rows = await self._audit.unsent()
        except FarsiteError:
            rows = []  # a damaged database: its state is told all the same
        try:
            await self._deliver(self._make(rows))
            if rows:
                await self._audit.mark_sent(rows)
        except (FarsiteError, TimeoutError) as error:
            logger.debug("report not delivered: %s", error)
            return False
        return bool(rows)

    async def _deliver(self, report: Report) -> None:
        self._accepted.clear()
        self._pending = report.id
        try:
            await self._send(report)
            async with asyncio.timeout(self._accept_timeout):
                await self._accepted.wait()
        finally:
            self._pending = None

    def _make(self, rows: list[AuditEntry]) -> Report:
        return Report(
            id=uuid.uuid4().hex,
            version=__version__,
            hostname=platform.node()[:255],
            remote_access=self._preferences.remote_access,
            path=self._path(),
            devices_managed=self._registry.count(managed=True),
            devices_other=self._registry.count_others(),
            devices_discovered=self._registry.count(managed=False),
            storage=self._storage.state,
            storage_detail=clean(self._storage.detail)[:500],
            audit=rows,
        )
