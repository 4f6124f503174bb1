"""What was sent and is not acknowledged: constant work for each chunk sent, acknowledged or lost.

Every transmission gets a number of its own, higher than all before it. `order` holds chunks by that number, so what
was sent first is looked at first, however often anything was repeated.
"""

from __future__ import annotations

from collections import deque
from itertools import repeat

from farsite_signaling.peer.association.packets import MalformedError, Sack, unwrap

IN_FLIGHT, LOST, ACKED = 0, 1, 2


class Burst:
    """What was known when packets went out together: from this the delivery rate is computed."""

    __slots__ = ("delivered", "delivered_at", "first_sent_at", "limited", "sent_at")

    def __init__(self, now: float, delivered: int, delivered_at: float, first: float, limited: bool) -> None:
        self.sent_at = now
        self.delivered = delivered
        self.delivered_at = delivered_at
        self.first_sent_at = first
        self.limited = limited
        """The application, not the network, decided how much was sent."""


class Sent:
    """One DATA chunk."""

    __slots__ = ("_data", "burst", "number", "sends", "size", "state", "tsn")

    def __init__(self, tsn: int, data: bytes, burst: Burst, number: int, size: int) -> None:
        """`data`: the chunk, of `size` bytes, and maybe the header of its packet before it."""
        self.tsn = tsn
        self._data = data
        self.size = size
        self.burst = burst
        self.number = number
        self.sends = 1
        self.state = IN_FLIGHT

    @property
    def chunk(self) -> bytes:
        """Empty once it is acknowledged."""
        return self._data[-self.size :]

    def arrived(self) -> None:
        self.state = ACKED
        self._data = b""


class Acked:
    """What one SACK told that was not known."""

    __slots__ = ("bytes", "cut", "highest", "newest", "spurious")

    def __init__(self) -> None:
        self.bytes = 0
        self.newest: Sent | None = None
        self.spurious = 0
        self.highest = 0
        self.cut = False
        """The list of gaps may have been too long for the packet: above `highest` nothing is known."""

    def candidate(self, sent: Sent | None) -> None:
        if sent is not None and (self.newest is None or sent.number > self.newest.number):
            self.newest = sent


_CUT = 200


