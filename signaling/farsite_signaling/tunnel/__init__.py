"""Byte streams with credit flow control and resumption, sans-I/O.

`Session` is one end of a tunnel, `Stream` one of its streams; `frames` is what they say.
"""

from farsite_signaling.tunnel.events import (
    Event,
    PeerLost,
    StreamAccepted,
    StreamDrained,
    StreamEnded,
    StreamEvent,
    StreamFlushed,
    StreamReadable,
    StreamRequested,
    TunnelEnded,
)
from farsite_signaling.tunnel.frames import CONTROL_LABEL, STREAM_LABEL
from farsite_signaling.tunnel.limits import Limits
from farsite_signaling.tunnel.session import Session
from farsite_signaling.tunnel.stream import Stream, StreamState

__all__ = [
    "CONTROL_LABEL",
    "STREAM_LABEL",
    "Event",
    "Limits",
    "PeerLost",
    "Session",
    "Stream",
    "StreamAccepted",
    "StreamDrained",
    "StreamEnded",
    "StreamEvent",
    "StreamFlushed",
    "StreamReadable",
    "StreamRequested",
    "StreamState",
    "TunnelEnded",
]
