"""Which transmission sequence numbers came, and when to say so (RFC 9260 sections 6.2 and 6.7)."""

from __future__ import annotations

from bisect import bisect_right

from farsite_signaling.peer.association.packets import MASK, sack_chunk

MAX_RANGES = 250
"""Islands above the first hole. A packet that would make one more is not taken, so a SACK always names all."""
MAX_AHEAD = 60_000
MAX_DUPLICATES = 16
_HALF = 1 << 31


class Received:
    """Numbers are full (never wrap); `cumulative` is the last before the first hole."""

    def __init__(self, first: int, ack_delay: float) -> None:
        self.cumulative = first - 1
        self.ack_every = 2
        self._delay = ack_delay
        self._ranges: list[list[int]] = []
        self._duplicates: list[int] = []
        self._packets = 0
        self._urgent = False
        self.ack_at: float | None = None

    def next(self, wire: int) -> int | None:
        """The full number when all before it have come and none after it, which is nearly always; it is taken."""
        if self._ranges or (wire - self.cumulative) & MASK != 1:
            return None
        self.cumulative += 1
        return self.cumulative

    def take_all(self, wire: int, count: int) -> bool:
        """Take `count` numbers, the first one given, when they follow what has come last, holes or not."""
        ranges = self._ranges
        last = ranges[-1][1] if ranges else self.cumulative
        if (wire - last) & MASK != 1 or last + count - self.cumulative > MAX_AHEAD:
            return False
        if ranges:
            ranges[-1][1] += count
        else:
            self.cumulative += count
        return True

    @property
    def holes(self) -> bool:
        return bool(self._ranges)

    def place(self, wire: int) -> int | None:
        """The full number of a new one; `None` for one seen before or too far ahead."""
        delta = (wire - self.cumulative) & MASK
        if delta == 1:
            return self.cumulative + 1
        number = self.cumulative + delta
        if delta == 0 or delta >= _HALF or self._has(number):
            self._duplicate(number if delta < _HALF else number - MASK - 1)
            return None
        return number if delta <= MAX_AHEAD else None

    def _has(self, number: int) -> bool:
        ranges = self._ranges
        if not ranges or number > ranges[-1][1]:
            return False
        index = bisect_right(ranges, number, key=_start) - 1
        return index >= 0 and number <= ranges[index][1]

    def _duplicate(self, number: int) -> None:
        """Told at once: the sender learns that it repeated without need."""
        if len(self._duplicates) < MAX_DUPLICATES:
            self._duplicates.append(number)
        self._urgent = True

    def take(self, number: int) -> bool:
        """`number` from `place`. False: no room for another island, as if it had not come."""
        ranges = self._ranges
        if number == self.cumulative + 1:
            if ranges and ranges[0][0] == number + 1:
                number = ranges.pop(0)[1]
                self._urgent = self._urgent or not ranges
            self.cumulative = number
            return True
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
            return True
        if not ranges or number > ranges[-1][1]:
            return self._add(len(ranges), number)
        return self._insert(number)

    def _insert(self, number: int) -> bool:
        """Between islands, joining them where it fits: constant work but for the search."""
        ranges = self._ranges
        index = bisect_right(ranges, number, key=_start)
        below = ranges[index - 1] if index and ranges[index - 1][1] == number - 1 else None
        above = ranges[index] if ranges[index : index + 1] and ranges[index][0] == number + 1 else None
        if below is not None and above is not None:
            below[1] = above[1]
            del ranges[index]
        elif below is not None:
            below[1] = number
        elif above is not None:
            above[0] = number
        else:
            return self._add(index, number)
        return True

    def _add(self, index: int, number: int) -> bool:
        if len(self._ranges) >= MAX_RANGES:
            return False
        self._ranges.insert(index, [number, number])
        # The first hole is news; while there are holes, more of them are told with every second packet.
        if len(self._ranges) == 1 or self._packets >= 1:
            self._urgent = True
        return True

    def packet(self, now: float, count: int = 1) -> None:
        """A packet with data was read to its end; or `count` of them."""
        self._packets += count
        if self.ack_at is None:
            self.ack_at = now + self._delay

    def due(self, now: float, *, bundled: bool = False) -> bool:
        """`bundled`: it would go along with data."""
        if self.ack_at is None:
            return False
        every = min(2, self.ack_every) if self._ranges or bundled else self.ack_every
        return self._urgent or self._packets >= every or now >= self.ack_at

    def sack(self, window: int) -> bytes:
        base = self.cumulative
        gaps = [edge - base for island in self._ranges for edge in island]
        body = sack_chunk(base, window, gaps, self._duplicates)
        if self._duplicates:
            self._duplicates = []
        self._packets = 0
        self._urgent = False
        self.ack_at = None
        return body


def _start(island: list[int]) -> int:
    return island[0]
