"""Packets that come together and carry consecutive middle fragments of one message: nearly all that bulk is made of.

Taken at once, they cost a fraction of what they cost one by one. Only packets without checksum (RFC 9653) that hold
one I-DATA chunk (RFC 8260) and nothing else are looked for; everything else goes the ordinary way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct, pack

from farsite_signaling.peer.association.packets import HEADER, I_DATA, I_DATA_HEADER, MASK

_BEGIN = HEADER + I_DATA_HEADER
_parts = Struct("!4x12sL8sL")
"""Tag, checksum, kind, flags and length; TSN; stream and message; place in the message."""


@dataclass(slots=True)
class Run:
    """`tsn` and `place` of the first one. `message`: its number."""

    tsn: int
    stream: int
    message: int
    place: int
    pieces: list[bytes]


def run(packets: Sequence[bytes], start: int, tag: int) -> Run | None:
    """The run of two or more packets that begins at `start`. `tag`: the one that packets to us carry."""
    first = packets[start]
    size = len(first)
    if size <= _BEGIN or size & 3 or start + 1 >= len(packets):
        return None
    head, tsn, whose, place = _parts.unpack_from(first)
    if head != pack("!L4xBBH", tag, I_DATA, 0, (size - HEADER) & 0xFFFF):
        return None
    pieces = [first[_BEGIN:]]
    for count in range(1, len(packets) - start):
        packet = packets[start + count]
        expected = (head, (tsn + count) & MASK, whose, (place + count) & MASK)
        if len(packet) != size or _parts.unpack_from(packet) != expected:
            break
        pieces.append(packet[_BEGIN:])
    if len(pieces) < 2:
        return None
    return Run(tsn, int.from_bytes(whose[:2]), int.from_bytes(whose[4:]), place, pieces)
