"""Sessions that ended elsewhere: by a command beside the cloud, or at a process that could not reach this one.

What ended is in the database, whoever ended it, so every process looks there for what its own peers have to know. An
end that was told before is told once more: whoever is told does not mind.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.clock import Clock
from farsite_cloud.database import Database, Scope
from farsite_cloud.database.scope import due_rows
from farsite_cloud.sessions.models import RemoteSession
from farsite_cloud.signaling.notices import ends_of
from farsite_signaling.wire.errors import ErrorCode
from farsite_signaling.wire.hub import SessionEnded, dump

LOOK_SECONDS = 1.5
# The clocks of processes differ, and an end is seen when its unit of work is committed.
_BACK = timedelta(seconds=30)
_PAGE = 500
_ENDED = "The session was ended in the cloud. Connect again if you may."


class Here(Protocol):
    """The part of the hub that is used here: the peers of this process."""

    def deliver(self, name: str, text: str) -> bool: ...


class EndedElsewhere:
    """Each look costs one query, of what ended within the last moments."""

    def __init__(self, database: Database, clock: Clock, here: Here) -> None:
        self._database = database
        self._clock = clock
        self._here = here
        self._told: set[str] = set()

    async def look(self) -> None:
        since, found = self._clock() - _BACK, set[str]()
        async with self._database.reading() as session:
            last = ""
            while page := await _ended(session, since, last):
                fresh = [(organization, key) for organization, key in page if key not in self._told]
                for ended in await _rows(session, fresh):
                    self._tell(ended)
                found |= {key for _, key in page}
                last = page[-1][1]
        self._told = found

    def _tell(self, ended: RemoteSession) -> None:
        code = ended.end_code or ErrorCode.SESSION_ENDED
        text = dump(SessionEnded(session=ended.id, code=code, detail=_ENDED))
        for name in ends_of(ended):
            self._here.deliver(name, text)


async def _ended(session: AsyncSession, since: datetime, last: str) -> list[tuple[str, str]]:
    conditions = (RemoteSession.ended_at > since, RemoteSession.id > last)
    return await due_rows(session, RemoteSession, *conditions, limit=_PAGE)


async def _rows(session: AsyncSession, keys: Collection[tuple[str, str]]) -> list[RemoteSession]:
    found: list[RemoteSession] = []
    for organization in sorted({organization for organization, _ in keys}):
        scope = Scope(session, organization)
        ids = [key for owner, key in keys if owner == organization]
        found += await scope.all(scope.among(RemoteSession, ids))
    return found
