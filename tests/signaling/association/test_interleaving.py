"""Interleaved messages (RFC 8260): a long one keeps nobody waiting, and what a peer may do wrong with them."""

from __future__ import annotations

import random
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsite_signaling.peer.association import Settings
from farsite_signaling.peer.association import packets as wire
from farsite_signaling.peer.association.interleaved import Interleaved
from farsite_signaling.peer.association.packets import FIRST, LAST, UNORDERED, WHOLE, MalformedError
from farsite_signaling.peer.association.testing import Path, Simulator

MIB = 1024 * 1024
Fragment = tuple[int, int, int, int, bytes]


def connected(a: bool = True, b: bool = True) -> Simulator:
    simulator = Simulator(Path(rate=1e6), Path(), settings=Settings(interleaving=a, max_message=MIB))
    if a is not b:
        other = Simulator(Path(), Path(), settings=Settings(interleaving=b, max_message=MIB))
        simulator.b.association = other.b.association
        simulator.b.arrive = simulator.b.association.receive_all
        simulator.b.association._events = simulator.b  # type: ignore[assignment]
        simulator.b.association.channels._events = simulator.b
    simulator.connect()
    return simulator


def test_a_short_message_overtakes_a_long_one_that_has_begun() -> None:
    simulator = connected()
    channels = simulator.a.association.channels
    arrived: list[tuple[int, int]] = []
    simulator.b.on_message = lambda channel, data: arrived.append((channel, len(data)))
    channels.open(0, "long")
    channels.open(2, "short")
    channels.send(0, bytes(100_000))
    simulator.touch(simulator.a)
    simulator.run_for(0.2)
    channels.send(2, bytes(10))
    simulator.touch(simulator.a)
    simulator.run(lambda: len(arrived) == 2)
    assert arrived == [(2, 10), (0, 100_000)]


def test_two_long_messages_share_the_way() -> None:
    simulator = connected()
    channels = simulator.a.association.channels
    arrived: dict[int, float] = {}
    simulator.b.on_message = lambda channel, data: arrived.setdefault(channel, simulator.now)  # type: ignore[func-returns-value]
    begin = simulator.now
    for channel in (0, 2):
        channels.open(channel, "long")
        channels.send(channel, bytes(200_000))
    simulator.touch(simulator.a)
    simulator.run(lambda: len(arrived) == 2)
    assert abs(arrived[0] - arrived[2]) < 0.2 * (max(arrived.values()) - begin)


@pytest.mark.parametrize(("a", "b"), [(True, False), (False, True), (False, False)])
def test_without_it_on_either_side_messages_are_sent_one_after_another(a: bool, b: bool) -> None:
    simulator = connected(a, b)
    assert simulator.a.association.established
    assert not simulator.a.association.interleaved
    assert not simulator.b.association.interleaved
    arrived: list[bytes] = []
    simulator.b.on_message = lambda channel, data: arrived.append(data)
    simulator.a.association.channels.open(0, "x")
    simulator.a.association.channels.send(0, b"whole")
    simulator.touch(simulator.a)
    simulator.run(lambda: bool(arrived))
    assert arrived == [b"whole"]


@pytest.mark.parametrize("mixed", [True, False])
def test_data_of_the_kind_not_agreed_on_ends_it(mixed: bool) -> None:
    simulator = connected()
    victim = simulator.b.association
    assert victim.received is not None
    tsn = victim.received.cumulative + 1
    chunk = wire.data_chunk(WHOLE, tsn, 0, 0, 53, b"x")
    if mixed:
        chunk = wire.i_data_chunk(WHOLE, tsn, 0, 0, 53, b"") + chunk
    victim.receive(wire.seal(wire.header(5000, 5000, victim._tag), chunk), simulator.now)
    assert len(simulator.b.reason) == 1


class Sink:
    def __init__(self) -> None:
        self.messages: list[tuple[int, int, bytes]] = []
        self.reassembly = Interleaved(lambda *what: self.messages.append(what), 16_384, 100)

    def add(self, *fragments: Fragment) -> None:
        for fragment in fragments:
            self.reassembly.add(*fragment)


@pytest.mark.parametrize(
    "fragments",
    [
        [(FIRST, 0, 0, 53, b"a"), (FIRST, 0, 0, 53, b"a")],
        [(FIRST, 0, 0, 53, b"a"), (0, 0, 0, 0, b"a")],
        [(0, 0, 0, 0, b"a")],
        [(LAST, 0, 0, 2, b"a"), (0, 0, 0, 3, b"a")],
        [(0, 0, 0, 3, b"a"), (LAST, 0, 0, 1, b"a"), (FIRST, 0, 0, 53, b"a")],
        [(LAST, 0, 0, 2, b"a"), (LAST, 0, 0, 1, b"a"), (0, 0, 0, 3, b"a")],
        [(WHOLE, 0, 0, 53, b"a"), (WHOLE, 0, 0, 53, b"a")],
        [(FIRST, 0, 0, 53, bytes(16_000)), (0, 0, 0, 1, bytes(400))],
        [(WHOLE, number, 0, 53, b"a") for number in range(101)],
    ],
)
def test_fragments_that_contradict_one_another(fragments: list[Fragment]) -> None:
    with pytest.raises(MalformedError):
        Sink().add(*fragments)


def test_what_is_kept_is_counted_with_what_keeping_costs() -> None:
    sink = Sink()
    for number in range(1000):
        sink.reassembly.add(FIRST, 1, number + 1, 53, b"x")
    assert sink.reassembly.held > 400 * 1000
    sink.reassembly.reset(1)
    assert sink.reassembly.held == 0


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(0, 1 << 32), st.booleans())
def test_any_order_of_fragments_gives_the_messages_once(sizes: list[int], seed: int, unordered: bool) -> None:
    sink, chance = Sink(), random.Random(seed)
    flags = UNORDERED if unordered else 0
    fragments = [fragment for number, size in enumerate(sizes) for fragment in _cut(number, size, flags)]
    chance.shuffle(fragments)
    sink.add(*fragments)
    expected = [(7, 53, _text(number, size)) for number, size in enumerate(sizes)]
    assert (sorted(sink.messages) if unordered else sink.messages) == (
        sorted(expected) if unordered else expected
    )
    assert sink.reassembly.held == 0


def _text(number: int, size: int) -> bytes:
    return b"".join(pack("!HH", number, place) for place in range(size))


def _cut(number: int, size: int, flags: int) -> list[Fragment]:
    return [
        (
            flags | (FIRST if place == 0 else 0) | (LAST if place == size - 1 else 0),
            7,
            number,
            53 if place == 0 else place,
            pack("!HH", number, place),
        )
        for place in range(size)
    ]
