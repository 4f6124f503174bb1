"""What a tunnel that closes in order waits for, and for how long at most."""

from __future__ import annotations

import asyncio
import logging

from farsite_signaling.tunnel import Session

_log = logging.getLogger(__name__)

FLUSH_TIMEOUT = 2.0
GOODBYE_TIMEOUT = 1.0


class Farewell:
    """That the other side has confirmed all that was sent, and that it has said goodbye."""

    def __init__(self, session: str) -> None:
        self._session = session
        self._confirmed = asyncio.Event()
        self._heard = asyncio.Event()

    def look(self, core: Session, *, closing: bool) -> None:
        """After whatever may have changed it."""
        if core.goodbye_heard:
            self._heard.set()
        if closing and not core.unconfirmed:
            self._confirmed.set()

    def nobody_there(self) -> None:
        """The link is gone: there is nothing to wait for."""
        self._heard.set()
        self._confirmed.set()

    async def confirmed(self) -> None:
        await self._wait(self._confirmed, FLUSH_TIMEOUT)

    async def heard(self) -> None:
        await self._wait(self._heard, GOODBYE_TIMEOUT)

    async def _wait(self, event: asyncio.Event, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                await event.wait()
        except TimeoutError:
            _log.debug("tunnel %s: the other side did not answer while closing", self._session)
