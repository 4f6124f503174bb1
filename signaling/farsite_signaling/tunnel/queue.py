"""A byte queue that neither copies large pieces nor keeps many small ones."""

from __future__ import annotations

from collections import deque

_SMALL = 2048
_TAIL = 16 * 1024

Chunk = bytes | memoryview


class ByteQueue:
    """First in, first out. Appending and taking a piece cost O(1).

    Small pieces are gathered: one-byte writes or frames must not cost an object each.
    """

    def __init__(self) -> None:
        self._chunks: deque[Chunk] = deque()
        self._tail = bytearray()
        self.size = 0

    def __len__(self) -> int:
        return self.size

    def append(self, data: bytes) -> None:
        size = len(data)
        self.size += size
        if size >= _SMALL:
            self._close_tail()
            self._chunks.append(data)
            return
        self._tail += data
        if len(self._tail) >= _TAIL:
            self._close_tail()

    def take(self, limit: int) -> bytes:
        """The next piece, at most `limit` bytes; empty when the queue is."""
        head = self._head()
        if len(head) <= limit:
            if head:
                self._chunks.popleft()
            self.size -= len(head)
            return head if type(head) is bytes else bytes(head)
        return bytes(self._split(limit))

    def take_parts(self, limit: int) -> list[Chunk]:
        """Pieces that together are as near to `limit` bytes as the queue allows."""
        parts: list[Chunk] = []
        while limit and self.size:
            head = self._head()
            if len(head) <= limit:
                self._chunks.popleft()
                self.size -= len(head)
            else:
                head = self._split(limit)
            parts.append(head)
            limit -= len(head)
        return parts

    def clear(self) -> None:
        self._chunks.clear()
        self._tail = bytearray()
        self.size = 0

    def _head(self) -> Chunk:
        if not self._chunks:
            self._close_tail()
        return self._chunks[0] if self._chunks else b""

    def _split(self, limit: int) -> Chunk:
        view = memoryview(self._chunks[0])
        self._chunks[0] = view[limit:]
        self.size -= limit
        return view[:limit]

    def _close_tail(self) -> None:
        if self._tail:
            self._chunks.append(bytes(self._tail))
            self._tail.clear()
