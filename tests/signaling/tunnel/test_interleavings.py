"""Random writes, reads, ends, resets, link cuts and hostile bytes, in random order, over two cores."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farsite_signaling.tunnel import Stream, StreamRequested, StreamState, TunnelEnded
from farsite_signaling.tunnel.frames import FrameType
from farsite_signaling.tunnel.testing import End, Pair
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.stream import Priority

RESET = FarsiteError(ErrorCode.CLOSED, "by the test")


@dataclass
class Way:
    """One direction of one stream: what was written and what came out."""

    sender: Stream
    reader: Stream | None = None
    written: bytearray = field(default_factory=bytearray)
    read: bytearray = field(default_factory=bytearray)
    ended: bool = False

    @property
    def writable(self) -> bool:
        return not self.ended and not self.sender.ended

    def end(self) -> None:
        self.ended = True
        self.sender.end()


class World:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.pair = Pair()
        self.ways: list[Way] = []
        self.by_number: dict[int, tuple[Way, Way | None]] = {}
        self.was_reset: set[int] = set()

    def open(self) -> None:
        end = self.random.choice((self.pair.a, self.pair.b))
        stream = end.open(self.random.choice(list(Priority)))
        way = Way(stream)
        self.ways.append(way)
        self.by_number[stream.number] = (way, None)

    def write(self) -> None:
        if ways := [way for way in self.ways if way.writable]:
            way = self.random.choice(ways)
            data = self.random.randbytes(self.random.choice((1, 10, 3000, 70_000, 400_000)))
            way.written += data
            way.sender.write(data)

    def end(self) -> None:
        if ways := [way for way in self.ways if way.writable]:
            self.random.choice(ways).end()

    def reset(self) -> None:
        if ways := [way for way in self.ways if not way.sender.ended]:
            stream = self.random.choice(ways).sender
            self.was_reset.add(stream.number)
            stream.reset(RESET)

    def read(self) -> None:
        if ways := [way for way in self.ways if way.reader is not None]:
            way = self.random.choice(ways)
            assert way.reader is not None
            way.read += way.reader.read(self.random.choice((1, 500, 100_000)), self.pair.now)

    def exchange(self) -> None:
        for end in (self.pair.a, self.pair.b):
            end.send(self.random.randrange(12))
            end.receive(self.pair.now, self.random, self.random.randrange(12))
        self.answer()

    def cut(self) -> None:
        self.pair.cut()
        if self.random.random() < 0.5:
            self.write()
            self.end()
        self.pair.attach()

    def tick(self) -> None:
        self.pair.advance(self.random.random(), step=0.3)
        self.answer()

    def answer(self) -> None:
        for end in (self.pair.a, self.pair.b):
            for event in end.take(StreamRequested):
                assert isinstance(event, StreamRequested)
                if not event.stream.ended:
                    self.accept(event.stream)

    def accept(self, stream: Stream) -> None:
        there, _ = self.by_number[stream.number]
        stream.accept()
        back = Way(stream, there.sender)
        there.reader = stream
        self.ways.append(back)
        self.by_number[stream.number] = (there, back)

    def finish(self) -> None:
        """End everything, read everything: all must come to rest."""
        self.pair.settle()
        self.answer()
        for _ in range(2000):
            self.pair.settle()
            self.answer()
            for way in self.ways:
                way.end()
            self.pair.settle()
            if not sum(self._drain(way) for way in self.ways):
                return
        raise AssertionError("it never comes to rest")

    def _drain(self, way: Way) -> int:
        if way.reader is None:
            return 0
        before = len(way.read)
        while data := way.reader.read(1 << 20, self.pair.now):
            way.read += data
        return len(way.read) - before

    def check(self) -> None:
        for way in self.ways:
            number = way.sender.number
            assert way.written[: len(way.read)] == way.read, f"stream {number} was garbled"
            if number not in self.was_reset:
                assert way.read == way.written
                assert way.sender.state is StreamState.CLOSED, way.sender.error
                assert way.reader is not None and way.reader.at_end
        assert self.pair.a.core.streams == self.pair.b.core.streams == 0


ACTS = ("open", "write", "end", "reset", "read", "exchange", "cut", "tick")
WEIGHTS = (2, 8, 1, 0.3, 8, 16, 1, 2)


@given(st.integers(0, 2**32), st.integers(5, 150))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_byte_arrives_once_and_in_order(seed: int, length: int) -> None:
    world = World(seed)
    world.open()
    for act in world.random.choices(ACTS, WEIGHTS, k=length):
        getattr(world, act)()
    world.pair.advance(11)
    world.finish()
    world.check()


def _hostile(end: End, chance: random.Random) -> bytes:
    kind = chance.choice([*FrameType, 0x33])
    return bytes([kind]) + chance.randbytes(chance.choice((0, 8, 12, 16, 20, 40)))


@given(st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_no_bytes_make_the_core_raise_or_grow(seed: int) -> None:
    chance = random.Random(seed)
    pair = Pair()
    ours, theirs = pair.stream()
    ours.write(bytes(100_000))
    pair.settle()
    victim = pair.b
    for _ in range(200):
        channel = chance.choice((2, 4, 1, chance.randrange(6, 60)))
        if chance.random() < 0.2:
            victim.core.channel_opened(channel, chance.choice(("s", "farsite/1", "x")))
        victim.core.message_received(channel, _hostile(victim, chance), pair.now)
        if chance.random() < 0.1:
            victim.core.channel_closed(channel, pair.now)
        if chance.random() < 0.05:
            pair.now += 1
            victim.core.tick(pair.now)
        victim.send(chance.randrange(4))
    ended = victim.take(TunnelEnded)
    assert len(ended) <= 1
    assert theirs.unread <= 256 * 1024
    assert len(victim.core._outbox) <= 8 * victim.core.limits.streams + 1
