"""What an association is told when it is made."""

from __future__ import annotations

from dataclasses import dataclass

PACKET = 1188
"""Largest SCTP packet: with DTLS, TURN, UDP and IPv6 headers it stays below 1280 bytes, the least IPv6 carries."""


@dataclass(frozen=True)
class Settings:
    """Sizes in bytes, times in seconds."""

    max_message: int = 16 * 1024
    """A peer that sends a larger message has broken the agreement."""
    high_water: int = 64 * 1024
    """Queued messages above this are told when they fall below it again."""
    window: int = 1024 * 1024
    """Received and not yet complete, at first."""
    max_window: int = 4 * 1024 * 1024
    max_streams: int = 4096
    """Incoming streams with something in them."""
    interleaving: bool = True
    """Whether messages are interleaved with a peer that can (RFC 8260)."""
    foreign_offer: int = 384 * 1024
    """Receive window that a peer which is not ours is told at first; it grows with what arrives in a round trip."""
    foreign_flight: int = 160 * 1024
    """In flight at most on top of what the path holds, towards a peer whose receive buffer is known to be small
    (stock aiortc: 256 KiB)."""
    largest_packet: int = 12_000
    """What the peer is told that packets may have at most; what is below hands over larger records in pieces, or none."""
    give_up: float = 20.0
    """Without any acknowledgement of what is in flight."""
    ack_delay: float = 0.02
