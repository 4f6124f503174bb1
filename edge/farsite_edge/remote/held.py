"""Asking the cloud which of this edge host's sessions are still live.

What ended while the edge host was off the hub, or while the cloud's processes could not reach one another, it was not
told; its tunnels stand without the hub. So it asks after every connection, and from time to time while tunnels stand.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.hub import MOST_HELD, SessionsHeld

logger = logging.getLogger(__name__)
ASK_EVERY = 15.0


class HeldSessions:
    """`connected` is called after every welcome; `sessions` are those with a tunnel and those opened on the LAN."""

    def __init__(
        self,
        sessions: Callable[[], list[str]],
        send: Callable[[SessionsHeld], Awaitable[None]],
        every: float = ASK_EVERY,
    ) -> None:
        self._sessions = sessions
        self._send = send
        self._every = every
        self._wake = asyncio.Event()

    def connected(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every):
                    await self._wake.wait()
            self._wake.clear()
            await self._ask()

    async def _ask(self) -> None:
        held = self._sessions()
        try:
            for start in range(0, len(held), MOST_HELD):
                await self._send(SessionsHeld(sessions=held[start : start + MOST_HELD]))
        except FarsiteError as error:
            # The next connection asks again.
            logger.debug("sessions are not asked about: %s", error)
