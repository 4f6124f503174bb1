"""The sending half: fills packets with what is due, within the peer's window, the model's window and its rate."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from farsite_signaling.peer.association.bursts import Bursts
from farsite_signaling.peer.association.congestion import SEGMENT, Congestion
from farsite_signaling.peer.association.flight import Burst, Flight
from farsite_signaling.peer.association.loss import Loss
from farsite_signaling.peer.association.outbox import Outbox
from farsite_signaling.peer.association.pacing import Pacer, tick
from farsite_signaling.peer.association.packets import HEADER, Sack, bare, seal
from farsite_signaling.peer.association.settings import PACKET

MAX_PACKETS = 96
"""In one go: other work gets its turn."""
_AFTER_TIMEOUT = 2 * SEGMENT
_LEAST_ROOM = 20


class Sender:
    def __init__(self, tsn: int, give_up: float, seed: int) -> None:
        self.outbox = Outbox()
        self.flight = Flight(tsn)
        self.loss = Loss(give_up)
        self.congestion = Congestion(seed)
        self.most_waiting: float = float("inf")
        """In flight at most on top of what the path holds, whatever the model says: what the peer's socket takes."""
        self.packet = PACKET
        """Largest, bytes."""
        self.packets_lost = 0
        self.packets_repeated = 0
        self.seal: Callable[[bytes], bytes] = bytes
        """A packet of the chunks given."""
        self._bare = b""
        self._pacer = Pacer()
        self._bursts = Bursts()
        self._peer_room = 0
        self._limited_until = 0
        self._probe = False

    def start(self, head: bytes, peer_window: int, rtt: float | None, now: float, *, checksum: bool) -> None:
        """`head`: the first bytes of each packet, from `packets.header`."""
        self._bare = b"" if checksum else bare(head)
        self.seal = partial(seal, head) if checksum else self._bare.__add__
        self._peer_room = peer_window
        if rtt is not None:
            self.congestion.handshake(rtt, now)
            self.loss.sample(rtt)

    @property
    def hurried(self) -> bool:
        """Little goes at once, so it has to go often."""
        return self._bursts.most < self._pacer.wanted

    # acknowledgements

    def acknowledge(self, sack: Sack, now: float) -> None:
        """Raises `MalformedError`."""
        flight = self.flight
        acked = flight.acknowledge(sack, now)
        if acked is None:
            return
        self.loss.heard(now)
        if acked.newest is not None:
            self.loss.acknowledged(acked, len(sack.duplicates), now)
        self.packets_lost += self.loss.detect(flight, now, acked.highest if acked.cut else None)
        self.congestion.acknowledged(acked, flight, now)
        self._bursts.counted(flight.delivered, self.packets_lost * self.packet, self._pacer.wanted, now)
        self._pacer.most = self._bursts.most
        self._pacer.tick = tick(self.congestion.round_trip)
        self._peer_room = max(0, sack.window - flight.bytes)

    # time

    @property
    def loss_deadline(self) -> float | None:
        """When `expired` is to be called."""
        return self.loss.deadline(self.flight)

    def ready_at(self, now: float) -> float | None:
        """When `fill` has something to send; `now` when it has at once."""
        if not self._has_work():
            return None
        return now if self._pacer.allowance(now) > 0 else self._pacer.ready_at(now)

    def expired(self, now: float) -> None:
        """Raises `TimeoutError` when the peer is gone."""
        if self.loss.expired(self.flight, now):
            self._probe = True

    def _has_work(self) -> bool:
        if self._probe:
            return True
        if not self.flight.lost and not self.outbox:
            return False
        if self._window_left() <= 0:
            return False
        return self.flight.next_lost() is not None or (bool(self.outbox) and self._peer_allows())

    def _window_left(self) -> float:
        window = min(self.congestion.window, self.most_waiting + self.congestion.product)
        if self.loss.timeouts:
            window = min(window, _AFTER_TIMEOUT)
        return window - self.flight.bytes

    def _peer_allows(self) -> bool:
        """A window of zero is probed with what is in flight when nothing else is (RFC 9260 section 6.1 A)."""
        return self._peer_room >= SEGMENT or self.flight.empty

    # packets

    def fill(self, now: float, first: list[bytes], drained: Callable[[], None], out: list[bytes]) -> None:
        """Append packets to `out`; the chunks of `first` go into the first one.

        `drained` is called once what is queued falls below `Outbox.mark` after it was above.
        """
        flight, outbox, pacer = self.flight, self.outbox, self._pacer
        pacer.rate = self.congestion.pacing
        allowance = pacer.allowance(now)
        budget = min(allowance, self._window_left())
        burst: Burst | None = None
        whole = self.packet - HEADER
        parts, room, spent = first, whole - sum(map(len, first)), 0
        while len(out) < MAX_PACKETS:
            if self._probe or (spent < budget and (outbox or flight.lost)):
                if burst is None:
                    burst = flight.burst(now, limited=flight.delivered < self._limited_until)
                if not parts and (count := self._whole(out, whole, budget - spent, burst)):
                    spent += count * whole
                    self._tell(drained)
                    continue
                spent += self._data(parts, room, burst, now)
            if not parts:
                break
            out.append(self.seal(parts[0] if len(parts) == 1 else b"".join(parts)))
            parts, room = [], whole
            self._tell(drained)
        pacer.spend(spent)
        if spent < budget and not outbox and not flight.lost:
            self._limited_until = flight.delivered + flight.bytes
            if burst is not None:
                burst.limited = True

    def _tell(self, drained: Callable[[], None]) -> None:
        outbox = self.outbox
        if outbox.full and outbox.queued < outbox.mark:
            outbox.full = False
            drained()

    def _whole(self, out: list[bytes], whole: int, budget: float, burst: Burst) -> int:
        """Append packets of `whole` bytes that hold one chunk each, and say how many."""
        flight = self.flight
        if self._probe or flight.lost or flight.empty or not self._bare:
            return 0
        most = min(MAX_PACKETS - len(out), int(-(-budget // whole)), (self._peer_room - SEGMENT) // whole + 1)
        if most < 2:
            return 0
        packets = self.outbox.take_whole(whole, flight.next_tsn, most, self._bare)
        if packets:
            flight.send_all(packets, whole, burst)
            self._peer_room -= whole * len(packets)
            out += packets
        return len(packets)

    def _data(self, parts: list[bytes], room: int, burst: Burst, now: float) -> int:
        """Fill up one packet; returns the bytes added."""
        flight, before, silent = self.flight, room, self.flight.empty
        if self._probe:
            room -= self._tail_probe(parts, room, burst)
        if flight.lost:
            room -= self._repeat(parts, room, burst)
        again = room != before
        take, send = self.outbox.take, flight.send
        while room >= _LEAST_ROOM and self._peer_allows():
            chunk = take(room, flight.next_tsn)
            if chunk is None:
                break
            send(chunk, burst)
            parts.append(chunk)
            size = len(chunk)
            self._peer_room -= size
            room -= size
        if silent or again:
            self.loss.sent(now, first=silent, again=again)
        return before - room

    def _tail_probe(self, parts: list[bytes], room: int, burst: Burst) -> int:
        """New data is the better probe; without it, what was sent last."""
        self._probe = False
        if self.outbox and self._peer_room >= SEGMENT:
            return 0
        sent = self.flight.probe(burst)
        if sent is None:
            return 0
        self.packets_repeated += 1
        if sent.size > room:
            return 0
        parts.append(sent.chunk)
        return sent.size

    def _repeat(self, parts: list[bytes], room: int, burst: Burst) -> int:
        flight, before = self.flight, room
        while (lost := flight.next_lost()) is not None and lost.size <= room:
            flight.resend(lost, burst)
            self.packets_repeated += 1
            parts.append(lost.chunk)
            room -= lost.size
        return before - room
