"""SCTP packets and chunks (RFC 9260 section 3): bytes to values and back. Nothing here keeps state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from struct import Struct, error, pack, unpack_from

from google_crc32c import extend

DATA, INIT, INIT_ACK, SACK, HEARTBEAT, HEARTBEAT_ACK = 0, 1, 2, 3, 4, 5
ABORT, SHUTDOWN, SHUTDOWN_ACK, ERROR, COOKIE_ECHO, COOKIE_ACK, SHUTDOWN_COMPLETE = 6, 7, 8, 9, 10, 11, 14
RECONFIG = 130
PAD = 132
"""RFC 4820: passed over by whoever does not know it."""
I_DATA = 64
"""RFC 8260: DATA whose messages may be interleaved."""

LAST, FIRST, UNORDERED = 1, 2, 4
WHOLE = FIRST | LAST

STATE_COOKIE = 0x0007
ZERO_CHECKSUM = 0x8001
"""RFC 9653: DTLS below detects damage, so the checksum may be left out."""
EXTENSIONS = 0x8008
FARSITE = 0xBFA5
"""Private: skipped silently by others (RFC 9260 section 3.2.1). Says that acknowledgements may be rarer, and how large
packets may be."""
_DTLS = 1

HEADER = 12
CHUNK_HEADER = 4
DATA_HEADER = 16
I_DATA_HEADER = 20
MAX_PARAMETERS = 64
MASK = 0xFFFFFFFF
_HALF = 1 << 31

_chunk = Struct("!BBH")
_data = Struct("!BBHLHHL")
_i_data = Struct("!BBHLHHLL")
_i_data_packet = Struct("!12sBBHLHHLL")
_sack = Struct("!BBHLLHH")
_NO_CHECKSUM = b"\0\0\0\0"
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")


class MalformedError(Exception):
    """What a peer that keeps to the protocol does not send; the text says what, for people."""


def unwrap(number: int, near: int) -> int:
    """The full number of a 32-bit one: the closest to `near`, which is full already."""
    delta = (number - near) & MASK
    return near + (delta - (1 << 32) if delta >= _HALF else delta)


def header(source: int, destination: int, tag: int) -> bytes:
    """The first eight bytes; the checksum follows."""
    return pack("!HHL", source, destination, tag)


def seal(head: bytes, body: bytes) -> bytes:
    """`head` from `header`."""
    return b"".join((head, pack("<L", extend(extend(0, head + _NO_CHECKSUM), body)), body))


def bare(head: bytes) -> bytes:
    """What a packet without checksum begins with (RFC 9653)."""
    return head + _NO_CHECKSUM


def intact(packet: bytes) -> bool:
    found: int = extend(extend(extend(0, packet[:8]), _NO_CHECKSUM), packet[HEADER:])
    return found == int.from_bytes(packet[8:HEADER], "little")


def chunks(packet: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Type, flags, and where the body starts and ends. Raises `MalformedError`."""
    position, size = HEADER, len(packet)
    while position + CHUNK_HEADER <= size:
        kind, flags, length = _chunk.unpack_from(packet, position)
        end = position + length
        if length < CHUNK_HEADER or end > size:
            raise MalformedError(f"a chunk of {length} bytes")
        yield kind, flags, position + CHUNK_HEADER, end
        position = (end + 3) & ~3


def chunk(kind: int, body: bytes = b"", flags: int = 0) -> bytes:
    return _chunk.pack(kind, flags, CHUNK_HEADER + len(body)) + body + _PADDING[len(body) & 3]


def data_chunk(flags: int, tsn: int, stream: int, ssn: int, protocol: int, payload: bytes) -> bytes:
    size = len(payload)
    head = _data.pack(DATA, flags, DATA_HEADER + size, tsn & MASK, stream, ssn, protocol)
    if size & 3:
        return b"".join((head, payload, _PADDING[size & 3]))
    return head + payload


def i_data_chunk(flags: int, tsn: int, stream: int, message: int, field: int, payload: bytes) -> bytes:
    """`field`: the payload protocol in a first fragment, its place in others (RFC 8260 section 2.1)."""
    size = len(payload)
    head = _i_data.pack(I_DATA, flags, I_DATA_HEADER + size, tsn & MASK, stream, 0, message & MASK, field)
    if size & 3:
        return b"".join((head, payload, _PADDING[size & 3]))
    return head + payload


