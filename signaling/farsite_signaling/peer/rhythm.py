"""When to wake up: at each event, or, while much is to be done, at ticks that sending and reading share.

A process that sleeps for milliseconds finds its caches cold: waking up costs as much as a dozen packets.
"""

from __future__ import annotations

from farsite_signaling.peer.association.pacing import LEAST_TICK

_MUCH = 3 * 1024 * 1024
"""Per second, bytes: 24 Mbit/s, from which on waking up for each datagram costs more than it is worth."""


def delay(now: float, at: float, tick: float) -> float:
    """Seconds from `now` to the tick closest to `at`, the next one at least.

    Ticks are multiples of `tick`, whole milliseconds, of the monotonic clock. libuv cuts `now` down to milliseconds.
    """
    current, step = int(now * 1000), round(tick * 1000)
    return (max(current // step + 1, round(at * 1000 / step)) * step - current) / 1000


class Rhythm:
    """Of reading one socket. `tick` in seconds.

    Only much is worth a tick. Acknowledgements are few, and read late they let the peer's rate seem higher than it is:
    reading them in ticks as well doubled the queue.
    """

    def __init__(self) -> None:
        self.tick = LEAST_TICK
        self.ticking = False
        self._bytes = 0
        self._judged_at = 0.0

    def read(self, size: int, now: float) -> bool:
        """So many bytes were there. Whether the next look is at a tick, and not when something comes."""
        self._bytes += size
        self.ticking = self._still(now) if self.ticking else self._much(now)
        return self.ticking

    def _still(self, now: float) -> bool:
        much = self._bytes >= _MUCH / 2 * self.tick
        self._bytes, self._judged_at = 0, now
        return much

    def _much(self, now: float) -> bool:
        if now - self._judged_at < LEAST_TICK:
            return False
        much = self._bytes >= _MUCH * (now - self._judged_at)
        self._bytes, self._judged_at = 0, now
        return much
