"""Tells the authorizer who is online: once per change, in order, again after a failure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)


class Presence:
    """Compares what is (`online`) with what was told (`tell`), so flapping faster than `tell` is not repeated.

    Whoever went on to another hub (`elsewhere`) is not told to be offline: that hub tells what becomes of them.
    """

    def __init__(
        self,
        online: Callable[[str], bool],
        tell: Callable[[str, bool], Awaitable[None]],
        timeout: float,
        *,
        elsewhere: Callable[[str], bool] = lambda name: False,
    ) -> None:
        self._online = online
        self._tell = tell
        self._timeout = timeout
        self._elsewhere = elsewhere
        self._told: set[str] = set()
        self._busy: set[str] = set()
        self._unsettled: set[str] = set()
        self._last_retry = 0.0
        self.failures = 0

    def due(self, now: float, every: float) -> list[str]:
        """Names whose last change could not be told, once `every` seconds; `now` is loop time."""
        if not self._unsettled or now < self._last_retry + every:
            return []
        self._last_retry = now
        return list(self._unsettled)

    async def settle(self, name: str) -> None:
        """Tell until what was told is true. Returns at once when another call is at it. Raises nothing."""
        if name in self._busy:
            return
        self._busy.add(name)
        try:
            while (online := self._online(name)) is not (name in self._told):
                if not online and self._elsewhere(name):
                    self._told.discard(name)
                elif not await self._told_to(name, online):
                    return
            self._unsettled.discard(name)
        finally:
            self._busy.discard(name)

    def was_online(self, name: str) -> None:
        """Another hub told so, and can no longer tell that it ended."""
        self._told.add(name)

    async def _told_to(self, name: str, online: bool) -> bool:
        try:
            async with asyncio.timeout(self._timeout):
                await self._tell(name, online)
        except Exception:
            self.failures += 1
            self._unsettled.add(name)
            log.exception("presence of %s (online: %s) could not be told; trying again later", name, online)
            return False
        (self._told.add if online else self._told.discard)(name)
        return True
