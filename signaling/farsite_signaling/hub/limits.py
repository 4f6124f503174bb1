"""Bounds of what one peer can make the hub do."""

from __future__ import annotations

from dataclasses import dataclass

from farsite_signaling.wire.hub import MAX_MESSAGE


@dataclass(frozen=True)
class HubLimits:
    """Times in seconds. The defaults notice a silent connection after 9 s (`wire.heartbeat`), with many peers later:
    all of them together ping at most `pings_per_second` times, each every `longest_heartbeat` at least: peers take no
    longer than a minute. TCP's own probes find who is gone meanwhile.
    """

    connections: int = 20_000
    keepalive: tuple[int, int, int] = (10, 5, 3)
    """Idle time, interval and number of TCP's probes, where the system lets them be set."""
    pings_per_second: float = 90.0
    longest_heartbeat: float = 59.0
    handshakes: int = 500
    handshake_timeout: float = 5.0
    authorizer_timeout: float = 3.0
    send_timeout: float = 5.0
    close_timeout: float = 1.0
    presence_retry: float = 5.0
    message_size: int = MAX_MESSAGE
    queued_messages: int = 256
    queued_bytes: int = 512 * 1024
    messages_per_second: float = 50.0
    burst: int = 200
    # After a restart: how many peers a second are asked to come back, and by when all of them are.
    return_rate: float = 200.0
    return_within: float = 8.0


class TokenBucket:
    """`rate` per second on average, `burst` at once. Times are seconds of any monotonic clock."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: int, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._at = now

    def take(self, now: float) -> bool:
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
