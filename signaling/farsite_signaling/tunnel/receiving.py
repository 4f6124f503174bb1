"""The receiving half of a stream: what arrived, what was read, how much may come."""

from __future__ import annotations

from farsite_signaling.tunnel.limits import Limits
from farsite_signaling.tunnel.queue import ByteQueue
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

_DEFAULT_RTT = 0.1
_FAST_ROUND_TRIPS = 8
_GROWTH = 4


class ReceiveBudget:
    """Shared by a tunnel's streams: bounds what all their windows together let a peer send."""

    def __init__(self, size: int) -> None:
        self._left = size

    def reserve(self, size: int) -> bool:
        if size > self._left:
            return False
        self._left -= size
        return True

    def release(self, size: int) -> None:
        self._left += size


class ReceiveBuffer:
    """Enforces the credit given and tunes it to the path.

    The window grows fourfold when a whole window was read within a few round trips: then it, not the reader, may be
    the limit. A lost packet holds back all that follows it for a round trip or two, so on a lossy path a window of
    several bandwidth-delay products is needed to keep the sender busy meanwhile. It never shrinks: offsets already
    allowed stay allowed.
    """

    def __init__(self, budget: ReceiveBudget, limits: Limits) -> None:
        self._budget = budget
        self._max = limits.max_credit
        self._unread = ByteQueue()
        self._discarding = False
        self._reserved = limits.initial_credit if budget.reserve(limits.initial_credit) else 0
        self.window = self._reserved or limits.min_credit
        self.received = 0
        self.consumed = 0
        self.limit = self.window
        self.ended = False
        self._epoch = -1.0
        self._epoch_consumed = 0

    @property
    def unread(self) -> int:
        return self._unread.size

    @property
    def discarding(self) -> bool:
        return self._discarding

    @property
    def confirmed(self) -> int:
        """What credits name as received: FIN takes one position."""
        return self.received + self.ended

    def add(self, offset: int, payload: bytes) -> None:
        """Raises `FarsiteError` (`protocol_error`) for bytes out of place or beyond the credit."""
        if offset != self.received or self.ended:
            raise FarsiteError(
                ErrorCode.PROTOCOL_ERROR, f"Data at offset {offset}, expected at {self.received}."
            )
        end = offset + len(payload)
        if end > self.limit:
            raise FarsiteError(
                ErrorCode.PROTOCOL_ERROR, f"Data up to {end}, beyond the credit of {self.limit}."
            )
        self.received = end
        if not self._discarding:
            self._unread.append(payload)

    def end(self, final: int) -> None:
        if final != self.received or self.ended:
            raise FarsiteError(
                ErrorCode.PROTOCOL_ERROR, f"End at offset {final}, expected at {self.received}."
            )
        self.ended = True

    def read(self, limit: int) -> bytes:
        data = self._unread.take(limit)
        self.consumed += len(data)
        return data

    def discard(self) -> None:
        """Nobody reads any more. What comes is counted, dropped, and gives no new credit."""
        self._discarding = True
        self._unread.clear()

    def replenish(self, now: float, rtt: float | None) -> bool:
        """Raise the limit when a quarter of the window was read. True when the peer should be told."""
        if self.ended or self._discarding:
            return False
        if self.consumed + self.window - self.limit < self.window // 4:
            return False
        self._tune(now, rtt or _DEFAULT_RTT)
        self.limit = self.consumed + self.window
        return True

    def release(self) -> None:
        """Give the window back to the budget; the buffer is not filled any more."""
        self._budget.release(self._reserved)
        self._reserved = 0

    def _tune(self, now: float, rtt: float) -> None:
        if self._epoch >= 0 and self.consumed - self._epoch_consumed < self.window:
            return
        fast = self._epoch >= 0 and now - self._epoch < _FAST_ROUND_TRIPS * rtt
        self._epoch, self._epoch_consumed = now, self.consumed
        more = min(_GROWTH * self.window, self._max) - self.window
        if fast and more > 0 and self._budget.reserve(more):
            self._reserved += more
            self.window += more
