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
        self._probe: int | None = None
        self._probe_by = float("inf")
        self.rtt: float | None = None

    @property
    def deadline(self) -> float:
        return min(self._next_ping, self._dead_at, self._probe_by)

    def probe(self, patience: float, now: float) -> None:
        """Doubtful: ping at once. Only the answer to that ping counts, what was under way before does not."""
        if self._probe is None:
            self._next_ping = now
            self._probe = self._token + 1
            self._probe_by = now + patience

    def heard(self, now: float) -> None:
        self._dead_at = now + self._limits.silence

    def pong(self, token: int, now: float) -> None:
        if self._probe is not None and token >= self._probe:
            self._probe, self._probe_by = None, float("inf")
        if token == self._token and self._sent is not None:
            self.rtt = now - self._sent
            self._sent = None

    def dead(self, now: float) -> bool:
        due = min(self._dead_at, self._probe_by)
        if now < due:
            return False
        if now > due + _STALL:
            # Our own machine slept or stood still: what the peer said meanwhile is not read yet.
            self._dead_at = now + self._limits.ping_interval
            if self._probe is not None:
                self._probe_by = self._dead_at
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
