"""One association: takes packets apart, hands their chunks on, and collects what is to be sent."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from struct import Struct, unpack_from

from farsite_signaling.peer.association import packets as wire
from farsite_signaling.peer.association.channels import Channels
from farsite_signaling.peer.association.events import AssociationEvents
from farsite_signaling.peer.association.handshake import Handshake
from farsite_signaling.peer.association.interleaved import Interleaved
from farsite_signaling.peer.association.packet_size import PacketSize
from farsite_signaling.peer.association.packets import HEADER, Init, MalformedError
from farsite_signaling.peer.association.reassembly import Reassembly
from farsite_signaling.peer.association.receiving import Received
from farsite_signaling.peer.association.resets import Resets
from farsite_signaling.peer.association.runs import Run, run
from farsite_signaling.peer.association.sending import MAX_PACKETS, Sender
from farsite_signaling.peer.association.settings import Settings

MAX_CONTROL = 16
MAX_HEARTBEAT = 512
_OWN_ACK_EVERY = 4
_MAX_ACKS = 64
_SILENT = 3
"""Timeouts in a row that make large packets suspect."""
_STOCK_WINDOW = 1024 * 1024
_STOCK_EXTENSIONS = b"\xc0\x82"

_EXTENSIONS = bytes([wire.RECONFIG])

_first = Struct("!4xL4xBBHLHHL")
_DATA_KINDS = (wire.DATA, wire.I_DATA)


class Association:
    """Deadlines: call `expired` at `deadline(now)`, and `flush` after anything was called."""

    def __init__(
        self, events: AssociationEvents, random: Callable[[int], bytes], settings: Settings | None = None
    ) -> None:
        self._events = events
        self._settings = settings or Settings()
        tag, tsn, seed = unpack_from("!LLL", random(12))
        self._tag = tag or 1
        self._tsn = tsn
        self._window = self._settings.window
        extensions = _EXTENSIONS + bytes([wire.I_DATA] if self._settings.interleaving else [])
        self._handshake = Handshake(
            self._tag, tsn, self._window, random(16), extensions, self._settings.largest_packet
        )
        self._ended = False
        self.established = False
        self._control: list[bytes] = []
        self._often = True
        self._acks: list[bytes] = []
        self.sender = Sender(tsn, self._settings.give_up, seed)
        self.sender.outbox.mark = self._settings.high_water
        self.channels = Channels(events, self.sender.outbox)
        limits = (self._settings.max_message, self._settings.max_streams)
        self.reassembly: Reassembly | Interleaved = Reassembly(self.channels.receive, *limits)
        self._limits = limits
        self._data_kind, self._data_header = wire.DATA, wire.DATA_HEADER
        self.received: Received | None = None
        self.packet_size = PacketSize(random)
        self._resets: Resets | None = None
        self._ports = (5000, 5000)
        self._offered = self._settings.max_window
        self._arrived = 0.0
        self._window_bytes = 0
        self._window_at = 0.0
        self._idle_until = -inf
        """Nothing expires before: as `deadline` found, until something is done again."""
        self.more = False
        """`flush` has more to give, now."""

    # owner's calls

    def start(self, now: float, *, parity: int, local_port: int = 5000, remote_port: int = 5000) -> None:
        self.channels.parity = parity
        self._ports = (local_port, remote_port)
        self._handshake.start(now)

    @property
    def ended(self) -> bool:
        return self._ended

    @property
    def queued(self) -> int:
        return self.sender.outbox.queued

    def search_packet_size(self, most: int, headers: int, now: float) -> None:
        """Once established: look for the largest packet the path carries, up to `most`, with our own kind only.

        Who does not say which packets it takes gets none larger than all paths carry: how a record larger than
        expected comes out of DTLS is anybody's guess, in pieces for instance, which ends the association.
        """
        peer = self._handshake.peer
        if self.established and peer is not None and peer.farsite:
            self.packet_size.measured(self.sender.loss.smoothed)
            self.packet_size.search(min(most, peer.largest), headers, now)

    def abort(self) -> list[bytes]:
        """End at once; returns the packet that tells the peer."""
        self._finish()
        if self._handshake.peer is None:
            return []
        return [wire.seal(self._header(self._handshake.peer.tag), wire.chunk(wire.ABORT))]

    # packets in

    def receive(self, packet: bytes, now: float) -> None:
        """Damaged and foreign packets are passed over; what breaks the protocol ends the association."""
        if self._ended or len(packet) < 16:
            return
        try:
            self._receive(packet, now)
        except MalformedError as error:
            self._end(str(error))

    def receive_all(self, packets: list[bytes], now: float) -> None:
        """As `receive`, for packets that came together."""
        at = 0
        while at < len(packets):
            at += self._receive_run(packets, at, now)

    def _receive_run(self, packets: list[bytes], at: int, now: float) -> int:
        """How many packets from `at` on were one run; else the first one is taken the ordinary way."""
        received, reassembly = self.received, self.reassembly
        if (
            self.established
            and received is not None
            and isinstance(reassembly, Interleaved)
            and not self._often
        ):
            found = run(packets, at, self._tag)
            if found is not None and self._take_run(found, received, reassembly, now):
                return len(found.pieces)
        self.receive(packets[at], now)
        return 1

    def _take_run(self, found: Run, received: Received, reassembly: Interleaved, now: float) -> bool:
        """False: as if it had not come."""
        count = len(found.pieces)
        size = count * len(found.pieces[0])
        if (received.holes and self._full(size)) or not received.take_all(found.tsn, count):
            return False
        self._window_bytes += size
        try:
            self._keep_run(found, reassembly)
        except MalformedError as error:
            self._end(str(error))
        if self._resets is not None and self._resets.deferred is not None:
            self._resets.arrived(received.cumulative)
        received.packet(now, count)
        return True

    def _keep_run(self, found: Run, reassembly: Interleaved) -> None:
        """Raises `MalformedError`."""
        if reassembly.held > 2 * self._window:
            raise MalformedError("data past the receive window")
        reassembly.add_middle(found.stream, found.message, found.place, found.pieces)

    def _receive(self, packet: bytes, now: float) -> None:
        if len(packet) >= 28 and self.received is not None:
            tag, kind, flags, length, tsn, stream, ssn, protocol = _first.unpack_from(packet)
            if kind == self._data_kind and (length + 15) & ~3 == len(packet) and tag == self._tag:
                begin = HEADER + self._data_header
                if begin < HEADER + length and (packet[8:12] == b"\0\0\0\0" or wire.intact(packet)):
                    field = packet[28:begin]
                    self._data(flags, tsn, stream, ssn, protocol, field, packet[begin : HEADER + length])
                    self._packet(self.received, now)
                    return
        tag = unpack_from("!L", packet, 4)[0]
        kind, flags = packet[12], packet[13]
        if not self._expected(tag, kind, flags):
            return
        bare = self.established and packet[8:12] == b"\0\0\0\0"
        if not bare and not wire.intact(packet):
            return
        data = False
        for kind, flags, start, end in wire.chunks(packet):
            if kind in _DATA_KINDS:
                data = self._data_chunk(packet, kind, flags, start, end, now) or data
            elif not self._chunk(packet, kind, flags, start, end, now) or self._ended:
                break
        if data and self.received is not None:
            self._packet(self.received, now)

    def _packet(self, received: Received, now: float) -> None:
        """A packet with data was read to its end.

        Other implementations send at most four packets for each acknowledgement (RFC 9260 section 6.1 D): packets
        that came together are acknowledged as if they had come one by one.
        """
        received.packet(now)
        if self._often and received.due(now) and len(self._acks) < _MAX_ACKS:
            self._acks.append(self._acknowledgement(received, now))

    def _acknowledgement(self, received: Received, now: float) -> bytes:
        self._tune(now)
        return received.sack(min(self._offered, max(0, self._window - self.reassembly.held)))

    def _expected(self, tag: int, kind: int, flags: int) -> bool:
        if kind == wire.INIT:
            return tag == 0
        peer = self._handshake.peer
        reflected = kind in (wire.ABORT, wire.SHUTDOWN_COMPLETE) and flags & 1 and peer is not None
        return tag == (peer.tag if reflected and peer is not None else self._tag)

    def _chunk(self, packet: bytes, kind: int, flags: int, start: int, end: int, now: float) -> bool:
        """False: leave the rest of the packet (RFC 9260 section 3.2, unknown types)."""
        handshake = self._handshake
        if kind == wire.SACK:
            self._sack(packet, start, end, now)
        elif kind == wire.INIT:
            handshake.init(Init.parse(packet, start, end), now)
            return False
        elif kind == wire.INIT_ACK:
            handshake.init_ack(Init.parse(packet, start, end), now)
        elif kind == wire.COOKIE_ECHO:
            if handshake.cookie_echo(packet[start:end], now):
                self._establish(now)
        elif kind == wire.COOKIE_ACK:
            if handshake.cookie_ack(now):
                self._establish(now)
        elif kind == wire.HEARTBEAT:
            if end - start <= MAX_HEARTBEAT:
                self._answer(wire.chunk(wire.HEARTBEAT_ACK, packet[start:end]))
        elif kind == wire.RECONFIG:
            if self._resets is not None and self.received is not None:
                self._resets.receive(packet, start, end, self.received.cumulative, now)
        elif kind in (wire.ABORT, wire.SHUTDOWN_COMPLETE):
            self._end(None)
        elif kind == wire.SHUTDOWN:
            self._answer(wire.chunk(wire.SHUTDOWN_ACK))
            self._end(None)
        elif kind == wire.HEARTBEAT_ACK:
            self._heartbeat_answered(packet[start:end], now)
        elif kind not in (wire.ERROR, wire.SHUTDOWN_ACK):
            return bool(kind & 0x80)
        return True

    def _answer(self, chunk: bytes) -> None:
        if len(self._control) < MAX_CONTROL:
            self._control.append(chunk)

    def _heartbeat_answered(self, info: bytes, now: float) -> None:
        """Where large packets have stopped passing, chunks in flight cannot be cut again: a new association can."""
        if self.packet_size.answered(info, now):
            self._silent_end()
        self.sender.packet = self.packet_size.size

    def _silent_end(self) -> None:
        self._finish()
        self._events.unanswered()

    def _sack(self, packet: bytes, start: int, end: int, now: float) -> None:
        if self._handshake.cookie_ack(now):
            self._establish(now)
        if self.established:
            self.sender.acknowledge(wire.parse_sack(packet, start, end), now)
            if not self.sender.loss.timeouts:
                self.packet_size.heard(now)

    def _data_chunk(self, packet: bytes, kind: int, flags: int, start: int, end: int, now: float) -> bool:
        if self._handshake.cookie_ack(now):
            self._establish(now)
        begin = start - wire.CHUNK_HEADER + self._data_header
        if end <= begin:
            raise MalformedError("a DATA chunk without data")
        if not self.established:
            return False
        if kind != self._data_kind:
            raise MalformedError("DATA and I-DATA in one association")
        tsn, stream, ssn, protocol = unpack_from("!LHHL", packet, start)
        self._data(flags, tsn, stream, ssn, protocol, packet[start + 12 : begin], packet[begin:end])
        return True

    def _data(
        self, flags: int, tsn: int, stream: int, ssn: int, protocol: int, field: bytes, data: bytes
    ) -> None:
        """I-DATA has its message's number where DATA has the payload protocol, and `field` behind it."""
        received, reassembly = self.received, self.reassembly
        assert received is not None
        number = received.next(tsn)
        if number is None:
            number = self._out_of_order(received, tsn, len(data))
            if number is None:
                return
        elif reassembly.held > 2 * self._window:
            raise MalformedError("data past the receive window")
        self._window_bytes += len(data)
        if isinstance(reassembly, Interleaved):
            reassembly.add(flags, stream, protocol, int.from_bytes(field), data)
        else:
            reassembly.add(number, flags, stream, ssn, protocol, data)
        if self._resets is not None and self._resets.deferred is not None:
            self._resets.arrived(received.cumulative)

    def _out_of_order(self, received: Received, tsn: int, size: int) -> int | None:
        """`None`: seen before, too far ahead, or past the window: as if it had not come."""
        number = received.place(tsn)
        if number is None or (number - received.cumulative != 1 and self._full(size)):
            return None
        return number if received.take(number) else None

    def _full(self, size: int) -> bool:
        return self.reassembly.held + size > self._window

    # what chunks lead to

    def _establish(self, now: float) -> None:
        peer, settings = self._handshake.peer, self._settings
        assert peer is not None
        if settings.interleaving and wire.I_DATA in peer.extensions:
            self._interleave()
        self.received = Received(peer.tsn, settings.ack_delay)
        self._resets = Resets(self._tsn, peer.tsn, self._reset_in, self.channels.reset_out)
        head, checksum = self._header(peer.tag), not peer.zero_checksum
        self.sender.start(head, peer.window, self._handshake.rtt, now, checksum=checksum)
        if not peer.farsite:
            self._offered = settings.foreign_offer
        if peer.farsite:
            self.received.ack_every = _OWN_ACK_EVERY
            self._often = False
        elif peer.window == _STOCK_WINDOW and peer.extensions == _STOCK_EXTENSIONS:
            self.sender.most_waiting = settings.foreign_flight
            # Its own receiver does so, and its sender counts acknowledgements to find losses.
            self.received.ack_every = 1
        self._window_at = now
        self.established = True
        self.channels.established(self._resets)
        self._events.established()

    def _interleave(self) -> None:
        self._data_kind, self._data_header = wire.I_DATA, wire.I_DATA_HEADER
        self.reassembly = Interleaved(self.channels.receive, *self._limits)
        self.sender.outbox.interleave()

    @property
    def interleaved(self) -> bool:
        return self._data_kind == wire.I_DATA

    def _header(self, tag: int) -> bytes:
        return wire.header(*self._ports, tag)

    def _reset_in(self, stream: int) -> None:
        self.reassembly.reset(stream)
        self.channels.reset_in(stream)

    def _end(self, reason: str | None) -> None:
        if not self._ended:
            self._finish()
            if reason is not None and self._handshake.peer is not None:
                self._handshake.outgoing.append((self._handshake.peer.tag, wire.chunk(wire.ABORT)))
            self._events.ended(reason)

    def _finish(self) -> None:
        self._ended = self.channels.ended = True
        self.established = False

    # time

    def deadline(self, now: float) -> float | None:
        if self._ended:
            return None
        if not self.established:
            return self._handshake.deadline
        assert self.received is not None
        assert self._resets is not None
        times = (self.sender.loss_deadline, self._resets.deadline, self.packet_size.deadline)
        self._idle_until = min([time for time in times if time is not None], default=inf)
        soon = (self.sender.ready_at(now), self.received.ack_at)
        at = min([self._idle_until, *[time for time in soon if time is not None]])
        return at if at < inf else None

    def expired(self, now: float) -> None:
        if self._ended or now < self._idle_until:
            return
        try:
            self._handshake.expired(now)
            if self.established:
                self.sender.expired(now)
                self._watch_packet_size(now)
            if self._resets is not None:
                self._resets.expired(now)
        except TimeoutError:
            self._silent_end()

    def _watch_packet_size(self, now: float) -> None:
        self.packet_size.measured(self.sender.loss.smoothed)
        if self.sender.loss.timeouts >= _SILENT:
            self.packet_size.silent(self.sender.loss.timeouts, now)
        self.packet_size.expired(now)

    # packets out

    def flush(self, now: float) -> list[bytes]:
        """What is due now, at most `MAX_PACKETS` and a little; call again while there is `more`."""
        out = [wire.seal(self._header(tag), chunk) for tag, chunk in self._handshake.outgoing]
        self._handshake.outgoing.clear()
        self._idle_until, self.more = -inf, bool(out)
        if not self.established:
            return out
        alone, self._acks = self._acks + self.packet_size.outgoing, []
        self.packet_size.outgoing.clear()
        out += map(self.sender.seal, alone)
        self.sender.fill(now, self._first(now), self._events.drained, out)
        assert self._resets is not None
        self.more = len(out) >= MAX_PACKETS or bool(self._control or self._resets.outgoing)
        return out

    def _first(self, now: float) -> list[bytes]:
        """Control chunks and the acknowledgement that go into the next packet."""
        received, resets = self.received, self._resets
        assert received is not None
        assert resets is not None
        first: list[bytes] = []
        if received.due(now, bundled=bool(self.sender.outbox)):
            first.append(self._acknowledgement(received, now))
        if resets.waiting:
            resets.request(self.sender.flight.next_tsn - 1, self._silent, now)
        for queue in (self._control, resets.outgoing):
            while queue and sum(map(len, first)) + len(queue[0]) <= 1100:
                first.append(queue.pop(0))
        return first

    def _silent(self, stream: int) -> bool:
        return not self.sender.outbox.has(stream)

    def _tune(self, now: float) -> None:
        """Four times what arrives in a round trip: what follows a lost packet waits for its repetition, maybe twice."""
        trip = self.sender.loss.smoothed or 0.1
        if now - self._window_at < trip:
            return
        if 4 * self._window_bytes > self._window:
            self._window = min(2 * self._window, self._settings.max_window)
        # What a peer doubles up to in start-up: one that goes by loss would fill every queue, and lose hundreds at once.
        arrived = self._window_bytes * trip / (now - self._window_at)
        steady, self._arrived = min(arrived, self._arrived), arrived
        self._offered = max(self._offered, min(int(1.5 * steady), self._settings.max_window))
        self._window_bytes, self._window_at = 0, now
