"""Fragments to messages, per stream and in its order (RFC 9260 sections 6.5, 6.6 and 6.9).

Fragments of one message carry consecutive numbers. A run is a stretch of them that has come; runs that touch are
joined, the shorter into the longer, so that no order of arrival makes it slow.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from farsite_signaling.peer.association.packets import FIRST, LAST, UNORDERED, WHOLE, MalformedError

_OVERHEAD = 64
"""Counted per piece kept, so that many small ones cannot cost more memory than the window."""

Deliver = Callable[[int, int, bytes], None]
"""Stream, payload protocol, message."""


class _Run:
    __slots__ = ("begun", "end", "ended", "flags", "pieces", "protocol", "size", "ssn", "start")

    def __init__(self, tsn: int, flags: int, ssn: int, protocol: int, data: bytes) -> None:
        self.start = tsn
        self.end = tsn + 1
        self.begun = bool(flags & FIRST)
        self.ended = bool(flags & LAST)
        self.flags = flags
        self.ssn = ssn
        self.protocol = protocol
        self.pieces: deque[bytes] = deque((data,))
        self.size = len(data)


class _Stream:
    __slots__ = ("expected", "number", "ready", "tail")

    def __init__(self, number: int) -> None:
        self.number = number
        self.expected = 0
        self.tail: _Run | None = None
        self.ready: dict[int, tuple[int, bytes]] = {}


class Reassembly:
    def __init__(self, deliver: Deliver, max_message: int, max_streams: int) -> None:
        self._deliver = deliver
        self._max_message = max_message
        self._max_streams = max_streams
        self._streams: dict[int, _Stream] = {}
        self._starts: dict[int, _Run] = {}  # runs that are nobody's tail, by their first number
        self._ends: dict[int, _Run] = {}  # and by the number that would continue them
        self.held = 0
        """Bytes kept, with what keeping them costs."""

    def add(self, tsn: int, flags: int, number: int, ssn: int, protocol: int, data: bytes) -> None:
        """Each `tsn` once. Raises `MalformedError`."""
        stream = self._streams.get(number)
        if stream is None:
            stream = self._open(number)
        run = stream.tail
        if run is not None and run.end == tsn and not flags & FIRST:
            size = len(data)
            run.pieces.append(data)
            run.size += size
            run.end = tsn + 1
            self.held += size + _OVERHEAD
            if flags & LAST:
                run.ended = True
            elif run.size <= self._max_message and not self._starts:
                return
        elif flags & WHOLE == WHOLE:
            self._whole(stream, flags, ssn, protocol, data)
            return
        else:
            self.held += len(data) + _OVERHEAD
            run = self._elsewhere(stream, _Run(tsn, flags, ssn, protocol, data))
        if self._starts and run.end in self._starts and not run.ended:
            run = self._join(run, self._unpark(self._starts[run.end]))
            stream.tail = run
        self._check(stream, run)

    def _open(self, number: int) -> _Stream:
        if len(self._streams) >= self._max_streams:
            raise MalformedError(f"more than {self._max_streams} streams")
        stream = self._streams[number] = _Stream(number)
        return stream

    def _elsewhere(self, stream: _Stream, run: _Run) -> _Run:
        """Out of order, or a new message: the stream continues here from now on."""
        if stream.tail is not None:
            self._park(stream.tail)
        before = self._ends.get(run.start)
        if before is not None and not run.begun and not before.ended:
            run = self._join(self._unpark(before), run)
        stream.tail = run
        return run

    def _park(self, run: _Run) -> None:
        self._starts[run.start] = run
        self._ends[run.end] = run

    def _unpark(self, run: _Run) -> _Run:
        del self._starts[run.start]
        if self._ends.get(run.end) is run:
            del self._ends[run.end]
        return run

    def _join(self, left: _Run, right: _Run) -> _Run:
        if right.begun:  # the message before it never ended: two messages touch, nothing to join
            self._park(right)
            return left
        if len(left.pieces) >= len(right.pieces):
            left.pieces.extend(right.pieces)
        else:
            right.pieces.extendleft(reversed(left.pieces))
            left.pieces = right.pieces
        left.end = right.end
        left.ended = right.ended
        left.size += right.size
        return left

    def _check(self, stream: _Stream, run: _Run) -> None:
        if run.size > self._max_message:
            raise MalformedError(f"a message of more than {self._max_message} bytes")
        if run.begun and run.ended:
            stream.tail = None
            self.held -= run.size + _OVERHEAD * len(run.pieces)
            self._whole(stream, run.flags, run.ssn, run.protocol, b"".join(run.pieces))

    def _whole(self, stream: _Stream, flags: int, ssn: int, protocol: int, data: bytes) -> None:
        if flags & UNORDERED:
            self._deliver(stream.number, protocol, data)
        elif ssn == stream.expected:
            self._in_order(stream, protocol, data)
        elif ssn in stream.ready:
            raise MalformedError("two messages with one number")
        else:
            stream.ready[ssn] = (protocol, data)
            self.held += len(data) + _OVERHEAD

    def _in_order(self, stream: _Stream, protocol: int, data: bytes) -> None:
        stream.expected = (stream.expected + 1) & 0xFFFF
        self._deliver(stream.number, protocol, data)
        while stream.ready and stream.expected in stream.ready:
            protocol, data = stream.ready.pop(stream.expected)
            self.held -= len(data) + _OVERHEAD
            stream.expected = (stream.expected + 1) & 0xFFFF
            self._deliver(stream.number, protocol, data)

    def reset(self, number: int) -> None:
        """The peer begins this stream anew; everything sent on it before has come."""
        stream = self._streams.pop(number, None)
        if stream is None:
            return
        self.held -= sum(len(data) + _OVERHEAD for _, data in stream.ready.values())
        if stream.tail is not None:
            self.held -= stream.tail.size + _OVERHEAD * len(stream.tail.pieces)
