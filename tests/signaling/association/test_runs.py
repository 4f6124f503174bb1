"""Bulk is sent and received in runs of packets: what comes out is what single packets would give."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from farsite_signaling.peer.association import packets as wire
from farsite_signaling.peer.association.channels import BINARY
from farsite_signaling.peer.association.outbox import Outbox
from farsite_signaling.peer.association.runs import run
from farsite_signaling.peer.association.testing import Path, Simulator, Upload

TAG = 0xFEEDBEEF
BARE = wire.bare(wire.header(5000, 5000, TAG))
ROOM = 1200
PIECE = ROOM - wire.I_DATA_HEADER
MIB = 1024 * 1024


def middle(
    count: int, *, tsn: int = 7, stream: int = 2, message: int = 9, place: int = 1, size: int = PIECE
) -> list[bytes]:
    pieces = [memoryview(bytes([index]) * size) for index in range(count)]
    return wire.i_data_packets(BARE, tsn, stream, message, place, pieces)


def two_boxes(*messages: tuple[int, int]) -> tuple[Outbox, Outbox]:
    """Alike: streams and sizes of what waits in each."""
    boxes = Outbox(), Outbox()
    for box in boxes:
        box.interleave()
        for stream, size in messages:
            box.put(stream, BINARY, random.Random(size).randbytes(size))
    return boxes


def drain(box: Outbox, *, whole: bool, most: int = 5) -> list[bytes]:
    """All packets of it, one chunk in each."""
    packets: list[bytes] = []
    while box:
        taken = box.take_whole(ROOM, len(packets), most, BARE) if whole else []
        if not taken:
            chunk = box.take(ROOM, len(packets))
            assert chunk is not None
            taken = [BARE + chunk]
        packets += taken
    return packets


@pytest.mark.parametrize(
    "messages",
    [
        [(0, 16_384)],
        [(0, PIECE), (0, 3 * PIECE), (0, 3 * PIECE + 1), (0, 1)],
        [(0, 200_000), (2, 100_000), (4, 10)],
        [(0, 40_000), (2, 40_000), (0, 40_000), (2, 16_384)],
    ],
)
def test_what_is_taken_at_once_is_what_would_be_taken_one_by_one(messages: list[tuple[int, int]]) -> None:
    at_once, one_by_one = two_boxes(*messages)
    assert drain(at_once, whole=True) == drain(one_by_one, whole=False)
    assert at_once.queued == one_by_one.queued == 0


def test_a_run_is_found_and_ends_where_something_else_begins() -> None:
    found = run([*middle(3), *middle(2, message=10, tsn=10)], 0, TAG)
    assert found is not None
    assert (found.tsn, found.stream, found.message, found.place) == (7, 2, 9, 1)
    assert [bytes(piece) for piece in found.pieces] == [bytes([index]) * PIECE for index in range(3)]


def test_numbers_of_a_run_go_round() -> None:
    found = run(middle(3, tsn=wire.MASK), 0, TAG)
    assert found is not None
    assert len(found.pieces) == 3


@pytest.mark.parametrize(
    "packets",
    [
        middle(1),
        [middle(1)[0], middle(1, tsn=9, place=2)[0]],
        [middle(1)[0], middle(1, tsn=8, place=3)[0]],
        [middle(1)[0], middle(1, tsn=8, place=2, stream=4)[0]],
        [middle(1)[0], middle(1, tsn=8, place=2, size=PIECE - 4)[0]],
        [packet + wire.chunk(wire.HEARTBEAT_ACK) for packet in middle(2)],
        [wire.bare(wire.header(5000, 5000, TAG + 1)) + packet[12:] for packet in middle(2)],
        [wire.seal(wire.header(5000, 5000, TAG), packet[12:]) for packet in middle(2)],
        [BARE, BARE],
        [b"", b""],
    ],
    ids=["one", "gap", "place", "stream", "size", "more", "foreign", "checksum", "empty", "nothing"],
)
def test_what_is_no_run(packets: Sequence[bytes]) -> None:
    assert run(packets, 0, TAG) is None


class Victim:
    """Our end `b`; its peer sends it runs of its own making."""

    def __init__(self) -> None:
        self.simulator = Simulator(Path(), Path())
        self.simulator.connect()
        self.association = self.simulator.b.association
        assert self.association.received is not None
        self.tsn = self.association.received.cumulative + 1
        self.head = wire.bare(wire.header(5000, 5000, self.association._tag))

    def gets(self, packets: Sequence[bytes]) -> list[str | None]:
        """Their chunks, with its tag. Why it ended."""
        self.association.receive_all([self.head + packet[12:] for packet in packets], self.simulator.now)
        return self.simulator.b.reason

    def first(self, message: int = 0) -> list[bytes]:
        self.tsn += 1
        return [BARE + wire.i_data_chunk(wire.FIRST, self.tsn - 1, 2, message, BINARY, b"1234")]


def test_fragments_in_one_place_end_it() -> None:
    victim = Victim()
    victim.gets([*victim.first(), *middle(3, tsn=victim.tsn, message=0)])
    assert victim.gets(middle(3, tsn=victim.tsn + 3, message=0, place=3)) == ["two fragments in one place"]


def test_a_first_fragment_that_does_not_say_so_ends_it() -> None:
    victim = Victim()
    packets = [*victim.first(), *middle(3, tsn=victim.tsn, message=0, place=0)]
    assert victim.gets(packets) == ["two fragments in one place"]


def test_a_message_without_end_ends_it() -> None:
    victim = Victim()
    victim.gets(victim.first())
    count = victim.association._settings.max_message // PIECE + 1
    [reason] = victim.gets(middle(count % 256, tsn=victim.tsn, message=0))
    assert reason is not None
    assert reason.startswith("a message of more than")


def test_fragments_whose_first_one_never_came_are_kept_within_the_window() -> None:
    """As single packets are: nothing is delivered, and what is kept is counted."""
    victim = Victim()
    assert victim.gets(middle(5, tsn=victim.tsn, message=0)) == []
    assert victim.association.reassembly.held > 5 * PIECE


def test_packets_read_together_cost_one_acknowledgement() -> None:
    simulator = Simulator(Path(rate=100e6), Path(rate=100e6), gather=0.004)
    simulator.connect()
    begun = simulator.packets
    Upload(simulator, simulator.a, 4 * MIB)
    simulator.run(lambda: simulator.b.received == 4 * MIB)
    data = 4 * MIB / (simulator.a.association.sender.packet - wire.HEADER - wire.I_DATA_HEADER)
    assert simulator.packets - begun < 1.1 * data
