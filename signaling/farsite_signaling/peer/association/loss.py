"""When something sent counts as lost: by time (after RFC 8985), with a probe for a lost tail and a last resort.

A chunk is lost when one sent later has arrived and reordering had its time. When nothing comes back at all, the
last chunk is repeated once (tail-loss probe); then everything is taken for lost, more and more seldom, and in the
end the peer for gone.
"""

from __future__ import annotations

from farsite_signaling.peer.association.flight import IN_FLIGHT, Acked, Flight

_FIRST_RTT = 0.5
_LEAST_REORDER = 0.002
_LEAST_TIMEOUT = 0.25
_MOST_BACKOFF = 0.6
_MOST_PATIENCE = 16
_FORGET_ROUNDS = 16
_PEER_ACK_DELAY = 0.025
_LEAST_TIMEOUTS = 6


class Loss:
    """Times in seconds."""

    def __init__(self, give_up: float) -> None:
        self.smoothed: float | None = None
        self.timeouts = 0
        """In a row, without a sign of life."""
        self._variation = 0.0
        self._least = _FIRST_RTT
        self._give_up = give_up
        self._newest = 0
        self._newest_rtt = 0.0
        self._patience = 1
        self._patience_at = 0.0
        self._reorder_at: float | None = None
        self._base = 0.0
        self._silent_since = 0.0
        self._probed = False

    # what is known of the path

    def sample(self, rtt: float) -> None:
        """A round trip of something sent once only (Karn)."""
        if self.smoothed is None:
            self.smoothed, self._variation, self._least = rtt, rtt / 2, rtt
            return
        self._variation += (abs(self.smoothed - rtt) - self._variation) / 4
        self.smoothed += (rtt - self.smoothed) / 8
        self._least = min(self._least, rtt)

    @property
    def timeout(self) -> float:
        rtt = self.smoothed if self.smoothed is not None else _FIRST_RTT
        return max(_LEAST_TIMEOUT, rtt + 4 * self._variation, 2 * rtt + 2 * _PEER_ACK_DELAY)

    @property
    def _reorder(self) -> float:
        rtt = self.smoothed if self.smoothed is not None else _FIRST_RTT
        return max(_LEAST_REORDER, min(self._least / 4 * self._patience, rtt))

    # events

    def sent(self, now: float, *, first: bool, again: bool) -> None:
        """`first`: nothing was in flight before."""
        if first:
            self._base = self._silent_since = now
            self._probed = False
        elif again:
            self._base = now

    def heard(self, now: float) -> None:
        """The peer lives, whether or not it took anything."""
        self._silent_since = now

    def acknowledged(self, acked: Acked, duplicates: int, now: float) -> None:
        newest = acked.newest
        if newest is None:
            return
        self.timeouts = 0
        self._probed = False
        self._base = self._silent_since = now
        rtt = now - newest.burst.sent_at
        if newest.sends == 1:
            self.sample(rtt)
        if (acked.spurious or duplicates) and now >= self._patience_at:
            self._patience = min(self._patience + 1, _MOST_PATIENCE)
            self._patience_at = now + (self.smoothed or rtt)
        elif now > self._patience_at + _FORGET_ROUNDS * (self.smoothed or rtt):
            self._patience = 1
        # A repeated chunk acknowledged sooner than any round trip: it was the first copy that arrived.
        if newest.number > self._newest and (newest.sends == 1 or rtt >= self._least):
            self._newest = newest.number
            self._newest_rtt = rtt

    def detect(self, flight: Flight, now: float, above: int | None = None) -> int:
        """Marks chunks lost and says how many. `above`: of these nothing is known, the gap list was cut."""
        order = flight.order
        self._reorder_at = None
        wait = max(self._newest_rtt, self.smoothed or 0.0) + self._reorder
        lost = 0
        while order:
            sent = order[0]
            if sent.state != IN_FLIGHT:
                order.popleft()
                continue
            if sent.number >= self._newest or (above is not None and sent.tsn > above):
                break
            due = sent.burst.sent_at + wait
            if due > now:
                self._reorder_at = due
                break
            order.popleft()
            flight.lose(sent)
            lost += 1
        return lost

    # time

    def deadline(self, flight: Flight) -> float | None:
        if flight.empty:
            return None
        if self._reorder_at is not None:
            return min(self._reorder_at, self._silence_ends())
        return self._silence_ends()

    def _silence_ends(self) -> float:
        if not self._probed and not self.timeouts and self.smoothed is not None:
            return self._base + max(0.01, 2 * self.smoothed) + _PEER_ACK_DELAY
        timeout = self.timeout
        return self._base + min(timeout * 1.5**self.timeouts, max(timeout, _MOST_BACKOFF))

    def expired(self, flight: Flight, now: float) -> bool:
        """Whether a probe is due. Raises `TimeoutError` when the peer is gone."""
        if flight.empty:
            return False
        if self._reorder_at is not None and now >= self._reorder_at:
            self.detect(flight, now)
        if now < self._silence_ends():
            return False
        if not self._probed and not self.timeouts and self.smoothed is not None:
            self._probed = True
            return True
        # A process that slept sees much time pass at once: only silence that was asked into counts.
        if now - self._silent_since > self._give_up and self.timeouts >= _LEAST_TIMEOUTS:
            raise TimeoutError
        self.timeouts = min(self.timeouts + 1, 64)
        self._base = now
        flight.lose_all()
        return False
