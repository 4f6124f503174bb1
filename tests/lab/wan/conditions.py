"""What a link does to packets, each direction by itself, and the five links that Farsite is held to."""

from __future__ import annotations

from dataclasses import dataclass, replace

MTU = 1500


@dataclass(frozen=True)
class Burst:
    """Loss in bursts (Gilbert–Elliott): chances per packet to enter and to leave the bad state, and loss within."""

    begin: float
    end: float
    loss: float = 1.0

    @property
    def mean(self) -> float:
        """Share of all packets that is lost."""
        return self.begin / (self.begin + self.end) * self.loss


@dataclass(frozen=True)
class Direction:
    """One way. `rate` counts IP packets whole; `None` where there is no limit.

    Jitter is uniform in ±`jitter_ms`, independent for each packet; without `reordering` nobody overtakes.
    `late`: share of packets that take `late_ms` more, so that those behind overtake them. The queue before the
    bottleneck drops what does not fit: `queue_bytes`, or `queue_ms` at `rate_mbit`.
    """

    rate_mbit: float | None = None
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    reordering: bool = False
    loss: float = 0.0
    burst: Burst | None = None
    queue_bytes: int | None = None
    queue_ms: float | None = None
    late: float = 0.0
    late_ms: float = 0.0
    duplicate: float = 0.0

    @property
    def queue(self) -> float:
        """Bytes; 0 without a limit."""
        if self.queue_ms is not None:
            assert self.rate_mbit is not None, "a queue in ms needs a rate"
            return self.queue_ms * self.rate_mbit * 1000 / 8
        return self.queue_bytes or 0

    def orders(self) -> str:
        """As the bridge reads them; every setting, so that none is left from before."""
        burst = self.burst or Burst(0, 0, 0)
        values = {
            "rate": (self.rate_mbit or 0) * 1e6,
            "queue": self.queue,
            "delay": self.delay_ms * 1e6,
            "jitter": self.jitter_ms * 1e6,
            "reordering": int(self.reordering),
            "late": self.late,
            "late_by": self.late_ms * 1e6,
            "duplicate": self.duplicate,
            "loss": self.loss,
            "bad_begin": burst.begin,
            "bad_end": burst.end,
            "bad_loss": burst.loss,
        }
        return " ".join(f"{key} {value!r}" for key, value in values.items())


@dataclass(frozen=True)
class Conditions:
    """`up` runs from left to right, where left is the site and right the client."""

    up: Direction
    down: Direction

    @classmethod
    def both(cls, direction: Direction) -> Conditions:
        return cls(direction, direction)


_W1 = Direction(rate_mbit=100, delay_ms=20, queue_bytes=500_000)
_W3 = Direction(rate_mbit=50, delay_ms=50, loss=0.01, queue_bytes=750_000)
_W4 = Direction(rate_mbit=20, delay_ms=150, jitter_ms=20, reordering=True, loss=0.02, queue_bytes=750_000)
# About 1 % is lost, five packets in a row on average.
_W5_UP = Direction(rate_mbit=8, delay_ms=30, burst=Burst(begin=0.002, end=0.2), queue_ms=500)

LINKS = {
    "W1": Conditions.both(_W1),
    "W2": Conditions.both(replace(_W1, loss=0.01)),
    "W3": Conditions.both(_W3),
    "W4": Conditions.both(_W4),
    "W5": Conditions(_W5_UP, replace(_W5_UP, rate_mbit=40)),
}
"""Fibre; the same with a bad radio hop; LTE; satellite; DSL whose uplink is the bottleneck."""
