"""Links over memory, for tests of everything that rides on a tunnel. No sockets and no sleeps."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

from farsite_signaling.peer.link import HIGH_WATER, MAX_MESSAGE, LinkReceiver
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.path import Path

_Arrival = tuple[int, Callable[[LinkReceiver], None]]
"""Size in bytes, and what happens at the receiver."""


class MemoryLink:
    """One end of a pair; see `memory_links`."""

    def __init__(self, *, first_channel: int, steps: int, step_bytes: int, max_message: int) -> None:
        self.peer: MemoryLink = self
        self.sent: list[tuple[int, bytes]] | None = None
        """Set to a list to record what is sent."""
        self.path = Path.LAN
        self.reason = "in memory"
        self.local_address: str | None = None
        self.closed = False
        self._steps = max(1, steps)
        self._step_bytes = step_bytes
        self._max_message = max_message
        self._next_channel = first_channel
        self._channels: set[int] = set()
        self._receiver: LinkReceiver | None = None
        self._arriving: deque[_Arrival] = deque()
        self._scheduled = False
        self._silent = False
        self._held = False
        self._buffered = 0

    @property
    def buffered_amount(self) -> int:
        return self._buffered

    def start(self, receiver: LinkReceiver) -> None:
        self._receiver = receiver
        self._schedule()

    def open_channel(self, label: str) -> int:
        if not label.isascii() or len(label) > 64:
            raise ValueError(f"not a channel label: {label!r}")
        channel = self._next_channel
        self._next_channel += 2
        self._channels.add(channel)
        self.peer._channels.add(channel)
        self._transmit(0, lambda receiver: receiver.channel_opened(channel, label))
        return channel

    def send(self, channel: int, message: bytes) -> None:
        if len(message) > self._max_message:
            raise ValueError(f"message of {len(message)} bytes; at most {self._max_message}")
        if channel not in self._channels:
            return
        if self.sent is not None:
            self.sent.append((channel, message))
        self._transmit(len(message), lambda receiver: receiver.message_received(channel, message))

    def close_channel(self, channel: int) -> None:
        if channel in self._channels:
            self._channels.discard(channel)
            self._transmit(0, partial(self.peer._channel_closed, channel))

    async def close(self) -> None:
        self._end(None, FarsiteError(ErrorCode.PEER_UNREACHABLE, "The other side closed the link."))

    # --- for tests

    def cut(self, error: FarsiteError | None = None) -> None:
        """Both ends lose the link now; what is under way is lost."""
        error = error or FarsiteError(ErrorCode.PEER_UNREACHABLE, "The link was cut.")
        self._arriving.clear()
        self.peer._arriving.clear()
        self._end(error, error)

    def silence(self) -> None:
        """Drop everything from now on, both ways, telling nobody."""
        self._silent = self.peer._silent = True

    def hold(self) -> None:
        """Deliver nothing to this end until `release`."""
        self._held = True

    def release(self) -> None:
        self._held = False
        self._schedule()

    # --- inside

    def _transmit(self, size: int, happen: Callable[[LinkReceiver], None]) -> None:
        if self.closed or self._silent:
            return
        self._buffered += size
        self.peer._arriving.append((size, happen))
        self.peer._schedule()

    def _schedule(self) -> None:
        if self._arriving and not self._scheduled and self._receiver is not None and not self._held:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._step, self._steps)

    def _step(self, left: int) -> None:
        if left > 1:
            asyncio.get_running_loop().call_soon(self._step, left - 1)
            return
        self._scheduled = False
        room = self._step_bytes
        while self._arriving and room > 0 and not self._held:
            room -= self._deliver_one()
        self._schedule()

    def _deliver_one(self) -> int:
        size, happen = self._arriving.popleft()
        was_full = self.peer._buffered >= HIGH_WATER
        self.peer._buffered -= size
        if self._receiver is not None:
            happen(self._receiver)
        if was_full and self.peer._buffered < HIGH_WATER and self.peer._receiver is not None:
            self.peer._receiver.writable()
        return size

    def _channel_closed(self, channel: int, receiver: LinkReceiver) -> None:
        if channel in self._channels:
            self._channels.discard(channel)
            receiver.channel_closed(channel)

    def _end(self, ours: FarsiteError | None, theirs: FarsiteError) -> None:
        if self.closed:
            return
        self.closed = self.peer.closed = True
        loop = asyncio.get_running_loop()
        loop.call_soon(self._lose, ours)
        if not self._silent:
            # After what is still under way.
            self.peer._arriving.append((0, lambda _: self.peer._lose(theirs)))
            self.peer._schedule()

    def _lose(self, error: FarsiteError | None) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.link_lost(error)


def memory_links(
    *, steps: int = 1, step_bytes: int = 1 << 30, max_message: int = MAX_MESSAGE
) -> tuple[MemoryLink, MemoryLink]:
    """The initiator's end and the other one.

    What is sent arrives `steps` turns of the event loop later, at most about `step_bytes` a turn: latency and
    bandwidth without a clock.
    """
    first = MemoryLink(first_channel=0, steps=steps, step_bytes=step_bytes, max_message=max_message)
    second = MemoryLink(first_channel=1, steps=steps, step_bytes=step_bytes, max_message=max_message)
    first.peer, second.peer = second, first
    return first, second
