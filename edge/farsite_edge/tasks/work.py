"""What a job sees of the row it works on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, runtime_checkable

from farsite_edge.tasks.record import Outcome, WorkRow
from farsite_edge.tasks.store import TaskStore

logger = logging.getLogger(__name__)


class Work:
    """One device's work, taken with a lease. Every `checkpoint` survives the process."""

    def __init__(self, row: WorkRow, store: TaskStore, changed: Callable[[], None], kind: str = "") -> None:
        self._row = row
        self._kind = kind
        self._store = store
        self._changed = changed
        self.is_stalled = False
        self.on_stalled: Callable[[bool], None] = lambda _stalled: None
        self.cancelling = asyncio.Event()

    @property
    def device(self) -> str:
        return self._row.device

    @property
    def payload(self) -> dict[str, Any]:
        return self._row.payload

    @property
    def memory(self) -> dict[str, Any] | None:
        """What the last checkpoint kept; `None` when the work has not begun."""
        return self._row.memory

    async def checkpoint(self, memory: dict[str, Any], step: str, detail: str = "") -> None:
        """Call before what must not be done twice. Raises `LeaseLost`, `disk_full`, `storage_failed`."""
        await self._store.checkpoint(self._row, memory, step, detail)
        self._row.memory, self._row.step, self._row.detail = memory, step, detail
        logger.debug("task %s (%s), device %s: step %s", self._row.task, self._kind, self._row.device, step)
        self._changed()

    def stalled(self, now: bool) -> None:
        """The device is silent, and nothing has been begun on it: while it is waited for others take its place."""
        if now is not self.is_stalled:
            self.is_stalled = now
            self.on_stalled(now)

    def progress(self, share: float) -> None:
        """0 to 1; not kept."""
        before, self._row.progress = self._row.progress, min(1.0, max(0.0, share))
        if int(before * 100) != int(self._row.progress * 100):
            self._changed()


class Job(Protocol):
    """Work of one kind. Called again with the last `memory` after a crash; a job that sees `cancelling` stops where
    it is safe and returns `cancelled`. `hold` and `release` are called around it, and `hold` for every row
    that was running when the edge host starts."""

    def hold(self, device: str) -> None: ...

    async def release(self, device: str) -> None: ...

    def __call__(self, work: Work) -> Awaitable[Outcome]: ...


@runtime_checkable
class Resuming(Protocol):
    """A job that goes on where it was cancelled when it is tried again; others begin anew."""

    def resumed(self, memory: dict[str, Any] | None) -> dict[str, Any] | None:
        """What to go on with, of what was kept at the end."""
        ...