class Flight:
    """TSNs are full numbers (never wrap)."""

    def __init__(self, first: int) -> None:
        self.next_tsn = first
        self.cumulative = first - 1
        self.bytes = 0
        self.delivered = 0
        self.delivered_at = 0.0
        self.first_sent_at = 0.0
        self.lost_bytes = 0
        self.order: deque[Sent] = deque()
        self.lost: deque[Sent] = deque()
        self._sent: dict[int, Sent] = {}
        self._number = 0
        self._sacked: list[tuple[int, int]] = []
        self._gaps: tuple[int, ...] = ()

    @property
    def empty(self) -> bool:
        return not self._sent

    @property
    def outstanding(self) -> int:
        """Chunks sent and not cumulatively acknowledged."""
        return len(self._sent)

    def burst(self, now: float, *, limited: bool) -> Burst:
        if not self.bytes:
            self.first_sent_at = self.delivered_at = now
        return Burst(now, self.delivered, self.delivered_at, self.first_sent_at, limited)

    def send(self, chunk: bytes, burst: Burst) -> None:
        """A new chunk, carrying `next_tsn`."""
        self._number += 1
        sent = Sent(self.next_tsn, chunk, burst, self._number, len(chunk))
        self._sent[self.next_tsn] = sent
        self.next_tsn += 1
        self.order.append(sent)
        self.bytes += sent.size

    def send_all(self, packets: list[bytes], size: int, burst: Burst) -> None:
        """Packets of one new chunk each, of `size` bytes, from `next_tsn` on."""
        tsn, number, count = self.next_tsn, self._number, len(packets)
        self.next_tsn += count
        self._number += count
        tsns = range(tsn, tsn + count)
        numbers = range(number + 1, number + count + 1)
        sent = list(map(Sent, tsns, packets, repeat(burst), numbers, repeat(size)))
        self._sent.update(zip(tsns, sent, strict=True))
        self.order.extend(sent)
        self.bytes += count * size

    def next_lost(self) -> Sent | None:
        lost = self.lost
        while lost:
            if lost[0].state == LOST:
                return lost[0]
            lost.popleft()  # it came after all
        return None

    def resend(self, sent: Sent, burst: Burst) -> None:
        """What `next_lost` gave."""
        self.lost.popleft()
        self._again(sent, burst)

    def probe(self, burst: Burst) -> Sent | None:
        """Repeat what was sent last, without calling it lost."""
        while self.order:
            sent = self.order.pop()
            if sent.state == IN_FLIGHT:
                self.bytes -= sent.size
                self._again(sent, burst)
                return sent
        return None

    def _again(self, sent: Sent, burst: Burst) -> None:
        self._number += 1
        sent.number = self._number
        sent.burst = burst
        sent.sends += 1
        sent.state = IN_FLIGHT
        self.order.append(sent)
        self.bytes += sent.size

    def lose(self, sent: Sent) -> None:
        """What was taken off `order`."""
        sent.state = LOST
        self.bytes -= sent.size
        self.lost_bytes += sent.size
        self.lost.append(sent)

    def lose_all(self) -> None:
        for sent in self.order:
            if sent.state == IN_FLIGHT:
                self.lose(sent)
        self.order.clear()

    # acknowledgements

    def acknowledge(self, sack: Sack, now: float) -> Acked | None:
        """`None` for one overtaken on the way. Raises `MalformedError`."""
        cumulative = unwrap(sack.cumulative, self.cumulative)
        if cumulative < self.cumulative:
            return None
        if cumulative >= self.next_tsn:
            raise MalformedError("an acknowledgement of what was never sent")
        acked = Acked()
        acked.highest = cumulative
        self._deliver_first(cumulative, acked)
        moved = cumulative != self.cumulative
        self.cumulative = cumulative
        if sack.gaps:
            acked.highest = cumulative + sack.gaps[-1]
            acked.cut = len(sack.gaps) >= 2 * _CUT
            if moved or sack.gaps != self._gaps:
                self._islands(cumulative, sack.gaps, acked)
        elif moved:
            self._sacked = [island for island in self._sacked if island[1] > cumulative]
        self._gaps = sack.gaps
        if acked.bytes:
            self.delivered += acked.bytes
            self.delivered_at = now
        return acked

    def _deliver_first(self, cumulative: int, acked: Acked) -> None:
        """All up to `cumulative`."""
        pop = self._sent.pop
        self._deliver_all([pop(tsn) for tsn in range(self.cumulative + 1, cumulative + 1)], acked)

    def _deliver_all(self, arrived: list[Sent], acked: Acked) -> None:
        """Most chunks go this way, so it is short."""
        newest, size = None, 0
        for sent in arrived:
            if sent.state == IN_FLIGHT:
                size += sent.size
                sent.arrived()
                if newest is None or sent.number > newest.number:
                    newest = sent
            elif sent.state == LOST:
                self._found(sent, acked)
        self.bytes -= size
        acked.bytes += size
        acked.candidate(newest)

    def _found(self, sent: Sent, acked: Acked) -> None:
        """What was taken for lost."""
        acked.spurious += 1
        self.lost_bytes -= sent.size
        sent.arrived()
        acked.bytes += sent.size
        acked.candidate(sent)

    def _islands(self, base: int, gaps: tuple[int, ...], acked: Acked) -> None:
        """Merge the gap blocks into what is known; only chunks named for the first time are touched."""
        old = self._sacked
        merged: list[tuple[int, int]] = []
        index, count, below = 0, len(old), base
        for position in range(0, len(gaps), 2):
            first, last = base + gaps[position], base + gaps[position + 1]
            if not below < first <= last < self.next_tsn:
                raise MalformedError("an acknowledgement of what was never sent")
            below = last
            while index < count and old[index][1] < first:
                if old[index][1] > base:
                    merged.append(old[index])
                index += 1
            at = first
            while index < count and old[index][0] <= last:
                known_first, known_last = old[index]
                self._deliver_range(at, known_first - 1, acked)
                at = max(at, known_last + 1)
                first, last = min(first, known_first), max(last, known_last)
                index += 1
            self._deliver_range(at, last, acked)
            merged.append((max(first, base + 1), last))
        merged.extend(old[index:])
        self._sacked = merged

    def _deliver_range(self, first: int, last: int, acked: Acked) -> None:
        sent = self._sent
        self._deliver_all([sent[tsn] for tsn in range(first, last + 1)], acked)
