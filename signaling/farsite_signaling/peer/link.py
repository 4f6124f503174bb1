"""What a tunnel stands on: reliable, ordered message channels to one peer.

`RtcLink` gives it over WebRTC data channels (RFC 8831); `peer.testing` over memory.
"""

from __future__ import annotations

from typing import Protocol

from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.path import Path

MAX_MESSAGE = 16 * 1024
"""Largest message a link carries, bytes."""

HIGH_WATER = 64 * 1024
"""Bytes queued below the tunnel's scheduler before it waits for `writable`."""


class LinkReceiver(Protocol):
    """Called by a link, never after `link_lost`. Must not raise."""

    def channel_opened(self, channel: int, label: str) -> None: ...

    def message_received(self, channel: int, message: bytes) -> None: ...

    def channel_closed(self, channel: int) -> None: ...

    def writable(self) -> None:
        """The queue fell below `HIGH_WATER` again."""

    def link_lost(self, error: FarsiteError | None) -> None:
        """Called once; `None` when our own side closed."""


class Link(Protocol):
    """Message channels to one peer. Channels opened by the two sides never share a number."""

    @property
    def path(self) -> Path: ...

    @property
    def reason(self) -> str:
        """Why this path and no shorter one, for people."""

    @property
    def local_address(self) -> str | None:
        """Our own address it goes out by; None when that is not known."""

    @property
    def buffered_amount(self) -> int:
        """Bytes accepted by `send` and not yet given to the network."""

    def start(self, receiver: LinkReceiver) -> None:
        """Deliver to `receiver` from now on, what came before first. A later receiver takes over."""

    def open_channel(self, label: str) -> int:
        """`label`: ASCII, at most 64 bytes. Usable at once."""

    def send(self, channel: int, message: bytes) -> None:
        """Queue one message of at most `MAX_MESSAGE` bytes. Sending on a closed channel is ignored."""

    def close_channel(self, channel: int) -> None: ...

    async def close(self) -> None:
        """Idempotent, bounded in time."""
