"""Is the peer still there, and how far away."""

from __future__ import annotations

from farsite_signaling.tunnel.limits import Limits

_STALL = 1.0


class Heartbeat:
    """Pings at intervals; any message counts as a sign of life. Times in seconds of one monotonic clock."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._token = 0
        self._sent: float | None = None
        self._next_ping = now
        self._dead_at = now + limits.first_contact
        self.rtt: float | None = None

    @property
    def deadline(self) -> float:
        return min(self._next_ping, self._dead_at)

    def heard(self, now: float) -> None:
        self._dead_at = now + self._limits.silence

    def pong(self, token: int, now: float) -> None:
        if token == self._token and self._sent is not None:
            self.rtt = now - self._sent
            self._sent = None

    def dead(self, now: float) -> bool:
        if now < self._dead_at:
            return False
        if now > self._dead_at + _STALL:
            # Our own machine slept or stood still: what the peer said meanwhile is not read yet.
            self._dead_at = now + self._limits.ping_interval
            return False
        return True

    def ping(self, now: float) -> int | None:
        """The token to send now, if one is due."""
        if now < self._next_ping:
            return None
        self._next_ping = now + self._limits.ping_interval
        self._token += 1
        self._sent = now
        return self._token
