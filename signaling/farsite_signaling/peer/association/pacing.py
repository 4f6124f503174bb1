"""Spread packets over time: a bucket of bytes that fills at the sending rate."""

from __future__ import annotations

LEAST_TICK, MOST_TICK = 0.002, 0.004
"""What one wake-up sends or reads at least, seconds: waking up costs more than a dozen packets."""
_TICK_SHARE = 0.1
_SLACK = 0.003
"""What a late wake-up may catch up with, seconds."""
_LEAST = 12_000


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
        return max(_LEAST, self.rate * (self.tick + _SLACK))

    @property
    def _depth(self) -> float:
        return min(self.most, self.wanted)

    @property
    def _worth(self) -> float:
        """What one wake-up is for."""
        return min(self.rate * self.tick, self._depth)

    def allowance(self, now: float) -> float:
        """Bytes that may go now: none while they are few, since more of them may go soon in one piece."""
        self._bytes = min(self._depth, self._bytes + self.rate * max(0.0, now - self._filled_at))
        self._filled_at = now
        return self._bytes if self._bytes >= self._worth / 2 else 0.0

    def spend(self, size: int) -> None:
        self._bytes -= size

    def ready_at(self, now: float) -> float:
        """When it pays to come back."""
        return now + max(0.0, self._worth - self._bytes) / self.rate
