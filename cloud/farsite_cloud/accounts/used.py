"""When and from where tokens were last used: noted in memory, written now and then, so that reading stays reading."""

from __future__ import annotations

from datetime import datetime, timedelta

from farsite_cloud.accounts.tokens import note_use
from farsite_cloud.database import Database

PRECISION = timedelta(minutes=1)
_MOST = 10_000


class LastUses:
    """A token is written once a minute at most."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[datetime, str]] = {}
        self._noted: dict[str, datetime] = {}

    def note(self, token_id: str, now: datetime, source: str) -> None:
        before = self._noted.get(token_id)
        if before is not None and now - before < PRECISION:
            return
        if len(self._noted) >= _MOST:
            self._noted.clear()
        self._noted[token_id] = now
        self._waiting[token_id] = (now, source)

    async def write(self, database: Database) -> bool:
        """False: there was nothing to write."""
        if not self._waiting:
            return False
        waiting, self._waiting = self._waiting, {}
        async with database.writing() as session:
            for token_id, (at, source) in waiting.items():
                await note_use(session, token_id, at, source)
        return True
