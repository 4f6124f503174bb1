"""How much may be sent now."""

from __future__ import annotations

import asyncio

TICK = 0.01


class Pace:
    """Never more than `rate` (10 or more) in any second: a token bucket whose burst is taken off its refill.
    Free of I/O."""

    def __init__(self, rate: int, now: float) -> None:
        self._burst = max(1.0, rate * 0.02)
        self._refill = rate - self._burst
        self._left = self._burst
        self._at = now

    def take(self, wanted: int, now: float) -> int:
        """How many of `wanted` may be sent at `now` (seconds that only grow)."""
        self._left = min(self._burst, self._left + max(0.0, now - self._at) * self._refill)
        self._at = max(self._at, now)
        given = min(wanted, int(self._left))
        self._left -= given
        return given


async def turn(pace: Pace, wanted: int = 1) -> None:
    """Until so many may be sent."""
    loop = asyncio.get_running_loop()
    while True:
        wanted -= pace.take(wanted, loop.time())
        if wanted <= 0:
            return
        await asyncio.sleep(TICK)
