"""Towards peers that are not ours: their habits are minded."""

from __future__ import annotations

import pytest

from farsite_signaling.peer.association import packets as wire
from farsite_signaling.peer.association.association import Association
from farsite_signaling.peer.association.packets import Init
from farsite_signaling.peer.association.settings import Settings
from farsite_signaling.peer.association.testing import Path, Simulator, Upload

MIB = 1024 * 1024


STOCK = (1024 * 1024, b"\xc0\x82")
ANOTHER = (5 * 1024 * 1024, b"\xc0\x82\x40")


def look_like(window: int, extensions: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither end knows the other for one of ours."""
    real = Init.parse

    def parse(packet: bytes, start: int, end: int) -> Init:
        init = real(packet, start, end)
        init.farsite = False
        init.window, init.extensions = window, extensions
        return init

    monkeypatch.setattr(Init, "parse", parse)


def together(association: Association, count: int, now: float) -> list[bytes]:
    """What is sent after so many packets with data were read in one go."""
    received = association.received
    assert received is not None
    head = wire.header(5000, 5000, association._tag)
    for number in range(count):
        chunk = wire.data_chunk(wire.WHOLE, received.cumulative + 1, 1, number, 53, b"x")
        association.receive(wire.seal(head, chunk), now)
    return association.flush(now)


@pytest.mark.parametrize(("kind", "count"), [(STOCK, 20), (ANOTHER, 10)], ids=["stock", "another"])
def test_packets_read_together_are_acknowledged_as_if_they_came_one_by_one(
    kind: tuple[int, bytes], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sender that sends four packets for each acknowledgement would starve (RFC 9260 section 6.1 D); stock aiortc
    counts acknowledgements to find losses, and its own receiver sends one for each packet.
    """
    look_like(*kind, monkeypatch)
    simulator = Simulator(Path(), Path(), settings=Settings(interleaving=False))
    simulator.connect()
    packets = together(simulator.b.association, 20, simulator.now)
    acknowledgements = [packet for packet in packets if packet[12] == wire.SACK]
    assert len(acknowledgements) == count
    last = wire.parse_sack(acknowledgements[-1], 16, len(acknowledgements[-1]))
    received = simulator.b.association.received
    assert received is not None
    assert last.cumulative == received.cumulative & wire.MASK


def test_our_own_peers_take_one_acknowledgement_for_all() -> None:
    simulator = Simulator(Path(), Path(), settings=Settings(interleaving=False))
    simulator.connect()
    packets = together(simulator.b.association, 20, simulator.now)
    assert [packet[12] for packet in packets] == [wire.SACK]


def test_a_small_receive_buffer_does_not_limit_a_long_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 Mbit/s and 40 ms need 500 KB in flight, of which nothing waits at the peer."""
    look_like(*STOCK, monkeypatch)
    simulator = Simulator(Path(rate=100e6), Path(rate=100e6), settings=Settings(interleaving=False))
    simulator.connect()
    Upload(simulator, simulator.a, 24 * MIB)
    begin = simulator.now
    simulator.run(lambda: simulator.b.received >= 24 * MIB)
    assert 24 * MIB * 8 / (simulator.now - begin) > 75e6
    assert max(waited for _, waited in simulator.there.queued) < 0.025


def test_a_peer_is_offered_what_the_path_takes_and_not_a_queue_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that goes by loss doubles up to what it is offered: were that all our memory, it would lose hundreds."""
    look_like(*ANOTHER, monkeypatch)
    simulator = Simulator(Path(rate=100e6), Path(rate=100e6), settings=Settings(interleaving=False))
    simulator.connect()
    offers: list[int] = []
    receive = simulator.a.association.receive_all

    def listen(packets: list[bytes], now: float) -> None:
        acknowledgements = [packet for packet in packets if packet[12] == wire.SACK]
        offers.extend(int.from_bytes(packet[20:24]) for packet in acknowledgements)
        receive(packets, now)

    simulator.a.arrive = listen
    Upload(simulator, simulator.a, 24 * MIB)
    simulator.run(lambda: simulator.b.received >= 24 * MIB)
    in_flight = 100e6 / 8 * 0.04
    assert max(offers[:20]) <= 384 * 1024
    assert in_flight < max(offers) <= 1.6 * in_flight


def test_our_own_peers_are_offered_all_our_memory() -> None:
    simulator = Simulator(Path(rate=100e6), Path(rate=100e6))
    simulator.connect()
    assert simulator.b.association._offered == Settings().max_window
