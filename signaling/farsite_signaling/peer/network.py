"""Notices on this machine itself that links may be dead: own addresses changed, or the machine slept."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from farsite_signaling.peer.address_news import address_news
from farsite_signaling.peer.addresses import own_addresses

logger = logging.getLogger(__name__)

INTERVAL = 1.0
SLEPT = 2.5
"""A second that took this much longer was a sleep, or a stop of this process."""


@dataclass(frozen=True)
class NetworkHint:
    """`gone`, `new`: own addresses; both empty after a sleep."""

    gone: frozenset[str] = frozenset()
    new: frozenset[str] = frozenset()
    slept: float = 0.0

    def __str__(self) -> str:
        if self.slept:
            return f"this machine slept for {self.slept:.0f} s"
        return f"own addresses changed (-{','.join(sorted(self.gone))} +{','.join(sorted(self.new))})"


class NetworkMonitor:
    """`run()` looks every second and calls `on_hint`, which must not wait; what it raises is logged and counted.

    A sleeping machine stops the monotonic clock on some systems and not on others: both clocks are watched. A wall
    clock that is set costs one needless look at the links.
    """

    def __init__(
        self,
        on_hint: Callable[[NetworkHint], None],
        *,
        addresses: Callable[[], Iterable[str]] = own_addresses,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._on_hint = on_hint
        self._addresses = addresses
        self._clocks = (monotonic, wall)
        self._times = (0.0, 0.0)
        self._known: frozenset[str] = frozenset()
        self._unread = False
        self.failures = 0

    async def run(self) -> None:
        with address_news() as news:
            self.start()
            while True:
                await asyncio.sleep(INTERVAL)
                self.look(news=news())

    def start(self) -> None:
        """Take what is now for granted."""
        self._known = self._read()
        self._times = self._now()

    def look(self, *, news: bool = True) -> None:
        """One look, one interval after the former. Without `news`, addresses are what they were."""
        hint = self._hint(news=news)
        if hint is None:
            return
        logger.info("%s", hint)
        try:
            self._on_hint(hint)
        except Exception:
            self.failures += 1
            logger.exception("a network hint was not handled")

    def _hint(self, *, news: bool) -> NetworkHint | None:
        before, self._times = self._times, self._now()
        slept = max(now - then for now, then in zip(self._times, before, strict=True)) - INTERVAL
        known = self._known
        if news or self._unread or slept > SLEPT:
            self._known = self._read()
        gone, new = known - self._known, self._known - known
        if slept > SLEPT or gone or new:
            return NetworkHint(gone, new, slept if slept > SLEPT else 0.0)
        return None

    def _now(self) -> tuple[float, float]:
        monotonic, wall = self._clocks
        return monotonic(), wall()

    def _read(self) -> frozenset[str]:
        """What was known when the system would not say."""
        try:
            current = frozenset(self._addresses())
        except Exception:
            self.failures += 1
            self._unread = True
            logger.debug("own addresses cannot be read", exc_info=True)
            return self._known
        self._unread = False
        return current
