"""What a peer may send to harm: it ends its own association at most, costs little time and little memory."""

from __future__ import annotations

import gc
import time
import tracemalloc
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farsite_signaling.peer.association import Settings
from farsite_signaling.peer.association import packets as wire
from farsite_signaling.peer.association.testing import End, Path, Simulator, Upload

STALL = 0.05
MIB = 1024 * 1024


class Attacker:
    """Speaks to `b` with a's tag and ports."""

    def __init__(self) -> None:
        self.simulator = Simulator(Path(), Path(), settings=Settings(interleaving=False))
        self.simulator.connect()
        self.victim: End = self.simulator.b
        self.association = self.victim.association
        self.head = wire.header(5000, 5000, self.association._tag)
        assert self.association.received is not None
        self.tsn = self.association.received.cumulative + 1
        self.longest = 0.0

    def send(self, *chunks: bytes) -> None:
        packet = wire.seal(self.head, b"".join(chunks))
        gc.disable()  # of everything this process holds: not the association's time
        begin = time.thread_time()
        self.association.receive(packet, self.simulator.now)
        self.association.flush(self.simulator.now)
        self.association.deadline(self.simulator.now)
        self.longest = max(self.longest, time.thread_time() - begin)
        gc.enable()

    def data(
        self, stream: int, flags: int = wire.WHOLE, ssn: int = 0, kind: int = 53, data: bytes = b"x"
    ) -> None:
        self.send(wire.data_chunk(flags, self.tsn, stream, ssn, kind, data))
        self.tsn += 1

    @property
    def ended(self) -> list[str | None]:
        assert self.longest < STALL
        return self.victim.reason


@pytest.fixture
def attacker() -> Attacker:
    return Attacker()


def sack(cumulative: int, *gaps: int, duplicates: tuple[int, ...] = ()) -> bytes:
    return wire.sack_chunk(cumulative, 1 << 20, list(gaps), list(duplicates))


def test_acknowledging_what_was_never_sent(attacker: Attacker) -> None:
    attacker.send(sack(attacker.association.sender.flight.next_tsn + 5))
    assert attacker.ended == ["an acknowledgement of what was never sent"]


def test_wide_gaps_are_refused_at_once(attacker: Attacker) -> None:
    last = attacker.association.sender.flight.next_tsn - 1
    attacker.send(sack(last, *(edge for _ in range(250) for edge in (1, 65_535))))
    assert attacker.ended == ["an acknowledgement of what was never sent"]


def test_gaps_out_of_order(attacker: Attacker) -> None:
    Upload(attacker.simulator, attacker.victim, MIB)
    base = attacker.association.sender.flight.cumulative
    attacker.send(sack(base, 4, 5, 2, 3))
    assert len(attacker.ended) == 1


def test_gaps_that_come_and_go_cost_little(attacker: Attacker) -> None:
    Upload(attacker.simulator, attacker.victim, 4 * MIB)
    flight = attacker.association.sender.flight
    attacker.simulator.run(lambda: flight.outstanding > 200, 60)
    base, count = flight.cumulative, flight.outstanding
    for turn in range(2000):
        attacker.send(sack(base, *(edge for gap in range(2 + turn % 2, count, 2) for edge in (gap, gap))))
    assert attacker.ended == []


def test_a_message_without_end(attacker: Attacker) -> None:
    attacker.data(0, flags=wire.FIRST, data=bytes(1100))
    for _ in range(40):
        attacker.data(0, flags=0, data=bytes(1100))
    assert attacker.ended == ["a message of more than 16384 bytes"]


def test_many_messages_without_end(attacker: Attacker) -> None:
    for stream in range(5000):
        attacker.data(stream, flags=wire.FIRST, data=bytes(1100))
    assert len(attacker.ended) == 1
    assert attacker.association.reassembly.held < 3 * MIB


def test_fragments_in_the_worst_order_cost_little_and_no_memory() -> None:
    attacker = Attacker()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    first = attacker.tsn + 1
    for number in range(5_000, 0, -1):
        attacker.tsn = first + number
        attacker.data(0, flags=0, data=b"x")
    for number in range(1, 20_000, 2):
        attacker.tsn = first + number
        attacker.data(0, flags=0, data=b"x" * 16)
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert attacker.longest < STALL
    assert used < 8 * MIB


