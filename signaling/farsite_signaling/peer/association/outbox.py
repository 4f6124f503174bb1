"""Messages that wait to be sent, stream by stream in turns; a stream that was silent comes first, once.

Fragments of a message carry consecutive numbers, so a message once begun is finished before another one starts
(RFC 9260 section 6.9): turns change between messages.
"""

from __future__ import annotations

from collections import deque

from farsite_signaling.peer.association.packets import DATA_HEADER, FIRST, LAST, WHOLE, data_chunk

DCEP = 50
"""Payload protocol of the channels' own messages (RFC 8832), which do not count as queued."""
_QUANTUM = 16 * 1024
_SLIVER = 200
"""Rather leave this much of a packet empty than begin a message in it."""


class _Stream:
    __slots__ = ("deficit", "messages", "number", "ssn", "waiting")

    def __init__(self, number: int) -> None:
        self.number = number
        self.ssn = 0
        self.messages: deque[tuple[int, bytes]] = deque()
        self.waiting = False
        self.deficit = 0


class Outbox:
    def __init__(self) -> None:
        self._streams: dict[int, _Stream] = {}
        self._fresh: deque[_Stream] = deque()
        self._turns: deque[_Stream] = deque()
        self._current: _Stream | None = None
        self._protocol = 0
        self._message = b""
        self._position = 0
        self.queued = 0
        """Bytes of the application's messages not yet in a packet."""
        self.mark = 64 * 1024
        self.full = False
        """`queued` was above `mark` and nobody was told yet that it fell below."""

    def __bool__(self) -> bool:
        return self._current is not None or bool(self._fresh or self._turns)

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
        stream = self._current
        if stream is None:
            if room < DATA_HEADER + _SLIVER and not self._fits(room):
                return None
            stream = self._choose()
            if stream is None:
                return None
            self._current, self._position = stream, 0
            self._protocol, self._message = stream.messages[0]
        start = self._position
        size = room - DATA_HEADER
        left = len(self._message) - start
        if left <= size:
            flags = LAST if start else WHOLE
            piece, ssn = self._message[start:], stream.ssn
            self._finish(stream)
        elif size < _SLIVER:
            return None
        else:
            flags = 0 if start else FIRST
            self._position = end = start + size
            piece, ssn = self._message[start:end], stream.ssn
        if self._protocol != DCEP:
            self.queued -= len(piece)
        return data_chunk(flags, tsn, stream.number, ssn, self._protocol, piece)

    def _fits(self, room: int) -> bool:
        for line in (self._fresh, self._turns):
            if line:
                return len(line[0].messages[0][1]) + DATA_HEADER <= room
        return False

    def _choose(self) -> _Stream | None:
        """Deficit round robin (as fq_codel, RFC 8290 section 4.1): who spoke its share goes to the end."""
        while line := self._fresh or self._turns:
            stream = line[0]
            if stream.deficit > 0:
                stream.deficit -= len(stream.messages[0][1])
                return stream
            line.popleft()
            stream.deficit += _QUANTUM
            self._turns.append(stream)
        return None

    def _finish(self, stream: _Stream) -> None:
        stream.messages.popleft()
        stream.ssn = (stream.ssn + 1) & 0xFFFF
        self._current = None
        if stream.messages:
            return
        stream.waiting = False
        line = self._fresh if self._fresh and self._fresh[0] is stream else self._turns
        line.remove(stream)  # its head, unless a silent stream began to speak meanwhile

    def reset(self, number: int) -> None:
        """Numbers on this stream begin anew. Only when `has` is false."""
        self._streams.pop(number, None)
