"""The session's ticket, renewed before the grant or the relays' credentials in it are needed and too old."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

from farsite_signaling.wire.cloud_api import SessionTicket
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

RENEW_TIMEOUT = 10.0
SPENT = 0.75
"""Credentials are renewed when this share of their life is over."""
MARGIN = 5.0
"""A ticket is not used for a link in the last seconds of its life."""

Renew = Callable[[], Awaitable[SessionTicket | None]]


class TicketHolder:
    """Ages are measured from `server_time` by our own clock: that it is wrong by a constant does not matter."""

    def __init__(self, ticket: SessionTicket, renew: Renew, clock: Callable[[], float]) -> None:
        self._renew = renew
        self._clock = clock
        self._renewable = True
        self._lock = asyncio.Lock()
        self._put(ticket)

    def _put(self, ticket: SessionTicket) -> None:
        self.current = ticket
        self._received = self._clock()
        self._expired = False

    def expire(self) -> None:
        """The edge host said so: its clock decides."""
        self._expired = True

    @property
    def renewable(self) -> bool:
        return self._renewable

    def due(self) -> float | None:
        """Seconds until the servers' credentials should be renewed, 0 when they should be now; None: never."""
        life = self._life(self.current.ice_expires_at)
        if life is None or not self._renewable:
            return None
        return max(0.0, life * SPENT - self._age)

    async def freshen(self) -> None:
        """Renew what is too old to open a link with. Raises `FarsiteError`."""
        async with self._lock:
            if self._stale():
                await self._get()

    async def renew(self) -> None:
        """Renew now. Raises `FarsiteError`."""
        async with self._lock:
            await self._get()

    async def _get(self) -> None:
        try:
            async with asyncio.timeout(RENEW_TIMEOUT):
                ticket = await self._renew()
        except TimeoutError:
            raise FarsiteError(
                ErrorCode.CLOUD_UNREACHABLE, "The cloud did not renew the session in time."
            ) from None
        if ticket is None:
            self._renewable = False
            return
        if (ticket.session, ticket.edge) != (self.current.session, self.current.edge):
            raise FarsiteError(ErrorCode.PROTOCOL_ERROR, "The cloud renewed another session than this one.")
        self._put(ticket)

    def _stale(self) -> bool:
        if not self._renewable:
            return False
        lives = [self._life(self.current.opens_until), self._life(self.current.ice_expires_at)]
        return self._expired or any(life is not None and self._age > life - MARGIN for life in lives)

    @property
    def _age(self) -> float:
        return max(0.0, self._clock() - self._received)

    def _life(self, end: datetime | None) -> float | None:
        return None if end is None else (end - self.current.server_time).total_seconds()