def test_duplicates_and_far_numbers_are_not_kept(attacker: Attacker) -> None:
    held = attacker.association.reassembly.held
    start = attacker.tsn
    for number in range(5000):
        attacker.tsn = start + 70_000 + number
        attacker.data(0)
        attacker.tsn = start - 100
        attacker.data(0)
    assert attacker.ended == []
    assert attacker.association.reassembly.held == held


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"\x03", "a short OPEN"),
        (pack("!BBHLHH", 3, 0, 0, 0, 3, 0) + b"\xff\xfe\xfd", "it opened a channel with an unusable label"),
        (pack("!BBHLHH", 3, 0, 0, 0, 60_000, 0) + b"x", "it opened a channel with an unusable label"),
        (pack("!BBHLHH", 3, 1, 0, 0, 1, 0) + b"x", "it opened a channel that is not reliable and ordered"),
        (b"\x02", "it acknowledged a channel that does not exist"),
    ],
)
def test_control_messages_that_make_no_sense(attacker: Attacker, message: bytes, reason: str) -> None:
    attacker.data(0, kind=50, data=message)
    assert attacker.ended == [reason]


def test_opening_twice(attacker: Attacker) -> None:
    opening = pack("!BBHLHH", 3, 0, 0, 0, 1, 0) + b"x"
    attacker.data(0, kind=50, data=opening)
    attacker.data(0, kind=50, data=opening, ssn=1)
    assert attacker.ended == ["it opened a channel twice"]


def test_opening_a_number_of_ours(attacker: Attacker) -> None:
    attacker.data(1, kind=50, data=pack("!BBHLHH", 3, 0, 0, 0, 1, 0) + b"x")
    assert attacker.ended == ["it opened a channel with a number of ours"]


def test_text_messages(attacker: Attacker) -> None:
    attacker.data(0, kind=51, data=b"\xff")
    assert attacker.ended == ["it sent a text message"]


def test_a_flood_of_inits_after_establishment_changes_nothing(attacker: Attacker) -> None:
    for number in range(2000):
        init = wire.Init(1 + number, 1 << 20, 10, 10, number)
        packet = wire.seal(wire.header(5000, 5000, 0), wire.chunk(wire.INIT, init.body()))
        attacker.association.receive(packet, attacker.simulator.now)
    assert attacker.association.flush(attacker.simulator.now) == []
    assert attacker.ended == []
    assert attacker.association.established


def test_heartbeats_and_resets_are_answered_in_moderation(attacker: Attacker) -> None:
    for _ in range(2000):
        packet = wire.seal(attacker.head, wire.chunk(wire.HEARTBEAT, b"\0\1\0\x08beat"))
        attacker.association.receive(packet, attacker.simulator.now)
        reset = wire.parameter(17, bytes(8))
        packet = wire.seal(attacker.head, wire.chunk(wire.RECONFIG, reset))
        attacker.association.receive(packet, attacker.simulator.now)
    assert sum(map(len, attacker.association.flush(attacker.simulator.now))) < 20_000
    assert attacker.ended == []


def test_a_packet_for_somebody_else_is_passed_over(attacker: Attacker) -> None:
    packet = wire.seal(wire.header(5000, 5000, 12345), wire.chunk(wire.ABORT))
    attacker.association.receive(packet, attacker.simulator.now)
    damaged = bytearray(wire.seal(attacker.head, wire.chunk(wire.ABORT)))
    damaged[8] ^= 1
    attacker.association.receive(bytes(damaged), attacker.simulator.now)
    assert attacker.ended == []


@settings(max_examples=400, deadline=None)
@given(body=st.binary(max_size=400), kind=st.integers(0, 255), flags=st.integers(0, 255))
def test_chunks_of_noise(body: bytes, kind: int, flags: int) -> None:
    attacker = Attacker()
    attacker.send(wire.chunk(kind, body, flags))
    attacker.simulator.run_for(1.0)
    assert len(attacker.ended) <= 1


@settings(max_examples=400, deadline=None)
@given(body=st.binary(min_size=4, max_size=400))
def test_packets_of_noise(body: bytes) -> None:
    attacker = Attacker()
    attacker.send(body)
    attacker.association.receive(body, attacker.simulator.now)
    assert len(attacker.ended) <= 1


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 3), st.integers(0, 7)), max_size=60))
def test_data_of_noise(chunks: list[tuple[int, int, int]]) -> None:
    attacker = Attacker()
    base = attacker.tsn
    for offset, stream, flags in chunks:
        attacker.tsn = base + (offset if offset > 2**31 else offset % 50)
        attacker.data(stream, flags=flags, ssn=offset % 5)
    assert len(attacker.ended) <= 1


def test_before_establishment_nothing_but_the_handshake_is_heard() -> None:
    simulator = Simulator(Path(loss=1.0), Path(loss=1.0))
    simulator.start()
    head = wire.header(5000, 5000, simulator.b.association._tag)
    for chunk in (sack(5), wire.data_chunk(3, 1, 0, 0, 53, b"x"), wire.chunk(wire.COOKIE_ECHO, bytes(70))):
        simulator.b.association.receive(wire.seal(head, chunk), simulator.now)
    assert not simulator.b.association.established
    assert simulator.b.reason == []
