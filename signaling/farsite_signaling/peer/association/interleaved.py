"""Fragments of interleaved messages to messages (RFC 8260 section 2): each names its message and its place in it.

A message is found by its stream and number, so a long one does not keep those of other streams waiting.
"""

from __future__ import annotations

from collections.abc import Callable

from farsite_signaling.peer.association.packets import FIRST, LAST, MASK, UNORDERED, WHOLE, MalformedError

_OVERHEAD = 64
"""Counted per piece kept, as in `reassembly`."""
_MESSAGE_OVERHEAD = 400

Deliver = Callable[[int, int, bytes], None]


class _Message:
    __slots__ = ("cost", "pieces", "protocol", "size", "total")

    def __init__(self) -> None:
        self.pieces: dict[int, bytes] = {}
        self.cost = 0
        self.protocol = 0
        self.size = 0
        self.total: int | None = None
        """How many fragments it has, once the last one has come."""

    @property
    def whole(self) -> bool:
        return len(self.pieces) == self.total

    def join(self) -> bytes:
        """Raises `MalformedError`."""
        pieces = self.pieces
        try:
            return b"".join([pieces[place] for place in range(len(pieces))])
        except KeyError:
            raise MalformedError("a fragment after the last one") from None


class _Stream:
    __slots__ = ("expected", "ordered", "unordered")

    def __init__(self) -> None:
        self.expected = 0
        self.ordered: dict[int, _Message] = {}
        self.unordered: dict[int, _Message] = {}


class Interleaved:
    """Does for I-DATA what `Reassembly` does for DATA."""

    def __init__(self, deliver: Deliver, max_message: int, max_streams: int) -> None:
        self._deliver = deliver
        self._max_message = max_message
        self._max_streams = max_streams
        self._streams: dict[int, _Stream] = {}
        self.held = 0
        """Bytes kept, with what keeping them costs."""

    def add(self, flags: int, number: int, message: int, field: int, data: bytes) -> None:
        """`field`: the payload protocol in a first fragment, the fragment's place in others. Raises `MalformedError`."""
        stream = self._streams.get(number)
        if stream is None:
            stream = self._open(number)
        if flags & (WHOLE | UNORDERED) == WHOLE and message == stream.expected and not stream.ordered:
            stream.expected = (message + 1) & MASK
            self._deliver(number, field, data)
            return
        kept = stream.unordered if flags & UNORDERED else stream.ordered
        if kept is stream.ordered and (message - stream.expected) & MASK > MASK // 2:
            raise MalformedError("two messages with one number")
        found = kept.get(message)
        if found is None:
            found = kept[message] = _Message()
            self._cost(found, _MESSAGE_OVERHEAD)
        self._keep(found, flags, field, data)
        if found.whole:
            self._complete(number, stream, message, flags)

    def add_middle(self, number: int, message: int, place: int, pieces: list[bytes]) -> None:
        """As `add`, for consecutive fragments that are neither first nor last."""
        stream = self._streams.get(number)
        found = stream.ordered.get(message) if stream is not None else None
        if found is None or found.total is not None:
            for count, piece in enumerate(pieces):
                self.add(0, number, message, (place + count) & MASK, piece)
            return
        known = len(found.pieces)
        found.pieces.update(zip(range(place, place + len(pieces)), pieces, strict=True))
        if len(found.pieces) != known + len(pieces) or place == 0:
            raise MalformedError("two fragments in one place")
        size = sum(map(len, pieces))
        found.size += size
        self._cost(found, size + _OVERHEAD * len(pieces))
        if found.size > self._max_message:
            raise MalformedError(f"a message of more than {self._max_message} bytes")

    def _open(self, number: int) -> _Stream:
        if len(self._streams) >= self._max_streams:
            raise MalformedError(f"more than {self._max_streams} streams")
        stream = self._streams[number] = _Stream()
        return stream

    def _keep(self, message: _Message, flags: int, field: int, data: bytes) -> None:
        place = 0 if flags & FIRST else field
        if flags & FIRST:
            message.protocol = field
        if place in message.pieces or (place == 0 and not flags & FIRST):
            raise MalformedError("two fragments in one place")
        message.pieces[place] = data
        message.size += len(data)
        self._cost(message, len(data) + _OVERHEAD)
        if flags & LAST:
            message.total = place + 1
        total = message.total
        if total is not None and (place >= total or len(message.pieces) > total):
            raise MalformedError("a fragment after the last one")
        if message.size > self._max_message:
            raise MalformedError(f"a message of more than {self._max_message} bytes")

    def _complete(self, number: int, stream: _Stream, message: int, flags: int) -> None:
        if flags & UNORDERED:
            self._hand_over(number, stream.unordered, message)
            return
        while (ready := stream.ordered.get(stream.expected)) is not None and ready.whole:
            due, stream.expected = stream.expected, (stream.expected + 1) & MASK
            self._hand_over(number, stream.ordered, due)

    def _hand_over(self, number: int, kept: dict[int, _Message], key: int) -> None:
        message = kept.pop(key)
        self.held -= message.cost
        self._deliver(number, message.protocol, message.join())

    def _cost(self, message: _Message, size: int) -> None:
        message.cost += size
        self.held += size

    def reset(self, number: int) -> None:
        """The peer begins this stream anew; everything sent on it before has come."""
        stream = self._streams.pop(number, None)
        if stream is None:
            return
        for kept in (stream.ordered, stream.unordered):
            for message in kept.values():
                self.held -= message.cost
