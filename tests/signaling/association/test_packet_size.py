"""Packets as large as the path carries (RFC 8899), found and minded in virtual time."""

from __future__ import annotations

import pytest

from farsite_signaling.peer.association import packets as wire
from farsite_signaling.peer.association.packets import Init
from farsite_signaling.peer.association.settings import PACKET, Settings
from farsite_signaling.peer.association.testing import OVERHEAD, End, Path, Simulator, Upload

M = 1e6
MIB = 1024 * 1024


def room(mtu: int) -> int:
    return (mtu - OVERHEAD) & ~3


def searching(there: Path, back: Path, most: int) -> Simulator:
    """Both ends look for what their way carries; the first hop of each carries `most`."""
    simulator = Simulator(there, back)
    simulator.connect()
    for end in (simulator.a, simulator.b):
        end.association.search_packet_size(room(most), OVERHEAD, simulator.now)
        simulator.touch(end)
    return simulator


def sizes(simulator: Simulator) -> tuple[int, int]:
    a, b = simulator.a.association, simulator.b.association
    assert a.sender.packet == a.packet_size.size
    return a.packet_size.size, b.packet_size.size


def test_what_the_first_hop_carries_is_one_question_when_the_path_carries_it() -> None:
    simulator = searching(Path(), Path(), 1500)
    simulator.run(lambda: sizes(simulator) == (room(1500), room(1500)), limit=0.1)


@pytest.mark.parametrize("mtu", [1492, 1420, 1340])
def test_the_largest_common_size_below_is_found(mtu: int) -> None:
    simulator = searching(Path(mtu=mtu), Path(), 1500)
    simulator.run(lambda: sizes(simulator)[0] == room(mtu), limit=10)
    assert sizes(simulator)[1] == room(1500)


def test_jumbo_frames_on_one_hop_only() -> None:
    simulator = searching(Path(mtu=1500), Path(mtu=1500), 9000)
    simulator.run(lambda: sizes(simulator) == (room(1500), room(1500)), limit=3)


def test_a_path_that_carries_little_keeps_the_base() -> None:
    simulator = searching(Path(mtu=1280), Path(mtu=1280), 1500)
    Upload(simulator, simulator.a, MIB)
    simulator.run(lambda: simulator.b.received == MIB, limit=60)
    assert simulator.a.association.packet_size.large, "searching"
    simulator.run_for(30)
    assert sizes(simulator) == (PACKET, PACKET)
    assert not simulator.a.association.packet_size.large
    assert not simulator.a.reason


def test_loss_does_not_make_packets_small() -> None:
    lossy = Path(loss=0.2)
    simulator = searching(lossy, Path(loss=0.2), 1500)
    simulator.run(lambda: min(sizes(simulator)) > PACKET, limit=20)


def test_larger_sizes_are_tried_again_later() -> None:
    there = Path(mtu=1400)
    simulator = searching(there, Path(), 1500)
    simulator.run(lambda: sizes(simulator)[0] == room(1400), limit=10)
    there.mtu = None
    simulator.run(lambda: sizes(simulator)[0] == room(1500), limit=700)


def test_data_goes_in_large_packets() -> None:
    simulator = searching(Path(rate=100 * M), Path(rate=100 * M), 9000)
    simulator.run(lambda: min(sizes(simulator)) == room(9000), limit=1)
    before = simulator.packets
    Upload(simulator, simulator.a, 4 * MIB)
    simulator.run(lambda: simulator.b.received == 4 * MIB, limit=10)
    assert simulator.packets - before < 4 * MIB / 8000 * 1.5


def test_a_path_that_stops_carrying_large_packets_is_given_up_soon() -> None:
    """What is in flight cannot be cut smaller: its streams go on over a new association."""
    there = Path(rate=20 * M)
    simulator = searching(there, Path(rate=20 * M), 1500)
    simulator.run(lambda: min(sizes(simulator)) == room(1500), limit=1)
    Upload(simulator, simulator.a, 8 * MIB)
    simulator.run(lambda: simulator.b.received > MIB)
    there.mtu, begin = 1400, simulator.now
    simulator.run(lambda: bool(simulator.a.reason), limit=60)
    assert simulator.a.reason == ["unanswered"]
    assert simulator.now - begin < 5


@pytest.mark.parametrize("seconds", [0.9, 2.0, 3.7, 8.0])
def test_an_outage_is_not_taken_for_a_smaller_path(seconds: float) -> None:
    there, back = Path(rate=20 * M, loss=0.05), Path(rate=20 * M, loss=0.05)
    simulator = searching(there, back, 1500)
    simulator.run(lambda: min(sizes(simulator)) == room(1500), limit=20)
    Upload(simulator, simulator.a, 4 * MIB)
    simulator.run(lambda: simulator.b.received > MIB)
    there.cut = back.cut = (simulator.now, simulator.now + seconds)
    simulator.run(lambda: simulator.b.received == 4 * MIB, limit=60)
    assert not simulator.a.reason


def test_who_is_not_one_of_ours_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Init.parse

    def parse(packet: bytes, start: int, end: int) -> Init:
        init = real(packet, start, end)
        init.farsite = False
        return init

    monkeypatch.setattr(Init, "parse", parse)
    simulator = searching(Path(), Path(), 9000)
    simulator.run_for(5)
    assert sizes(simulator) == (PACKET, PACKET)


@pytest.mark.parametrize("searches", ["older", "newer", "both"])
def test_who_does_not_say_what_it_takes_gets_small_packets(searches: str) -> None:
    """The first ends of our kind handed records of more than 2 KiB on in pieces, and took these for broken packets."""
    simulator = Simulator(Path(), Path())
    simulator.b = End(simulator, Settings(largest_packet=0))
    older = simulator.b.association

    def in_pieces(packets: list[bytes], now: float) -> None:
        for packet in packets:
            for start in range(0, len(packet), 2048):
                older.receive(packet[start : start + 2048], now)

    simulator.b.arrive = in_pieces
    simulator.connect()
    for end, who in ((simulator.a, "newer"), (simulator.b, "older")):
        if searches in (who, "both"):
            end.association.search_packet_size(room(9000), OVERHEAD, simulator.now)
            simulator.touch(end)
    Upload(simulator, simulator.a, MIB)
    simulator.run(lambda: simulator.b.received == MIB, limit=30)
    assert sizes(simulator)[0] == PACKET
    assert not simulator.a.reason
    assert not simulator.b.reason


def test_no_packet_is_larger_than_the_peer_takes() -> None:
    simulator = Simulator(Path(), Path())
    simulator.b = End(simulator, Settings(largest_packet=2000))
    simulator.connect()
    for end in (simulator.a, simulator.b):
        end.association.search_packet_size(room(9000), OVERHEAD, simulator.now)
        simulator.touch(end)
    simulator.run(lambda: sizes(simulator) == (2000, room(9000)), limit=5)


def test_made_up_answers_change_nothing() -> None:
    simulator = searching(Path(mtu=1300), Path(), 1500)
    a = simulator.a.association
    for info in (b"", bytes(12), wire.parameter(1, b"guessed!")):
        a.receive(
            wire.seal(wire.header(5000, 5000, a._tag), wire.chunk(wire.HEARTBEAT_ACK, info)), simulator.now
        )
    assert sizes(simulator)[0] == PACKET
    assert a.established
