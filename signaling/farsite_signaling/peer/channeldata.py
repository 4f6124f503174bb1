"""TURN channel data (RFC 8656 section 12) several at a time, in the shape that datagrams of one length come and go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import pack, unpack_from

HEADER = 4
FIRST_BYTES = range(0x40, 0x50)


def wrap(channel: int, data: memoryview, segment: int, *, pad: bool) -> tuple[bytes, int]:
    """Segments of `data` each with its header, and the length of one; `pad` as streams need it (section 12.5)."""
    full = pack("!HH", channel, segment)
    padding = bytes(-segment % 4) if pad else b""
    parts: list[bytes | memoryview] = []
    for start in range(0, len(data), segment):
        piece = data[start : start + segment]
        last = len(piece) != segment
        parts += (pack("!HH", channel, len(piece)) if last else full, piece)
        if pad:
            parts.append(bytes(-len(piece) % 4) if last else padding)
    return b"".join(parts), HEADER + segment


def unwrap(messages: Iterable[memoryview]) -> Iterator[tuple[int, bytes, int]]:
    """Channel, payloads in one piece, and the length of one: runs of one channel and length, the last maybe shorter."""
    run: list[memoryview] = []
    channel = segment = 0
    for message in messages:
        number, size = unpack_from("!HH", message)
        payload = message[HEADER : HEADER + size]
        if run and (number != channel or size > segment):
            yield channel, b"".join(run), segment
            run = []
        if not run:
            channel, segment = number, size
        run.append(payload)
        if size < segment:
            yield channel, b"".join(run), segment
            run = []
    if run:
        yield channel, b"".join(run), segment


def pieces(data: memoryview, segment: int) -> Iterator[memoryview]:
    """Datagrams of one length with one message each; what is damaged is left out."""
    for start in range(0, len(data), segment):
        message = data[start : start + segment]
        if len(message) >= HEADER and len(message) - HEADER >= unpack_from("!H", message, 2)[0] > 0:
            yield message
