"""When to wake up: at each event, or, while much is to be done, at ticks that sending and reading share.

A process that sleeps 4 ms finds its caches cold: waking up costs as much as a dozen packets, so both are done at once.
"""

from __future__ import annotations

from farsite_signaling.peer.association.pacing import LEAST_TICK

_MUCH = 3 * 1024 * 1024
"""Per second, bytes: 24 Mbit/s, from which on waking up for each datagram costs more than it is worth."""
_JUDGED_AFTER = 8
"""Ticks."""
_SILENT = 3
"""Looks in vain that end it."""


def delay(now: float, at: float, tick: float) -> float:
    """Seconds from `now` to the tick closest to `at`, the next one at least.

    Ticks are multiples of `tick`, whole milliseconds, of the monotonic clock. libuv cuts `now` down to milliseconds.
    """
    current, step = int(now * 1000), round(tick * 1000)
    return (max(current // step + 1, round(at * 1000 / step)) * step - current) / 1000


class Rhythm:
    """Of reading one socket. `tick` in seconds."""

    def __init__(self) -> None:
        self.tick = LEAST_TICK
        self.ticking = False
        self._bytes = 0
        self._judged_at = 0.0
        self._events = 0
        self._counted_at = 0.0
        self._in_vain = 0

    def read(self, size: int, now: float) -> bool:
        """So many bytes were there. Whether the next look is at a tick, and not when something comes."""
        self._bytes += size
        self.ticking = self._still(now) if self.ticking else self._much(now) or self._often(now)
        return self.ticking

    def _still(self, now: float) -> bool:
        much = self._bytes >= _MUCH / 2 * self.tick
        self._in_vain = 0 if self._bytes else self._in_vain + 1
        self._bytes, self._judged_at = 0, now
        return much or (self.tick > LEAST_TICK and self._in_vain < _SILENT)

    def _much(self, now: float) -> bool:
        if now - self._judged_at < LEAST_TICK:
            return False
        much = self._bytes >= _MUCH * (now - self._judged_at)
        self._bytes, self._judged_at = 0, now
        return much

    def _often(self, now: float) -> bool:
        """Little, but at every other tick: on a path so long that a tick is not felt."""
        self._events += 1
        passed = now - self._counted_at
        if passed < _JUDGED_AFTER * self.tick:
            return False
        often = self._events >= passed / (2 * self.tick)
        self._events, self._counted_at, self._in_vain = 0, now, 0
        return often and self.tick > LEAST_TICK
