"""How much may be sent at once: what the smallest buffer on the way takes.

A rate says nothing of that. coturn gives the socket of an allocation 64 KiB, and a fast sender's few milliseconds are
more: a quarter of all packets was lost there, at a rate the relay did carry.
"""

from __future__ import annotations

LEAST = 48_000
"""Less is not worth a wake-up, and any buffer holds it."""
_PERIOD = 0.02
_ENOUGH = 200_000
_MUCH_LOSS, _LITTLE_LOSS = 0.05, 0.02
"""Random loss is no reason: halves of a percent come and go, and smaller bursts would not help."""
_LESS, _MORE = 0.75, 1.1


class Bursts:
    """`most`: bytes. Sizes given are totals since the beginning, times seconds."""

    def __init__(self) -> None:
        self.most = float("inf")
        self._delivered = 0
        self._lost = 0
        self._at = 0.0

    def counted(self, delivered: int, lost: int, wanted: float, now: float) -> None:
        """`wanted`: what would be sent at once without a limit."""
        fresh, gone = delivered - self._delivered, lost - self._lost
        if now - self._at < _PERIOD or fresh + gone < _ENOUGH:
            return
        self._delivered, self._lost, self._at = delivered, lost, now
        share = gone / (fresh + gone)
        if share > _MUCH_LOSS:
            self.most = max(LEAST, min(self.most, wanted) * _LESS)
        elif share < _LITTLE_LOSS and self.most < wanted:
            self.most *= _MORE
