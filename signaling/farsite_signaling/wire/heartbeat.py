"""When to ping the other side, and when its silence means that the connection is dead. No I/O, no clock."""

from __future__ import annotations

MISSED = 2.25
"""Silence that ends a connection, in heartbeats: two pings missed, and a little for the way."""


_WAITING = 1.25
"""Silence, in heartbeats, after which who waits for the other side's pings sends one."""


class Heartbeat:
    """Times are seconds of any monotonic clock.

    Whatever the other side sends proves that it is there; a healthy one is never silent for longer than one
    interval, because it pings too and answers ours. Who is `waiting` leaves pinging to the other side as long as it does.
    """

    __slots__ = ("_heard", "_next_ping", "_token", "_waiting", "interval")

    def __init__(self, interval: float, now: float, *, waiting: bool = False) -> None:
        self.interval = interval
        self._waiting = waiting
        self._heard = now
        self._next_ping = now + interval
        self._token = 0

    def received(self, now: float) -> None:
        self._heard = now
        if self._waiting:
            self._next_ping = now + _WAITING * self.interval

    def pace(self, interval: float, now: float) -> None:
        """Another interval from the last ping on, which both sides know: whoever asks for it says when the next one is
        to come, however long the way is. `now`: when it was heard of."""
        moved = interval - self.interval
        self.interval = interval
        self._heard = now
        self._next_ping = now + _WAITING * interval if self._waiting else self._next_ping + moved

    def ping(self, now: float) -> int | None:
        """The token of a ping to send now, or `None` when none is due."""
        if now < self._next_ping:
            return None
        self._next_ping = now + self.interval
        self._token += 1
        return self._token

    def hurry(self, patience: float, now: float) -> None:
        """Doubtful: ping now, and take silence of `patience` seconds for the end."""
        self._next_ping = now
        self._heard = min(self._heard, now + patience - MISSED * self.interval)

    def expires(self) -> float:
        """When silence will have lasted too long."""
        return self._heard + MISSED * self.interval

    def dead(self, now: float) -> bool:
        return now >= self.expires()

    def deadline(self) -> float:
        """When to call `ping` and `dead` next."""
        return min(self._next_ping, self.expires())
