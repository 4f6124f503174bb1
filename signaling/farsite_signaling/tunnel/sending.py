"""The sending half of a stream: what waits, what is under way, what may be sent."""

from __future__ import annotations

from collections import deque

from farsite_signaling.tunnel.frames import (
    DATA_HEADER_SIZE,
    MAX_PAYLOAD,
    Data,
    Fin,
    data_header,
)
from farsite_signaling.tunnel.queue import ByteQueue
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


def _error(detail: str) -> FarsiteError:
    return FarsiteError(ErrorCode.PROTOCOL_ERROR, detail)


class SendBuffer:
    """Keeps every frame until the peer's credit covers it, so that it can be sent again on a new link.

    Offsets count from the stream's first byte; FIN takes the position after the last one.
    """

    def __init__(self) -> None:
        self._waiting = ByteQueue()
        self._kept: deque[tuple[int, bytes]] = deque()  # (offset after the frame, frame)
        self._again: deque[bytes] = deque()
        self._end_wanted = False
        self._end_sent = False
        self.offset = 0
        self.acknowledged = 0
        self.limit = 0

    @property
    def waiting(self) -> int:
        """Bytes not yet sent for the first time."""
        return self._waiting.size

    @property
    def ended(self) -> bool:
        return self._end_wanted

    @property
    def flushed(self) -> bool:
        """FIN was handed out: nothing waits any more."""
        return self._end_sent

    @property
    def finished(self) -> bool:
        """The peer confirmed everything, FIN too."""
        return self._end_sent and self.acknowledged > self.offset

    @property
    def sendable(self) -> bool:
        if self._again:
            return True
        if self._waiting.size:
            return self.offset < self.limit
        return self._end_wanted and not self._end_sent

    def write(self, data: bytes) -> None:
        self._waiting.append(data)

    def end(self) -> None:
        self._end_wanted = True

    def next_frame(self) -> bytes:
        """The next DATA or FIN frame. Only when `sendable`."""
        if self._again:
            return self._again.popleft()
        if not self._waiting.size:
            self._end_sent = True
            return Fin(self.offset).encode()
        parts = self._waiting.take_parts(min(MAX_PAYLOAD, self.limit - self.offset))
        frame = b"".join((data_header(self.offset), *parts))
        self.offset += len(frame) - DATA_HEADER_SIZE
        self._kept.append((self.offset, frame))
        return frame

    def credit(self, received: int, limit: int) -> None:
        """Raises `FarsiteError` (`protocol_error`) for a credit that cannot be."""
        if not self.acknowledged <= received <= self.offset + self._end_sent:
            raise _error(f"Credit for offset {received}: {self.acknowledged} to {self.offset} were sent.")
        if limit < self.limit:
            raise _error(f"Credit lowered from {self.limit} to {limit}.")
        self.acknowledged = received
        self.limit = limit
        while self._kept and self._kept[0][0] <= received:
            self._kept.popleft()

    def resume(self, received: int, limit: int) -> None:
        """Send again, on a new link, all that the peer did not get. Raises as `credit` does."""
        self.credit(received, limit)
        self._again = deque(frame for _, frame in self._kept)
        if self._again:
            self._again[0] = _from(self._again[0], received)
        if self._end_sent and received <= self.offset:
            self._again.append(Fin(self.offset).encode())

    def suspend(self) -> None:
        """The link is gone: nothing is sent again before `resume` says from where."""
        self._again.clear()

    def clear(self) -> None:
        self._waiting.clear()
        self._kept.clear()
        self._again.clear()


def _from(frame: bytes, received: int) -> bytes:
    """The part of a DATA frame from `received` on: credit may end inside a frame."""
    offset = int.from_bytes(frame[1:DATA_HEADER_SIZE], "big")
    if offset >= received:
        return frame
    return Data(received, frame[DATA_HEADER_SIZE + received - offset :]).encode()