def i_data_packets(
    head: bytes, tsn: int, stream: int, message: int, place: int, pieces: Sequence[memoryview]
) -> list[bytes]:
    """Packets, each with one of consecutive middle fragments of one length, a multiple of four.

    `tsn` and `place` are the first one's. `head`: from `bare`.
    """
    size = I_DATA_HEADER + len(pieces[0])
    begin = _i_data_packet.pack
    return [
        begin(head, I_DATA, 0, size, (tsn + count) & MASK, stream, 0, message & MASK, place + count) + piece
        for count, piece in enumerate(pieces)
    ]


def sack_chunk(cumulative: int, window: int, gaps: list[int], duplicates: list[int]) -> bytes:
    """`gaps`: first and last of each block in turn, relative to `cumulative`."""
    size = 16 + 2 * len(gaps) + 4 * len(duplicates)
    body = _sack.pack(SACK, 0, size, cumulative & MASK, window, len(gaps) // 2, len(duplicates))
    if gaps:
        body += pack(f"!{len(gaps)}H", *gaps)
    if duplicates:
        body += pack(f"!{len(duplicates)}L", *[number & MASK for number in duplicates])
    return body


@dataclass
class Sack:
    cumulative: int
    window: int
    gaps: tuple[int, ...]
    duplicates: tuple[int, ...]


def parse_sack(packet: bytes, start: int, end: int) -> Sack:
    """Raises `MalformedError`."""
    if end - start < 12:
        raise MalformedError("a short acknowledgement")
    cumulative, window, gaps, duplicates = unpack_from("!LLHH", packet, start)
    if 12 + 4 * (gaps + duplicates) > end - start:
        raise MalformedError("an acknowledgement shorter than its lists")
    listed = unpack_from(f"!{2 * gaps}H", packet, start + 12) if gaps else ()
    twice = unpack_from(f"!{duplicates}L", packet, start + 12 + 4 * gaps) if duplicates else ()
    return Sack(cumulative, window, listed, twice)


def parameters(packet: bytes, start: int, end: int) -> list[tuple[int, bytes]]:
    """Type and value. Raises `MalformedError`."""
    found: list[tuple[int, bytes]] = []
    while start + 4 <= end:
        kind, length = unpack_from("!HH", packet, start)
        if length < 4 or start + length > end or len(found) == MAX_PARAMETERS:
            raise MalformedError("a parameter of wrong length")
        found.append((kind, packet[start + 4 : start + length]))
        start += (length + 3) & ~3
    return found


def parameter(kind: int, value: bytes) -> bytes:
    return pack("!HH", kind, 4 + len(value)) + value + _PADDING[len(value) & 3]


@dataclass
class Init:
    """INIT and INIT ACK alike (RFC 9260 sections 3.3.2 and 3.3.3)."""

    tag: int
    window: int
    outbound: int
    inbound: int
    tsn: int
    extensions: bytes = b""
    cookie: bytes | None = None
    zero_checksum: bool = False
    farsite: bool = False
    largest: int = 0
    """Of one of ours: the largest packet it takes, bytes; 0 when it does not say."""
    known: dict[int, bytes] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, packet: bytes, start: int, end: int) -> Init:
        """Raises `MalformedError`."""
        try:
            init = cls(*unpack_from("!LLHHL", packet, start))
        except error:
            raise MalformedError("a short INIT") from None
        known = dict(parameters(packet, start + 16, end))
        if init.tag == 0 or init.outbound == 0 or init.inbound == 0:
            raise MalformedError("an INIT without tag or streams")
        init.known = known
        init.extensions = known.get(EXTENSIONS, b"")
        init.cookie = known.get(STATE_COOKIE)
        init.zero_checksum = known.get(ZERO_CHECKSUM) == pack("!L", _DTLS)
        ours = known.get(FARSITE)
        init.farsite = ours is not None
        init.largest = unpack_from("!H", ours, 1)[0] if ours is not None and len(ours) >= 3 else 0
        return init

    def body(self) -> bytes:
        fixed = pack("!LLHHL", self.tag, self.window, self.outbound, self.inbound, self.tsn & MASK)
        rest = parameter(EXTENSIONS, self.extensions) + parameter(ZERO_CHECKSUM, pack("!L", _DTLS))
        rest += parameter(FARSITE, b"1" + (pack("!H", self.largest) if self.largest else b""))
        if self.cookie is not None:
            rest += parameter(STATE_COOKIE, self.cookie)
        return fixed + rest
