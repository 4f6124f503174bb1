"""Messages waiting to be sent on one connection, bounded in number and bytes."""

from __future__ import annotations


class Outbox:
    """Emptied by one writer, which runs only while there is something: most connections are idle nearly always."""

    __slots__ = ("_closed", "_messages", "_queue", "_queued", "_size")

    def __init__(self, messages: int, size: int) -> None:
        self._messages = messages
        self._size = size
        self._queue: list[str] = []
        self._queued = 0
        self._closed = False

    @property
    def queued_bytes(self) -> int:
        return self._queued

    @property
    def closed(self) -> bool:
        """Nothing is taken any more."""
        return self._closed

    def __bool__(self) -> bool:
        return bool(self._queue)

    def put(self, text: str) -> bool:
        """False when full or closed; the text is not queued then. Counts characters, which are ASCII mostly."""
        full = len(self._queue) >= self._messages or self._queued + len(text) > self._size
        if full or self._closed:
            return False
        self._append(text)
        return True

    def close(self, last: str | None = None) -> None:
        """Take nothing more. `last` is sent after all others, even when the queue is full."""
        if self._closed:
            return
        if last is not None:
            self._append(last)
        self._closed = True

    def take(self) -> str:
        """The oldest; there is one. The queue is short, so moving it up is cheaper than a deque for each connection."""
        text = self._queue.pop(0)
        self._queued -= len(text)
        return text

    def clear(self) -> None:
        self._queue.clear()
        self._queued = 0

    def _append(self, text: str) -> None:
        self._queue.append(text)
        self._queued += len(text)
