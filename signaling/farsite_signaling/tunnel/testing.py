"""For tests: two cores joined by a network that a test steps by hand, under a clock that a test moves."""

from __future__ import annotations

import random
from collections import deque

from farsite_signaling.tunnel.events import Event, StreamRequested
from farsite_signaling.tunnel.frames import CONTROL_LABEL, STREAM_LABEL
from farsite_signaling.tunnel.limits import Limits
from farsite_signaling.tunnel.session import Session
from farsite_signaling.tunnel.stream import Stream
from farsite_signaling.wire.stream import ApiTarget, OpenRequest, Priority


class End:
    """One core and what is on its way to it, per channel in order."""

    def __init__(self, *, initiator: bool, limits: Limits | None = None) -> None:
        self.core = Session(initiator=initiator, now=0.0, limits=limits)
        self.inbox: dict[int, deque[bytes | str | None]] = {}
        self.channel = 0 if initiator else 1
        self.events: list[Event] = []
        self.peer: End = self

    def open_channel(self, label: str) -> int:
        self.channel += 2
        self.peer.inbox.setdefault(self.channel, deque()).append(label)
        return self.channel

    def open(self, priority: Priority = Priority.INTERACTIVE) -> Stream:
        stream = self.core.open(OpenRequest(target=ApiTarget(), priority=priority))
        self.core.bind(stream, self.open_channel(STREAM_LABEL))
        return stream

    def send(self, count: int = 1 << 30) -> list[bytes]:
        """Take up to `count` messages out of the core and put them on their way."""
        sent: list[bytes] = []
        while len(sent) < count and (outgoing := self.core.next_message()):
            channel, message = outgoing
            self.peer.inbox.setdefault(channel, deque()).append(message)
            sent.append(message or b"")
        self._collect()
        return sent

    def receive(self, now: float, pick: random.Random | None = None, count: int = 1 << 30) -> int:
        """Deliver up to `count` of what arrived; channels in any order."""
        done = 0
        while done < count and (channels := [c for c, queue in self.inbox.items() if queue]):
            channel = pick.choice(channels) if pick else channels[0]
            self._deliver(channel, self.inbox[channel].popleft(), now)
            done += 1
        self._collect()
        return done

    def take(self, kind: type[Event]) -> list[Event]:
        self._collect()
        found = [event for event in self.events if isinstance(event, kind)]
        self.events = [event for event in self.events if not isinstance(event, kind)]
        return found

    def _deliver(self, channel: int, item: bytes | str | None, now: float) -> None:
        if isinstance(item, str):
            self.core.channel_opened(channel, item)
        elif item is None:
            self.core.channel_closed(channel, now)
        else:
            self.core.message_received(channel, item, now)

    def _collect(self) -> None:
        while event := self.core.next_event():
            self.events.append(event)


class Pair:
    def __init__(self, limits: Limits | None = None) -> None:
        self.now = 0.0
        self.a, self.b = End(initiator=True, limits=limits), End(initiator=False, limits=limits)
        self.a.peer, self.b.peer = self.b, self.a
        self.attach()

    def attach(self) -> None:
        for end in (self.a, self.b):
            control = end.open_channel(CONTROL_LABEL) if end is self.a else None
            for stream in end.core.attach(control, self.now):
                end.core.bind(stream, end.open_channel(STREAM_LABEL))

    def cut(self) -> None:
        for end in (self.a, self.b):
            end.inbox.clear()
            end.core.detach(self.now)

    def settle(self) -> None:
        """Exchange until nobody has anything to say."""
        for _ in range(10_000):
            moved = len(self.a.send()) + len(self.b.send())
            moved += self.a.receive(self.now) + self.b.receive(self.now)
            if not moved:
                return
        raise AssertionError("the two never stop talking")

    def advance(self, seconds: float, step: float = 0.5) -> None:
        """Let time pass with both ends alive."""
        until = self.now + seconds
        while self.now < until:
            self.now = min(until, self.now + step)
            self.a.core.tick(self.now)
            self.b.core.tick(self.now)
            self.settle()

    def stream(self, priority: Priority = Priority.INTERACTIVE) -> tuple[Stream, Stream]:
        """An accepted stream: the opener's end and the other."""
        ours = self.a.open(priority)
        self.settle()
        (event,) = self.b.take(StreamRequested)
        assert isinstance(event, StreamRequested)
        event.stream.accept()
        self.settle()
        return ours, event.stream


def read_all(stream: Stream, now: float = 0.0) -> bytes:
    parts = []
    while data := stream.read(1 << 30, now):
        parts.append(data)
    return b"".join(parts)
