"""Lines and descriptors over a unix socket pair, without blocking: what main and a worker talk by."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable

from farsite_signaling.wire.errors import ErrorCode, FarsiteError

READ_SIZE = 64 * 1024
MOST_WAITING = 4 * 1024 * 1024
"""Bytes that may wait for the other side to read; more, and it is taken for dead."""
PACE = 1000
"""Lines taken from the other side in one `WINDOW`; more wait."""
WINDOW = 1.0

OnLine = Callable[[bytes], None]
OnEnd = Callable[[FarsiteError | None], None]


class ControlSocket:
    """`on_line` gets each line, without its end; `on_end` is called once, with what the other side did wrong, if so.

    `takes`: how many descriptors may wait to be taken; without any they are never received at all.
    `pace` lines a second are read at most: whoever says more is heard later, and nobody else waits for it.
    """

    def __init__(
        self,
        own: socket.socket,
        on_line: OnLine,
        on_end: OnEnd,
        *,
        longest: int,
        takes: int = 0,
        pace: int | None = None,
    ) -> None:
        own.setblocking(False)
        self._socket = own
        self._on_line = on_line
        self._on_end = on_end
        self._longest = longest
        self._takes = takes
        self._pace = pace
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._waiting: deque[tuple[bytes, int | None]] = deque()
        self._waiting_bytes = 0
        self._writing = False
        self._descriptors: deque[int] = deque()
        self._closed = False
        self._paused: asyncio.TimerHandle | None = None
        self._window = 0.0
        self._lines = 0

    def start(self) -> None:
        self._loop.add_reader(self._socket.fileno(), self._readable)

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Idempotent; at once. What waits is not sent."""
        if self._closed:
            return
        self._closed = True
        number = self._socket.fileno()
        self._loop.remove_reader(number)
        self._loop.remove_writer(number)
        if self._paused is not None:
            self._paused.cancel()
        self._drop_descriptors()
        self._socket.close()

    def _drop_descriptors(self) -> None:
        for _, descriptor in self._waiting:
            if descriptor is not None:
                os.close(descriptor)
        self._waiting.clear()
        while self._descriptors:
            os.close(self._descriptors.popleft())

    # Out

    def send(self, line: bytes, descriptor: int | None = None) -> None:
        """`line` with its end. The descriptor is ours to close from now on."""
        if self._closed:
            if descriptor is not None:
                os.close(descriptor)
            return
        self._waiting.append((line, descriptor))
        self._waiting_bytes += len(line)
        if self._waiting_bytes > MOST_WAITING:
            self._end(FarsiteError(ErrorCode.TIMEOUT, "The process does not read what it is told."))
        elif not self._writing:
            self._writable()

    def _writable(self) -> None:
        try:
            while self._waiting:
                if not self._write_one():
                    break
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._end(None)
            return
        self._watch_writing(bool(self._waiting))

    def _write_one(self) -> bool:
        """Whether the whole line went out."""
        line, descriptor = self._waiting[0]
        if descriptor is None:
            sent = self._socket.send(line)
        else:
            sent = socket.send_fds(self._socket, [line], [descriptor])
            os.close(descriptor)
        self._waiting_bytes -= sent
        if sent == len(line):
            self._waiting.popleft()
            return True
        self._waiting[0] = (line[sent:], None)
        return False

    def _watch_writing(self, wanted: bool) -> None:
        if wanted == self._writing or self._closed:
            return
        self._writing = wanted
        if wanted:
            self._loop.add_writer(self._socket.fileno(), self._writable)
        else:
            self._loop.remove_writer(self._socket.fileno())

    # In

    def take_descriptor(self) -> int:
        """The next one that came, in the order of the lines. Raises `protocol_error` when there is none."""
        if not self._descriptors:
            raise FarsiteError(ErrorCode.PROTOCOL_ERROR, "A descriptor is missing.")
        return self._descriptors.popleft()

    def _readable(self) -> None:
        try:
            data = self._receive()
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._end(None)
            return
        self._buffer += data
        self._deliver()

    def _receive(self) -> bytes:
        if not self._takes:
            return self._socket.recv(READ_SIZE)
        data, descriptors, _, _ = socket.recv_fds(self._socket, READ_SIZE, self._takes)
        self._descriptors.extend(descriptors)
        return data

    def _deliver(self) -> None:
        while not self._closed and (end := self._buffer.find(b"\n")) >= 0:
            if self._too_fast():
                return
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            if len(line) > self._longest:
                self._too_long()
                return
            self._on_line(line)
        if not self._closed and len(self._buffer) > self._longest:
            self._too_long()

    def _too_long(self) -> None:
        self._end(FarsiteError(ErrorCode.PROTOCOL_ERROR, "A line of the process is too long."))

    def _too_fast(self) -> bool:
        if self._pace is None:
            return False
        now = self._loop.time()
        if now - self._window >= WINDOW:
            self._window, self._lines = now, 0
        self._lines += 1
        if self._lines <= self._pace:
            return False
        self._pause(self._window + WINDOW - now)
        return True

    def _pause(self, seconds: float) -> None:
        if self._paused is None:
            self._loop.remove_reader(self._socket.fileno())
            self._paused = self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        self._paused = None
        if not self._closed:
            self._loop.add_reader(self._socket.fileno(), self._readable)
            self._deliver()

    def _end(self, error: FarsiteError | None) -> None:
        if not self._closed:
            self.close()
            self._on_end(error)
