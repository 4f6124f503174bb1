"""Messages waiting to be sent on one connection, bounded in number and bytes."""

from __future__ import annotations

import asyncio
from collections import deque


class Outbox:
    """One reader, any number of writers. Iterating ends after `close` once all that was queued is taken."""

    def __init__(self, messages: int, size: int) -> None:
        self._messages = messages
        self._size = size
        self._queue: deque[str] = deque()
        self._queued = 0
        self._closed = False
        self._wake = asyncio.Event()

    @property
    def queued_bytes(self) -> int:
        return self._queued

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
        self._wake.set()

    def clear(self) -> None:
        self._queue.clear()
        self._queued = 0

    def _append(self, text: str) -> None:
        self._queue.append(text)
        self._queued += len(text)
        self._wake.set()

    def __aiter__(self) -> Outbox:
        return self

    async def __anext__(self) -> str:
        while not self._queue:
            if self._closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        text = self._queue.popleft()
        self._queued -= len(text)
        return text
