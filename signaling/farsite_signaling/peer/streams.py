"""The streams of one tunnel: opened here, accepted here, each an `asyncio.Transport`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from farsite_signaling.peer.stream import StreamTransport
from farsite_signaling.tunnel import (
    Stream,
    StreamAccepted,
    StreamDrained,
    StreamEnded,
    StreamEvent,
    StreamFlushed,
    StreamReadable,
    StreamRequested,
)
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.stream import OpenRequest

if TYPE_CHECKING:
    from farsite_signaling.peer.tunnel import Tunnel

_log = logging.getLogger(__name__)

OPEN_TIMEOUT = 20.0
"""Longer than `ACCEPT_TIMEOUT`, so that the other side's reason arrives first."""
ACCEPT_TIMEOUT = 15.0
MAX_ACCEPTING = 64

_READER_LIMIT = 64 * 1024

ProtocolFactory = Callable[[], asyncio.BaseProtocol]


class StreamAcceptor(Protocol):
    async def accept(self, tunnel: Tunnel, request: OpenRequest) -> ProtocolFactory:
        """Who serves the stream. Raises `FarsiteError` to refuse it: the opener gets its code and detail."""


@dataclass
class _Opening:
    factory: ProtocolFactory
    answer: asyncio.Future[StreamTransport]


class TunnelStreams:
    """`settle` has the tunnel send what may be sent; accepting runs in `group`."""

    def __init__(
        self,
        tunnel: Tunnel,
        acceptor: StreamAcceptor | None,
        *,
        settle: Callable[[], None],
        group: asyncio.TaskGroup,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._tunnel = tunnel
        self._acceptor = acceptor
        self._settle = settle
        self._group = group
        self._loop = loop
        self._accept_slots = asyncio.Semaphore(MAX_ACCEPTING)
        self._transports: dict[Stream, StreamTransport] = {}
        self._openings: dict[Stream, _Opening] = {}
        self._accepting: dict[Stream, asyncio.Task[None]] = {}

    def happened(self, event: StreamEvent, *, welcome: bool) -> None:
        """`welcome`: whether the other side may still open streams."""
        match event:
            case StreamReadable(stream):
                self._readable(stream)
            case StreamDrained(stream):
                self._drained(stream)
            case StreamFlushed(stream):
                self._flushed(stream)
            case StreamRequested(stream):
                self._requested(stream, welcome=welcome)
            case StreamAccepted(stream):
                self._accepted(stream)
            case StreamEnded(stream):
                self._ended(stream)

    # --- streams of ours

    def opening(self, stream: Stream, factory: ProtocolFactory) -> asyncio.Future[StreamTransport]:
        """`stream` was asked for; `factory` makes who uses it. The answer is for `answered`."""
        answer = self._loop.create_future()
        self._openings[stream] = _Opening(factory, answer)
        return answer

    async def answered(self, stream: Stream, answer: asyncio.Future[StreamTransport]) -> StreamTransport:
        """Raises `FarsiteError`: the other side's refusal, or `timeout`."""
        try:
            async with asyncio.timeout(OPEN_TIMEOUT):
                return await asyncio.shield(answer)
        except TimeoutError:
            self._give_up(stream, answer)
            raise FarsiteError(ErrorCode.TIMEOUT, "The other side did not answer the open request.") from None
        except asyncio.CancelledError:
            self._give_up(stream, answer)
            raise

    def _give_up(self, stream: Stream, answer: asyncio.Future[StreamTransport]) -> None:
        self._openings.pop(stream, None)
        if answer.done() and not answer.exception():
            answer.result().abort()
        stream.reset(FarsiteError(ErrorCode.CLOSED, "Nobody waits for the stream any more."))
        self._settle()

    def _accepted(self, stream: Stream) -> None:
        opening = self._openings.pop(stream, None)
        if opening is None:
            return
        try:
            opening.answer.set_result(self._connect(stream, opening.factory))
        except Exception as error:
            opening.answer.set_exception(error)
            stream.reset(FarsiteError(ErrorCode.CLOSED, "The opener failed."))

    # --- streams of the other side

    def _requested(self, stream: Stream, *, welcome: bool) -> None:
        if self._acceptor is None or not welcome:
            stream.reset(FarsiteError(ErrorCode.STREAM_REFUSED, "No streams are accepted here."))
            return
        name = f"tunnel-accept-{self._tunnel.session}-{stream.number}"
        task = self._group.create_task(self._accept(self._acceptor, stream), name=name)
        self._accepting[stream] = task

    async def _accept(self, acceptor: StreamAcceptor, stream: Stream) -> None:
        try:
            async with self._accept_slots, asyncio.timeout(ACCEPT_TIMEOUT):
                factory = await acceptor.accept(self._tunnel, stream.request)
            self._accepting.pop(stream, None)
            self._connect(stream, factory)
            stream.accept()
        except FarsiteError as error:
            self._refuse(stream, error)
        except TimeoutError:
            self._refuse(stream, FarsiteError(ErrorCode.TIMEOUT, "Opening the stream took too long."))
        except Exception:
            _log.exception("tunnel %s: accepting a stream failed", self._tunnel.session)
            failure = FarsiteError(ErrorCode.INTERNAL, "The other side could not open the stream.")
            self._refuse(stream, failure)
        self._settle()

    def _refuse(self, stream: Stream, error: FarsiteError) -> None:
        self._accepting.pop(stream, None)
        stream.reset(error)

    # --- streams of either

    def _readable(self, stream: Stream) -> None:
        if transport := self._transports.get(stream):
            transport.readable()

    def _drained(self, stream: Stream) -> None:
        if transport := self._transports.get(stream):
            transport.drained()

    def _flushed(self, stream: Stream) -> None:
        if transport := self._transports.get(stream):
            transport.flushed()

    def _ended(self, stream: Stream) -> None:
        if opening := self._openings.pop(stream, None):
            error = stream.error or FarsiteError(ErrorCode.CLOSED, "The stream ended before it was open.")
            opening.answer.set_exception(error)
        if task := self._accepting.pop(stream, None):
            task.cancel()
        if transport := self._transports.pop(stream, None):
            transport.ended()

    def _connect(self, stream: Stream, factory: ProtocolFactory) -> StreamTransport:
        transport = self._transport(stream)
        protocol = factory()
        if not stream.ended:
            self._transports[stream] = transport
        transport.connect(protocol)
        if stream.ended:
            transport.ended()
        return transport

    def _transport(self, stream: Stream) -> StreamTransport:
        extra: dict[str, Any] = {
            "tunnel": self._tunnel,
            "stream_target": stream.request.target,
            "peername": (self._tunnel.remote, stream.number),
            "sockname": (f"session {self._tunnel.session}", stream.number),
            "socket": None,
            "sslcontext": None,
            "ssl_object": None,
            "peercert": None,
        }
        return StreamTransport(stream, self._settle, extra, self._loop)


def new_reader() -> tuple[asyncio.StreamReader, asyncio.StreamReaderProtocol]:
    """For a stream that is read with `await` and not by a protocol."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_READER_LIMIT, loop=loop)
    return reader, asyncio.StreamReaderProtocol(reader, loop=loop)
