"""The edge host's audit log: append-only rows, queued for the cloud until it has them."""

from __future__ import annotations

import logging
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Literal

from farsite_edge.store import Database
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.hub import AuditEntry
from farsite_signaling.wire.ids import clean

Outcome = Literal["allowed", "refused", "failed"]
MAX_ROWS = 100_000
MAX_BATCH = 100
MAX_BATCH_BYTES = 64 * 1024
MAX_WAITING = 1000
"""Rows in memory while storage fails."""
_TRIM_EVERY = 500
logger = logging.getLogger(__name__)


class AuditLog:
    """`on_row` is called after each row, so that it reaches the cloud soon."""

    def __init__(self, database: Database, on_row: Callable[[], None] = lambda: None) -> None:
        self._database = database
        self.on_row = on_row
        self._written = 0
        self._waiting: deque[AuditEntry] = deque(maxlen=MAX_WAITING)

    async def write(
        self,
        action: str,
        *,
        actor: str,
        target: str = "",
        outcome: Outcome = "allowed",
        session: str | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        """Raises `FarsiteError` (`disk_full`, `storage_failed`): what cannot be audited is not done."""
        await self._keep(
            _entry(action, actor=actor, target=target, outcome=outcome, session=session, details=details)
        )

    async def note(self, action: str, *, actor: str, **rest: Any) -> None:
        """The same for what has happened already: a row that cannot be kept now is kept as soon as that is possible,
        and stands in the log until then."""
        entry = _entry(action, actor=actor, **rest)
        try:
            await self._keep(entry)
        except FarsiteError as error:
            logger.error("audit row waits for storage: %s by %s: %s", action, actor, error)
            if len(self._waiting) == MAX_WAITING:
                logger.error("audit row lost: %s", self._waiting[0].model_dump_json())
            self._waiting.append(entry)

    @property
    def waiting(self) -> list[AuditEntry]:
        """Rows that could not be kept yet, oldest first."""
        return list(self._waiting)

    def take_over(self, entries: Iterable[AuditEntry]) -> None:
        """Rows another log could not keep any more. Kept with `keep_waiting`."""
        self._waiting.extend(entries)

    async def keep_waiting(self) -> None:
        """Storage is usable again."""
        while self._waiting:
            await self._keep(self._waiting[0])
            self._waiting.popleft()

    async def _keep(self, entry: AuditEntry) -> None:
        # A row may be offered again that was kept: whoever waited for it was cancelled.
        sql = "INSERT OR IGNORE INTO audit (id, entry) VALUES (?, ?)"
        await self._database.execute(sql, (entry.id, entry.model_dump_json()))
        await self._trim()
        self.on_row()

    async def unsent(self) -> list[AuditEntry]:
        """The oldest rows the cloud does not have, as many as one report carries."""
        sql = "SELECT entry FROM audit WHERE sent = 0 ORDER BY seq LIMIT ?"
        batch: list[AuditEntry] = []
        size = 0
        for row in await self._database.fetch(sql, (MAX_BATCH,)):
            size += len(row["entry"])
            if batch and size > MAX_BATCH_BYTES:
                break
            batch.append(AuditEntry.model_validate_json(row["entry"]))
        return batch

    async def mark_sent(self, entries: list[AuditEntry]) -> None:
        sql, ids = "UPDATE audit SET sent = 1 WHERE id = ?", [(entry.id,) for entry in entries]
        await self._database.write(lambda connection: connection.executemany(sql, ids))

    async def keep_to_ourselves(self) -> None:
        """What happened in one organization is not reported to the next."""
        await self._database.execute("UPDATE audit SET sent = 1 WHERE sent = 0")

    async def page(self, before: int | None, limit: int) -> tuple[list[AuditEntry], int | None]:
        """Newest first; the number to ask for the next page with."""
        sql = "SELECT seq, entry FROM audit WHERE seq < ? ORDER BY seq DESC LIMIT ?"
        rows = await self._database.fetch(sql, (before or 2**62, limit + 1))
        entries = [AuditEntry.model_validate_json(row["entry"]) for row in rows[:limit]]
        return entries, rows[limit - 1]["seq"] if len(rows) > limit else None

    async def _trim(self) -> None:
        # Bounded for ever: rows the cloud has go first, then the oldest, and that is logged.
        self._written += 1
        if self._written % _TRIM_EVERY:
            return
        count = (await self._database.fetch("SELECT count(*) FROM audit"))[0][0]
        if count <= MAX_ROWS:
            return
        sql = "DELETE FROM audit WHERE seq IN (SELECT seq FROM audit ORDER BY sent DESC, seq LIMIT ?)"
        await self._database.execute(sql, (count - MAX_ROWS,))
        logger.warning("audit log over %d rows: %d oldest removed", MAX_ROWS, count - MAX_ROWS)


def _entry(
    action: str,
    *,
    actor: str,
    target: str = "",
    outcome: Outcome = "allowed",
    session: str | None = None,
    details: dict[str, Any] | None = None,
) -> AuditEntry:
    return AuditEntry(
        id=uuid.uuid4().hex,
        at=datetime.now(UTC),
        actor=clean(actor[:400]),
        action=action,
        target=clean(target[:400]),
        outcome=outcome,
        session=session,
        details=details or {},
    )
