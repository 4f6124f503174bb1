"""Two associations over a simulated path, in virtual time: nothing here sleeps or reads a clock."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from farsite_signaling.peer.association.association import Association
from farsite_signaling.peer.association.settings import Settings

OVERHEAD = 65
"""DTLS record, UDP and IPv4 around an SCTP packet, bytes."""


@dataclass
class Path:
    """One direction. Rate in bits per second, times in seconds, queue in bytes; `rate` 0 is without limit."""

    rate: float = 0.0
    delay: float = 0.02
    loss: float = 0.0
    jitter: float = 0.0
    duplicate: float = 0.0
    queue: int = 500_000
    burst: tuple[float, float] | None = None
    """Gilbert's model: the chance per packet to fall into a burst of loss, and to leave it."""
    cut: tuple[float, float] | None = None
    """From when to when nothing passes."""
    mtu: int | None = None
    """Larger packets vanish, with all headers counted."""
    free_at: float = 0.0
    bad: bool = False
    queued: list[tuple[float, float]] = field(default_factory=list)
    """When a packet came, and how long it waited."""

    def arrivals(self, size: int, now: float, chance: random.Random) -> list[float]:
        """When copies of a packet sent now arrive: none when it is lost."""
        if self.cut is not None and self.cut[0] <= now < self.cut[1]:
            return []
        if self.mtu is not None and size > self.mtu:
            return []
        at = now
        if self.rate:
            waits = max(0.0, self.free_at - now)
            if waits * self.rate / 8 + size > self.queue:
                return []
            self.queued.append((now, waits))
            self.free_at = max(now, self.free_at) + size * 8 / self.rate
            at = self.free_at
        if self.burst is not None:
            self.bad = chance.random() >= self.burst[1] if self.bad else chance.random() < self.burst[0]
            if self.bad:
                return []
        if chance.random() < self.loss:
            return []
        copies = 2 if chance.random() < self.duplicate else 1
        return [at + self.delay + chance.random() * self.jitter for _ in range(copies)]


class End:
    """One association and what it said."""

    def __init__(self, simulator: Simulator, settings: Settings | None) -> None:
        self._simulator = simulator
        self.association = Association(self, simulator.chance.randbytes, settings)
        self.said: list[tuple[object, ...]] = []
        self.received = 0
        self.on_message: Callable[[int, bytes], None] = lambda channel, data: None
        self.on_drained: Callable[[], None] = lambda: None
        self.reason: list[str | None] = []
        self.wakes_at: float | None = None
        self.arrive: Callable[[list[bytes], float], None] = self.association.receive_all
        self.arrived: list[bytes] = []

    def established(self) -> None:
        self.said.append(("established",))

    def opened(self, channel: int, label: str) -> None:
        self.said.append(("opened", channel, label))

    def acknowledged(self, channel: int) -> None:
        self.said.append(("acknowledged", channel))

    def message(self, channel: int, data: bytes) -> None:
        self.received += len(data)
        self.on_message(channel, data)

    def closed(self, channel: int) -> None:
        self.said.append(("closed", channel))

    def drained(self) -> None:
        self.on_drained()

    def ended(self, reason: str | None) -> None:
        self.reason.append(reason)

    def unanswered(self) -> None:
        self.reason.append("unanswered")


class Simulator:
    """`a` sends over `there`, `b` over `back`. Timers are as coarse as an event loop's.

    `gather`: packets are read this many seconds after the first of them came, all at once.
    """

    TICK = 0.001

    def __init__(
        self,
        there: Path,
        back: Path,
        *,
        seed: int = 1,
        settings: Settings | None = None,
        gather: float = 0.0,
    ) -> None:
        self.now = 1000.0
        self._gather = gather
        self.chance = random.Random(seed)  # noqa: S311 - must repeat
        self.there, self.back = there, back
        self.packets = 0
        self._count = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self.a, self.b = End(self, settings), End(self, settings)

    def start(self) -> None:
        self.a.association.start(self.now, parity=0)
        self.b.association.start(self.now, parity=1)
        self._flush(self.a)
        self._flush(self.b)

    def connect(self, limit: float = 30.0) -> None:
        self.start()
        end = self.now + limit
        self.run(
            lambda: self.now > end or (self.a.association.established and self.b.association.established)
        )

    def at(self, when: float, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, action))

    def run(self, until: Callable[[], bool], limit: float = 3600.0) -> None:
        """Raises `TimeoutError` when nothing more would happen, or `limit` seconds passed."""
        end = self.now + limit
        while not until():
            if not self._events or self._events[0][0] > end:
                raise TimeoutError(f"nothing more happens at {self.now:.3f}")
            when, _, action = heapq.heappop(self._events)
            self.now = max(self.now, when)
            action()

    def run_for(self, seconds: float) -> None:
        end = self.now + seconds
        self.at(end, lambda: None)
        self.run(lambda: self.now >= end, seconds + 1)

    def touch(self, end: End) -> None:
        """After the association was called from outside."""
        self._flush(end)

    def _flush(self, end: End) -> None:
        path = self.there if end is self.a else self.back
        other = self.b if end is self.a else self.a
        while packets := end.association.flush(self.now):
            for packet in packets:
                self.packets += 1
                for when in path.arrivals(len(packet) + OVERHEAD, self.now, self.chance):
                    self.at(when, lambda packet=packet: self._arrive(other, packet))  # type: ignore[misc]
        self._arm(end)

    def _arrive(self, end: End, packet: bytes) -> None:
        end.arrived.append(packet)
        if len(end.arrived) == 1 and self._gather:
            self.at(self.now + self._gather, lambda: self._read(end))
        elif not self._gather:
            self._read(end)

    def _read(self, end: End) -> None:
        packets, end.arrived = end.arrived, []
        end.arrive(packets, self.now)
        self._flush(end)

    def _arm(self, end: End) -> None:
        deadline = end.association.deadline(self.now)
        if deadline is None:
            end.wakes_at = None
            return
        when = max(deadline, self.now + self.TICK)
        if end.wakes_at is None or when < end.wakes_at:
            end.wakes_at = when
            self.at(when, lambda: self._wake(end, when))

    def _wake(self, end: End, when: float) -> None:
        if end.wakes_at == when:
            end.wakes_at = None
            end.association.expired(self.now)
            self._flush(end)


class Upload:
    """Sends `size` bytes on one channel as fast as they are taken, 64 KiB ahead at most."""

    def __init__(self, simulator: Simulator, sender: End, size: int, *, message: int = 16_384) -> None:
        self._simulator, self._sender = simulator, sender
        self.left = size
        self._message = message
        self._channel = 0 if sender is simulator.a else 1
        sender.association.channels.open(self._channel, "upload")
        sender.on_drained = self._fill
        self._fill()
        simulator.touch(sender)

    def _fill(self) -> None:
        association = self._sender.association
        while self.left and association.queued < 65_536:
            size = min(self._message, self.left)
            self.left -= size
            association.channels.send(self._channel, bytes(size))
