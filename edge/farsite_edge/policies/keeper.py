"""Keeps devices in line by itself: on a schedule, when a device returns, after an upgrade, when a policy was edited."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from farsite_edge.devices import Registry
from farsite_edge.policies.record import DeviceRow, PolicyRecord
from farsite_edge.policies.service import AWAY, BY_ITSELF, PolicyService
from farsite_edge.tasks import TaskRecord
from farsite_signaling.wire.errors import FarsiteError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Attempt:
    """A check, whatever came of it: what it was of."""

    at: datetime
    revision: int
    version: str


class PolicyKeeper:
    """`interval`: between checks of a device; `poll`: between looks for devices that are due. Seconds."""

    def __init__(
        self,
        service: PolicyService,
        registry: Registry,
        *,
        interval: float,
        poll: float,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._service = service
        self._registry = registry
        self._interval = timedelta(seconds=interval)
        self._poll = poll
        self._now = now
        self._away: set[str] = set()
        self._back: set[str] = set()
        self._tried: dict[tuple[str, str], _Attempt] = {}
        self._finished: list[str] = []
        self._wake = asyncio.Event()

    def soon(self) -> None:
        """Something was changed: do not wait."""
        self._wake.set()

    def done(self, task: TaskRecord) -> None:
        """A task of the kind `policy` is finished."""
        if task.actor == BY_ITSELF:
            self._finished.append(task.id)

    async def run(self) -> None:
        while True:
            self._wake.clear()
            await self.round()
            try:
                async with asyncio.timeout(self._poll):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def round(self) -> list[TaskRecord]:
        """The tasks made for what is due now."""
        await self._tidy()
        self._look_who_is_back()
        at_work = self._service.at_work()
        made = [await self._check(record, at_work) for record in self._service.store.all()]
        self._back.clear()
        return [task for task in made if task is not None]

    async def _tidy(self) -> None:
        await self._service.tidy()
        await self._service.look_for_unsettled()
        finished, self._finished = self._finished, []
        for task in finished:
            await self._service.forget_uneventful(task)

    async def _check(self, record: PolicyRecord, at_work: set[tuple[str, str]]) -> TaskRecord | None:
        rows = [
            row for row in self._service.store.devices(record.id) if (record.id, row.device) not in at_work
        ]
        due = [row.device for row in rows if self._is_due(record, row)]
        if not due or self._service.kinds.find(record.kind) is None:
            return None
        try:
            task = await self._service.check(record.id, due)
        except FarsiteError as error:
            logger.error("policy %s: %s", record.id, error)
            return None
        for device in due:
            version = self._registry.get(device).version
            self._tried[record.id, device] = _Attempt(self._now(), record.revision, version)
        return task

    def _is_due(self, record: PolicyRecord, row: DeviceRow) -> bool:
        try:
            device = self._registry.get(row.device)
        except FarsiteError:
            return False
        if not device.managed or self._service.out_of_reach(device) or not device.log_in:
            return False
        if row.device in self._back:
            return True
        tried = self._tried.get((record.id, row.device))
        times = [one for one in (row.result.checked_at, tried.at if tried else None) if one]
        if not times or self._now() - max(times) >= self._interval:
            return True
        looked_at = {(row.result.revision, row.result.version)}
        looked_at |= {(tried.revision, tried.version)} if tried else set()
        return (record.revision, device.version) not in looked_at

    def _look_who_is_back(self) -> None:
        """A device that was away may have been changed, or reset, meanwhile."""
        away = {one.id for one in self._registry.all(managed=True) if one.state in AWAY}
        self._back = (self._back - away) | (self._away - away) | self._service.unsettled
        self._away = away
