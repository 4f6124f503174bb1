"""N13: one reader that stops costs its window and nobody's throughput: tunnel and association over a simulated link."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from farsite_signaling.peer.association.testing import End as LinkEnd
from farsite_signaling.peer.association.testing import Path, Simulator
from farsite_signaling.peer.link import HIGH_WATER
from farsite_signaling.tunnel.events import StreamRequested
from farsite_signaling.tunnel.frames import CONTROL_LABEL, STREAM_LABEL
from farsite_signaling.tunnel.session import Session
from farsite_signaling.tunnel.stream import Stream
from farsite_signaling.wire.stream import ApiTarget, OpenRequest, Priority

KIB = 1024
MIB = 1024 * KIB
EACH = 6 * MIB
FAST = 3


class TunnelEnd:
    """One side's core on its association."""

    def __init__(self, simulator: Simulator, link: LinkEnd, *, initiator: bool) -> None:
        self.core = Session(initiator=initiator, now=simulator.now)
        self.streams: list[Stream] = []
        self.got = 0
        self.stalled: Stream | None = None
        self._simulator = simulator
        self._link = link
        self._channel = -2 if initiator else -1
        link.opened = self.core.channel_opened  # type: ignore[method-assign]
        link.closed = lambda channel: self.core.channel_closed(channel, simulator.now)  # type: ignore[method-assign]
        link.on_message = self._received
        link.on_drained = self.pump

    def open_channel(self, label: str) -> int:
        self._channel += 2
        self._link.association.channels.open(self._channel, label)
        return self._channel

    def open(self) -> Stream:
        stream = self.core.open(OpenRequest(target=ApiTarget(), priority=Priority.BULK))
        self.core.bind(stream, self.open_channel(STREAM_LABEL))
        return stream

    def pump(self) -> None:
        association = self._link.association
        while association.queued < HIGH_WATER and (outgoing := self.core.next_message()):
            channel, message = outgoing
            assert message is not None, "no stream ends here"
            association.channels.send(channel, message)

    def _received(self, channel: int, message: bytes) -> None:
        self.core.message_received(channel, message, self._simulator.now)
        while event := self.core.next_event():
            if isinstance(event, StreamRequested):
                event.stream.accept()
                self.streams.append(event.stream)
        for stream in self.streams:
            if stream is not self.stalled:
                self.got += len(stream.read(1 << 30, self._simulator.now))
        self.pump()


@dataclass
class Outcome:
    """`seconds`: virtual, until all that is read has come. `held`: bytes for the reader that does not read."""

    seconds: float
    held: int
    window: int


def transfer(loss: float, *, slow: bool) -> Outcome:
    simulator = Simulator(*(Path(rate=50e6, delay=0.02, loss=loss) for _ in range(2)))
    simulator.connect()
    site, client = (
        TunnelEnd(simulator, link, initiator=first)
        for link, first in ((simulator.a, True), (simulator.b, False))
    )
    site.core.attach(site.open_channel(CONTROL_LABEL), simulator.now)
    client.core.attach(None, simulator.now)
    streams = [site.open() for _ in range(FAST + slow)]
    site.pump()
    simulator.touch(simulator.a)
    simulator.run(lambda: len(client.streams) == len(streams))
    client.stalled = client.streams[-1] if slow else None
    begin = simulator.now
    for stream in streams:
        stream.write(bytes(EACH))
    site.pump()
    simulator.touch(simulator.a)
    simulator.run(lambda: client.got == FAST * EACH, limit=120.0)
    stalled = client.stalled
    return Outcome(simulator.now - begin, stalled.unread if stalled else 0, stalled.window if stalled else 0)


@pytest.mark.parametrize("loss", [0.0, 0.01])
def test_one_stalled_stream_holds_its_window_and_the_others_keep_their_throughput(loss: float) -> None:
    without, beside = transfer(loss, slow=False), transfer(loss, slow=True)
    assert 0 < beside.held <= beside.window == 256 * KIB
    assert without.seconds / beside.seconds >= 0.8
