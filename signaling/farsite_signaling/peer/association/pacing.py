"""Spread packets over time: a bucket of bytes that fills at the sending rate."""

from __future__ import annotations

TICK = 0.002
"""What one wake-up may send at least, seconds: waking up costs more than sending."""
_SLACK = 0.005
_LEAST = 12_000
_MOST = 32_000


class Pacer:
    """Rate in bytes per second; `most` in bytes, whatever the rate."""

    def __init__(self) -> None:
        self.rate = 100_000.0
        self.most = float("inf")
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
        tick = min(TICK, self._depth / self.rate)
        missing = min(self.rate * tick, _MOST) - self._bytes
        return now + max(tick, missing / self.rate)
