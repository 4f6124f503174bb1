"""A tunnel's stream as an asyncio transport: what aiohttp, TLS and plain TCP code ride on unaware.

    protocol (aiohttp RequestHandler, StreamReaderProtocol, SSLProtocol, …)
        | write, pause_reading          ^ data_received, pause_writing
    StreamTransport
        | Stream.write, Stream.read     ^ StreamReadable, StreamDrained
    Session (sans-I/O)

Writing: once more than the high-water mark waits for the link or for the peer's credit, the protocol is
paused. Reading: a paused protocol leaves bytes in the stream, which then gives the peer no more credit.
"""

from __future__ import annotations

import asyncio
from asyncio.constants import _SendfileMode
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from farsite_signaling.tunnel import Stream
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

_READ_SIZE = 64 * 1024

Buffer = bytes | bytearray | memoryview


class StreamResetError(FarsiteError, ConnectionResetError):
    """What `connection_lost` gets when the stream was reset: the other side's code and reason."""


class StreamTransport(asyncio.transports._FlowControlMixin, asyncio.Transport):
    """Made by `Tunnel`. `close` sends what waits, then ends; `abort` resets at once.

    The mix-in gives the write buffer limits; `loop.sendfile`, which aiohttp serves files with, insists on it.
    """

    if TYPE_CHECKING:  # of the mix-in, but not in its type stubs
        _protocol_paused: bool

        def _maybe_pause_protocol(self) -> None: ...

        def _maybe_resume_protocol(self) -> None: ...

    # `loop.sendfile` and `loop.start_tls` of asyncio ask for these before they use a transport.
    _sendfile_compatible = _SendfileMode.FALLBACK
    _start_tls_compatible = True

    def __init__(
        self,
        stream: Stream,
        settle: Callable[[], None],
        extra: Mapping[str, Any],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(dict(extra), loop)
        self._stream = stream
        self._settle = settle
        self._loop = loop
        self._protocol: asyncio.BaseProtocol = asyncio.Protocol()
        self._reading_paused = False
        self._delivering = False
        self._eof_given = False
        self._eof_written = False
        self._flushed = False
        self._closing = False
        self._lost = False
        self._failure: FarsiteError | None = None

    def __repr__(self) -> str:
        return f"<StreamTransport {self._stream.number} {self._stream.state}>"

    def connect(self, protocol: asyncio.BaseProtocol) -> None:
        """Called once by the tunnel, before anything is delivered."""
        self._protocol = protocol
        protocol.connection_made(self)

    # --- asyncio.Transport

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def is_closing(self) -> bool:
        return self._closing or self._lost

    def close(self) -> None:
        if self.is_closing():
            return
        self._closing = True
        self._stream.discard()
        self._stream.end()
        if self._flushed or self._stream.ended:
            self._lose(None)
        self._settle()

    def abort(self) -> None:
        if self._lost:
            return
        self._closing = True
        self._lose(None)
        self._stream.reset(FarsiteError(ErrorCode.CLOSED, "The other side aborted the stream."))
        self._settle()

    def is_reading(self) -> bool:
        return not self.is_closing() and not self._reading_paused

    def pause_reading(self) -> None:
        self._reading_paused = True

    def resume_reading(self) -> None:
        if self._reading_paused:
            self._reading_paused = False
            self._loop.call_soon(self.readable)

    def write(self, data: Buffer) -> None:
        self._check_write(data)
        if self.is_closing() or not data:
            return
        self._stream.write(data if type(data) is bytes else bytes(data))
        self._settle()
        self._check_high_water()

    def writelines(self, list_of_data: Iterable[Buffer]) -> None:
        for data in list_of_data:
            self._check_write(data)
            if not self.is_closing():
                self._stream.write(data if type(data) is bytes else bytes(data))
        self._settle()
        self._check_high_water()

    def write_eof(self) -> None:
        if self._eof_written or self.is_closing():
            return
        self._eof_written = True
        self._stream.end()
        self._settle()

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return self._stream.waiting

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        super().set_write_buffer_limits(high, low)
        self._await_drain()

    # --- the tunnel's side

    def readable(self) -> None:
        """Hand over what was received, unless the protocol paused."""
        if self._delivering:
            return
        self._delivering = True
        try:
            self._deliver()
        finally:
            self._delivering = False
        self._settle()

    def drained(self) -> None:
        self._maybe_resume_protocol()
        self._await_drain()

    def flushed(self) -> None:
        self._flushed = True
        if self._closing:
            self._lose(None)

    def ended(self) -> None:
        """The stream is over. What came before an orderly end is still delivered."""
        error = self._stream.error
        if error is None or self._closing:
            if self._closing:
                self._lose(None if error is None or self._flushed else _reset(error))
        elif self._stream.unread:
            self._failure = error
        else:
            self._lose(_reset(error))

    # --- inside

    @property
    def _may_deliver(self) -> bool:
        return not self._reading_paused and not self.is_closing()

    def _deliver(self) -> None:
        while self._may_deliver:
            data = self._stream.read(_READ_SIZE, self._loop.time())
            if not data:
                break
            self._call(self._feed, data)
        if self._may_deliver and self._stream.at_end and not self._eof_given:
            self._eof_given = True
            self._call(self._give_eof)
        if self._failure is not None and not self._stream.unread:
            self._lose(_reset(self._failure))

    def _feed(self, data: bytes) -> None:
        protocol = self._protocol
        if not isinstance(protocol, asyncio.BufferedProtocol):
            protocol.data_received(data)  # type: ignore[attr-defined]
            return
        rest = memoryview(data)
        while rest and self._protocol is protocol:
            buffer = memoryview(protocol.get_buffer(len(rest)))
            if not len(buffer):
                raise RuntimeError("get_buffer() returned an empty buffer")
            size = min(len(buffer), len(rest))
            buffer[:size] = rest[:size]
            rest = rest[size:]
            protocol.buffer_updated(size)

    def _give_eof(self) -> None:
        if not self._protocol.eof_received():  # type: ignore[attr-defined]
            self.close()

    def _check_write(self, data: Buffer) -> None:
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data must be bytes-like, not {type(data).__name__}")
        if self._eof_written:
            raise RuntimeError("Cannot call write() after write_eof()")

    def _check_high_water(self) -> None:
        if not self._lost:
            self._maybe_pause_protocol()
            self._await_drain()

    def _await_drain(self) -> None:
        if self._protocol_paused:
            self._stream.notify_below = self.get_write_buffer_limits()[0]

    def _call(self, callback: Callable[..., object], *args: object) -> None:
        """A protocol's mistake ends its stream, not the tunnel."""
        try:
            callback(*args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._break(error)

    def _break(self, error: BaseException) -> None:
        self._loop.call_exception_handler(
            {
                "message": "A protocol failed on a tunnel stream.",
                "exception": error,
                "transport": self,
                "protocol": self._protocol,
            }
        )
        self._closing = True
        self._lose(error)
        self._stream.reset(FarsiteError(ErrorCode.INTERNAL, "The other side failed on this stream."))

    def _lose(self, error: BaseException | None) -> None:
        if not self._lost:
            self._lost = True
            self._loop.call_soon(self._protocol_lost, error)

    def _protocol_lost(self, error: BaseException | None) -> None:
        self._protocol.connection_lost(error)  # type: ignore[arg-type]


def _reset(error: FarsiteError) -> StreamResetError:
    return StreamResetError(error.code, error.detail)
