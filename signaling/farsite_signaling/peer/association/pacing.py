"""Spread packets over time: a bucket of bytes that fills at the sending rate."""

from __future__ import annotations

LEAST_TICK, MOST_TICK = 0.002, 0.004
"""What one wake-up sends or reads at least, seconds: waking up costs more than a dozen packets."""
_TICK_SHARE = 0.1
_SLACK = 0.005
_LEAST = 12_000
_MOST = 48_000


def tick(round_trip: float | None) -> float:
    """How long to gather before waking up, seconds: a tenth of the round trip is not felt. In whole milliseconds."""
    return max(LEAST_TICK, min(MOST_TICK, round((round_trip or 0.0) * _TICK_SHARE, 3)))


class Pacer:
    """Rate in bytes per second; `most` in bytes, whatever the rate."""

    def __init__(self) -> None:
        self.rate = 100_000.0
        self.most = float("inf")
        self.tick = LEAST_TICK
        self._bytes = float(_LEAST)
        self._filled_at = 0.0

    @property
    def wanted(self) -> float:
        """What would go at once without a limit."""
        return max(_LEAST, self.rate * _SLACK)

    @property
    def _depth(self) -> float:
        return min(self.most, self.wanted)

    def allowance(self, now: float) -> float:
        """Bytes that may go now; below zero while the last burst is being paid for."""
        self._bytes = min(self._depth, self._bytes + self.rate * max(0.0, now - self._filled_at))
        self._filled_at = now
        return self._bytes

    def spend(self, size: int) -> None:
        self._bytes -= size

    def ready_at(self, now: float) -> float:
        """When it pays to come back: a tick's worth at once, not packet by packet."""
        tick = min(self.tick, self._depth / self.rate)
        missing = min(self.rate * tick, _MOST) - self._bytes
        return now + max(tick, missing / self.rate)
