"""What one tunnel may cost: streams, memory, silence."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes, times in seconds."""

    streams: int = 1024
    """Live streams each side may have opened."""

    initial_credit: int = 256 * KIB
    max_credit: int = 4 * MIB
    min_credit: int = 16 * KIB
    """First credit of a stream once the receive budget is used up."""

    receive_budget: int = 64 * MIB
    """Sum of all credits given, above `min_credit` for each stream: the most a peer can make us hold."""

    interactive_backlog: int = 32 * KIB
    """A stream with more than this waiting counts as bulk until it has nothing waiting."""

    ping_interval: float = 2.0
    silence: float = 6.0
    """A peer not heard of for this long is dead."""

    first_contact: float = 15.0
    """The same, before anything was ever heard on a link."""

    linger: float = 5.0
    """How long the other side may take to end a stream that we have closed, or to close its channel."""

    resume: float = 10.0
    """How long the peer may take to resume the streams it opened, on a new link."""
