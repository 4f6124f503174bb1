"""Messages that wait to be sent, stream by stream in turns; a stream that was silent comes first, once.

Fragments of a DATA message carry consecutive numbers, so a message once begun is finished before another one starts
(RFC 9260 section 6.9): turns change between messages. With I-DATA (RFC 8260) they change at any packet.
"""

from __future__ import annotations

from collections import deque

from farsite_signaling.peer.association.packets import (
    DATA_HEADER,
    FIRST,
    I_DATA_HEADER,
    LAST,
    WHOLE,
    data_chunk,
    i_data_chunk,
    i_data_packets,
)

DCEP = 50
"""Payload protocol of the channels' own messages (RFC 8832), which do not count as queued."""
_QUANTUM = 16 * 1024
_SLIVER = 200
"""Rather leave this much of a packet empty than begin a message in it."""


class _Stream:
    __slots__ = ("deficit", "fragment", "message", "messages", "number", "position", "waiting")

    def __init__(self, number: int) -> None:
        self.number = number
        self.message = 0
        """Number of the message at the head, which may have been begun: `fragment` comes next, from `position` on."""
        self.messages: deque[tuple[int, bytes]] = deque()
        self.position = 0
        self.fragment = 0
        self.waiting = False
        self.deficit = 0


class Outbox:
    def __init__(self) -> None:
        self._streams: dict[int, _Stream] = {}
        self._fresh: deque[_Stream] = deque()
        self._turns: deque[_Stream] = deque()
        self._begun: _Stream | None = None
        self._interleave = False
        self._header = DATA_HEADER
        self.queued = 0
        """Bytes of the application's messages not yet in a packet."""
        self.mark = 64 * 1024
        self.full = False
        """`queued` was above `mark` and nobody was told yet that it fell below."""

    def interleave(self) -> None:
        """The peer takes I-DATA (RFC 8260): turns change within messages. Before anything is taken."""
        self._interleave = True
        self._header = I_DATA_HEADER

    def __bool__(self) -> bool:
        return bool(self._fresh or self._turns)

    def put(self, number: int, protocol: int, message: bytes) -> None:
        """`message` is not empty."""
        stream = self._streams.get(number)
        if stream is None:
            stream = self._streams[number] = _Stream(number)
        stream.messages.append((protocol, message))
        if protocol != DCEP:
            self.queued += len(message)
            if self.queued >= self.mark:
                self.full = True
        if not stream.waiting:
            stream.waiting = True
            stream.deficit = _QUANTUM
            self._fresh.append(stream)

    def has(self, number: int) -> bool:
        stream = self._streams.get(number)
        return stream is not None and bool(stream.messages)

    def take(self, room: int, tsn: int) -> bytes | None:
        """The next chunk, of at most `room` bytes; `None` when nothing fits well."""
        stream = self._begun or self._choose()
        if stream is None:
            return None
        protocol, message = stream.messages[0]
        start, size = stream.position, room - self._header
        left = len(message) - start
        if left > size:
            if size < _SLIVER:
                return None
            flags = 0 if start else FIRST
            piece = message[start : start + size]
        else:
            flags = LAST if start else WHOLE
            piece = message[start:] if start else message
        chunk = self._chunk(stream, flags, tsn, protocol, piece)
        self._taken(stream, flags, len(piece))
        if protocol != DCEP:
            self.queued -= len(piece)
        return chunk

    def take_whole(self, room: int, tsn: int, most: int, head: bytes) -> list[bytes]:
        """Packets, `most` at most, that begin with `head` and go on with what `take` would give.

        Only chunks of `room` bytes from the middle of one message: nearly all that bulk is made of, for a fraction of
        the work. Often none: then it is `take`'s turn.
        """
        stream = self._choose() if self._interleave and not room & 3 else None
        if stream is None or not stream.position:
            return []
        protocol, message = stream.messages[0]
        start, size = stream.position, room - self._header
        count = min(most, (len(message) - start - 1) // size)
        if len(self._fresh) + len(self._turns) > 1:
            count = min(count, -(-stream.deficit // size))
        if count < 1 or protocol == DCEP:
            return []
        end = start + count * size
        view = memoryview(message)
        pieces = [view[at : at + size] for at in range(start, end, size)]
        packets = i_data_packets(head, tsn, stream.number, stream.message, stream.fragment, pieces)
        stream.deficit -= end - start
        stream.position = end
        stream.fragment += count
        self.queued -= end - start
        return packets

    def _chunk(self, stream: _Stream, flags: int, tsn: int, protocol: int, piece: bytes) -> bytes:
        if self._interleave:
            field = protocol if flags & FIRST else stream.fragment
            return i_data_chunk(flags, tsn, stream.number, stream.message, field, piece)
        return data_chunk(flags, tsn, stream.number, stream.message & 0xFFFF, protocol, piece)

    def _choose(self) -> _Stream | None:
        """Deficit round robin (as fq_codel, RFC 8290 section 4.1): who spoke its share goes to the end."""
        while line := self._fresh or self._turns:
            stream = line[0]
            if stream.deficit > 0:
                return stream
            line.popleft()
            stream.deficit += _QUANTUM
            self._turns.append(stream)
        return None

    def _taken(self, stream: _Stream, flags: int, size: int) -> None:
        stream.deficit -= size
        if not flags & LAST:
            stream.position += size
            stream.fragment += 1
            if not self._interleave:
                self._begun = stream
            return
        self._begun = None
        stream.position = stream.fragment = 0
        stream.message += 1
        stream.messages.popleft()
        if not stream.messages:
            self._leave(stream)

    def _leave(self, stream: _Stream) -> None:
        stream.waiting = False
        line = self._fresh if self._fresh and self._fresh[0] is stream else self._turns
        line.remove(stream)  # its head, unless a silent stream began to speak meanwhile

    def reset(self, number: int) -> None:
        """Numbers on this stream begin anew. Only when `has` is false."""
        self._streams.pop(number, None)
