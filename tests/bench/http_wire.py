"""An HTTP client that costs next to nothing, so that a bench measures the server.

HTTP/1.1 over connections that are kept, one request at a time on each. It knows what such a server answers: a status,
`Content-Length`, a body.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any
from urllib.parse import urlsplit

END = b"\r\n\r\n"
LENGTH = b"\r\ncontent-length:"


class Wire(asyncio.Protocol):
    """One connection. `ask` when it is not asked already."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._wanted: int | None = None
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: asyncio.Transport | None = None

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body. Raises `ConnectionError`."""
        assert self._transport is not None and self._waiting is None
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._waiting
        finally:
            self._waiting = None

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._wanted is None and (found := self._buffer.find(END)) >= 0:
            self._wanted = found + len(END) + _length(bytes(self._buffer[: found + 2]).lower())
        if self._wanted is not None and len(self._buffer) >= self._wanted:
            self._answered()

    def _answered(self) -> None:
        head, _, body = bytes(self._buffer).partition(END)
        self._buffer.clear()
        self._wanted = None
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result((int(head[9:12]), body))

    def connection_lost(self, error: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error or ConnectionResetError("the server closed the connection"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _length(head: bytes) -> int:
    """Of the body; an answer that does not say has none (204)."""
    _, found, rest = head.partition(LENGTH)
    return int(rest.split(b"\r", 1)[0]) if found else 0


class Wires:
    """As many connections as there are requests at once."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._prefix = parts.hostname, parts.port, parts.path
        lines = {"Host": parts.netloc, "Accept": "application/json", "Connection": "keep-alive"} | headers
        self._head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        # The one used last first: few are needed as long as the server keeps up.
        self._idle: deque[Wire] = deque()
        self.opened = 0

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        wire = await self._wire()
        answer = await wire.ask(self._request(method, path, body))
        self._idle.append(wire)
        return answer

    async def _wire(self) -> Wire:
        while self._idle:
            if (wire := self._idle.pop()).open:
                return wire
        self.opened += 1
        _, made = await asyncio.get_running_loop().create_connection(Wire, self._host, self._port)
        return made

    def _request(self, method: str, path: str, body: bytes) -> bytes:
        more = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        return f"{method} {self._prefix}{path} HTTP/1.1\r\n{self._head}{more}\r\n".encode() + body

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()
