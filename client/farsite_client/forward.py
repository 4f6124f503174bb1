"""A local TCP port whose connections become streams of a tunnel."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from farsite_client.guard import END, MAX_HEAD, check_head
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

logger = logging.getLogger(__name__)
CHUNK = 128 * 1024
HEAD_TIMEOUT = 20.0
# On, zero seconds: closing sends RST. Windows has two shorts, others two ints.
_LINGER = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
MAX_CONNECTIONS = 256
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
OpenStream = Callable[[], Awaitable[Streams]]


class LocalPort:
    """Listens on 127.0.0.1 inside `async with`; `port` is the one listened on.

    `guarded`: the first request of each connection must be HTTP for this very port (see `guard`), and what goes wrong is
    answered in HTTP. Unguarded ports carry any protocol; a connection that cannot be forwarded is closed.
    """

    def __init__(self, open_stream: OpenStream, *, port: int = 0, guarded: bool) -> None:
        self.port = port
        self.connections = 0
        self.last_error: FarsiteError | None = None
        self.last_error_at: datetime | None = None
        self._open_stream = open_stream
        self.guarded = guarded
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await self._listen()
        self.port = self._server.sockets[0].getsockname()[1]
        await self._group.__aenter__()
        return self

    async def _listen(self) -> asyncio.Server:
        try:
            return await asyncio.start_server(self._accepted, "127.0.0.1", self.port, limit=MAX_HEAD)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                raise FarsiteError(
                    ErrorCode.PORT_TAKEN,
                    f"Port {self.port} on 127.0.0.1 cannot be used: {error.strerror}. Choose another, or leave it "
                    "out for a free one.",
                ) from None
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(None, None, None)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= MAX_CONNECTIONS:
            reset(writer)
            return
        task = self._group.create_task(self._serve(reader, writer), name="local connection")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._forward(reader, writer)
        except FarsiteError as error:
            self.last_error, self.last_error_at = error, datetime.now(UTC)
            logger.info("local connection: %s", error)
            self._answer(writer, error)
        except (OSError, EOFError) as error:
            logger.info("local connection lost: %s", error)
        finally:
            self.connections -= 1
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await self._read_head(reader) if self.guarded else b""
        far_reader, far_writer = await self._open_stream()
        far_writer.write(head)
        await splice((reader, writer), (far_reader, far_writer))

    async def _read_head(self, reader: asyncio.StreamReader) -> bytes:
        try:
            async with asyncio.timeout(HEAD_TIMEOUT):
                head = await reader.readuntil(END)
        except TimeoutError:
            raise FarsiteError(ErrorCode.TIMEOUT, "No request came in time.") from None
        except asyncio.LimitOverrunError:
            raise FarsiteError(
                ErrorCode.INVALID_REQUEST, "The request is refused: its head is too long, or it is not HTTP."
            ) from None
        check_head(head, self.port)
        return head

    def _answer(self, writer: asyncio.StreamWriter, error: FarsiteError) -> None:
        if not self.guarded or writer.is_closing():
            reset(writer)
            return
        status = error.status if error.status in (400, 403, 404, 429) else 503
        body = f"farsite: {error}\n".encode()
        writer.write(
            f"HTTP/1.1 {status} Refused\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
            + body
        )


def reset(writer: asyncio.StreamWriter) -> None:
    """End a local connection so that its other end notices: a plain end would make half an answer look whole."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
    writer.transport.abort()


async def splice(near: Streams, far: Streams) -> None:
    """Copy both ways until both have ended; a half-close travels on, an error ends both sides at once."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_copy(near[0], far[1]), name="copy out")
            group.create_task(_copy(far[0], near[1]), name="copy in")
    except BaseException as error:
        reset(near[1])
        far[1].transport.abort()
        if isinstance(error, BaseExceptionGroup):
            raise _first(error) from None
        raise
    far[1].close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    picked: BaseException = group
    while isinstance(picked, BaseExceptionGroup):
        picked = picked.exceptions[0]
    return picked
