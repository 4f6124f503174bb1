"""What the core tells its shell."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from farsite_signaling.wire.errors import FarsiteError

if TYPE_CHECKING:
    from farsite_signaling.tunnel.stream import Stream


class StreamRequested(NamedTuple):
    """The peer opens a stream: answer with `Session.accept` or `Session.reset`."""

    stream: Stream


class StreamAccepted(NamedTuple):
    """A stream that we opened is open."""

    stream: Stream


class StreamReadable(NamedTuple):
    """There is something to read, or the end. Not said again before all was read."""

    stream: Stream


class StreamDrained(NamedTuple):
    """Not more than `Stream.notify_below` bytes wait any more."""

    stream: Stream


class StreamFlushed(NamedTuple):
    """All that was written, and the end, went to the link."""

    stream: Stream


class StreamEnded(NamedTuple):
    """Last event of a stream. `Stream.error` is None when both directions ended in order."""

    stream: Stream


class PeerLost(NamedTuple):
    """The link leads nowhere any more: `Session.detach` and wait for another, or `Session.fail`."""

    error: FarsiteError


class TunnelEnded(NamedTuple):
    """Last event of a tunnel; `error` has code `closed` when the peer closed in order."""

    error: FarsiteError


StreamEvent = StreamRequested | StreamAccepted | StreamReadable | StreamDrained | StreamFlushed | StreamEnded
Event = StreamEvent | PeerLost | TunnelEnded
