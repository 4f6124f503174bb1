"""Who may begin a handshake now, and when the others are to come. No I/O, no clock."""

from __future__ import annotations

_FASTEST, _SLOWEST = 1 / 2000, 0.1
_LATEST = 60.0
"""Peers take no longer wait for an answer."""
_SHARE = 0.02
"""Of the newest gap in the pace: some fifty peers are what it goes by."""


class Door:
    """Times are seconds of any monotonic clock. So many handshakes as `room` are under way at once.

    Whoever is turned away is given a time of its own, one after another and as fast as the hub lately let peers in: it
    has work all the while, and nobody comes in vain twice. What peers draw at random on top blurs that a little.
    """

    def __init__(self, room: int, pace: float) -> None:
        self._room = room
        self._last: float | None = None
        self._next = 0.0
        self.busy = 0
        """Handshakes under way."""
        self.pace = pace
        """Seconds for each, on average of those that came one after another."""

    def knock(self, now: float) -> float | None:
        """None: come in, and call `passed` in any case. Else after how many seconds to come again."""
        if self.busy < self._room:
            self.busy += 1
            return None
        self._next = max(self._next, now + self.busy * self.pace) + self.pace
        self._next = min(self._next, now + _LATEST)
        return self._next - now

    def passed(self, now: float) -> None:
        """One handshake ended, well or not."""
        self.busy -= 1
        if self._last is not None:
            gap = min(_SLOWEST, now - self._last)
            self.pace = max(_FASTEST, self.pace + _SHARE * (gap - self.pace))
        # How long nobody came says nothing.
        self._last = now if self.busy else None
