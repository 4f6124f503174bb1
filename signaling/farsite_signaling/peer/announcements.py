"""What the cloud told an edge host about sessions: who may come, by which servers, and which are over."""

from __future__ import annotations

from typing import Any

from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.hub import SessionAnnounced
from farsite_signaling.wire.ice import IceServer

LIMIT = 512


class Announcements:
    """Bounded: the oldest goes first. A grant that outlives its entry is still checked by itself."""

    def __init__(self) -> None:
        self._announced: dict[str, SessionAnnounced] = {}
        self._ended: dict[str, FarsiteError] = {}

    def add(self, message: SessionAnnounced) -> None:
        self._announced.pop(message.session, None)
        self._announced[message.session] = message
        _shorten(self._announced)

    def end(self, session: str, error: FarsiteError) -> None:
        self._announced.pop(session, None)
        self._ended[session] = error
        _shorten(self._ended)

    def ended(self, session: str) -> FarsiteError | None:
        return self._ended.get(session)

    def check(self, session: str, client: str) -> None:
        """Raises what the session was ended with, or `grant_invalid` when it was announced for another client."""
        if (error := self._ended.get(session)) is not None:
            raise FarsiteError(error.code, error.detail)
        known = self._announced.get(session)
        if known is not None and known.client != client:
            raise FarsiteError(ErrorCode.GRANT_INVALID, "The session belongs to another client.")

    def servers(self, session: str) -> list[IceServer]:
        known = self._announced.get(session)
        return list(known.ice_servers) if known is not None else []


def _shorten(entries: dict[str, Any]) -> None:
    while len(entries) > LIMIT:
        del entries[next(iter(entries))]
