"""A tunnel to one peer over a link: opens and accepts streams, watches the peer, moves to another link.

The protocol is `farsite_signaling.tunnel.Session`; this is its asyncio shell.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from farsite_signaling.peer.link import HIGH_WATER, Link
from farsite_signaling.peer.stream import StreamTransport
from farsite_signaling.tunnel import (
    CONTROL_LABEL,
    STREAM_LABEL,
    Event,
    Limits,
    PeerLost,
    Session,
    Stream,
    StreamAccepted,
    StreamDrained,
    StreamEnded,
    StreamFlushed,
    StreamReadable,
    StreamRequested,
    TunnelEnded,
)
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.grant import Grant
from farsite_signaling.wire.path import Path, TunnelStatus
from farsite_signaling.wire.stream import OpenRequest, Priority, Target

_log = logging.getLogger(__name__)

OPEN_TIMEOUT = 20.0
"""Longer than `ACCEPT_TIMEOUT`, so that the other side's reason arrives first."""
ACCEPT_TIMEOUT = 15.0
MAX_ACCEPTING = 64
FLUSH_TIMEOUT = 2.0
GOODBYE_TIMEOUT = 1.0
LINK_CLOSE_TIMEOUT = 5.0
LINK_LINGER = 1.0
"""How long a link that still works stays after streams have left it: the other side may not have left it yet."""
PROBE_PATIENCE = 2.0
"""Seconds the peer may take to answer when there is reason to doubt the link."""
WAKE_GRACE = 30.0
"""After a sleep at least this much is left to find another link, seconds."""
KEEPER_PAUSE = 1.0
_STREAM_LIMIT = 64 * 1024

_Protocol = TypeVar("_Protocol", bound=asyncio.BaseProtocol)
ProtocolFactory = Callable[[], asyncio.BaseProtocol]


class StreamAcceptor(Protocol):
    async def accept(self, tunnel: Tunnel, request: OpenRequest) -> ProtocolFactory:
        """Who serves the stream. Raises `FarsiteError` to refuse it: the opener gets its code and detail."""


class Keeper(Protocol):
    """Finds further links for a tunnel; runs as long as the tunnel stands."""

    async def run(self, tunnel: Tunnel) -> None: ...


class TunnelState(StrEnum):
    NEW = "new"
    OPEN = "open"
    DETACHED = "detached"
    """The link is lost; another may be attached."""
    CLOSING = "closing"
    CLOSED = "closed"


@dataclass
class _Opening:
    factory: ProtocolFactory
    answer: asyncio.Future[StreamTransport]


class Tunnel:
    """`async with tunnel:` runs it; leaving closes it.

    With `resume_timeout` (seconds) a lost link does not end the tunnel at once: `attach` another within that
    time and streams go on where they were.
    """

    def __init__(
        self,
        link: Link,
        *,
        session: str,
        remote: str,
        initiator: bool,
        acceptor: StreamAcceptor | None = None,
        grant: Grant | None = None,
        limits: Limits | None = None,
        resume_timeout: float = 0.0,
        keeper: Keeper | None = None,
        name: str | None = None,
    ) -> None:
        self.session = session
        self.remote = remote
        self.initiator = initiator
        self.grant = grant
        self.name = name
        """What its client calls it; a link that joins it must name it."""
        self.keeper_failures = 0
        self.detached_at: float | None = None
        """Since when there is no link, time of the event loop."""
        self._keeper = keeper
        self._keeping: asyncio.Task[None] | None = None
        self._change = asyncio.Event()
        self._ending = asyncio.Event()
        self._last_path: tuple[Path, str] | None = None
        self._moves = 0
        self._last_move: str | None = None
        self._link: Link | None = link
        self._acceptor = acceptor
        self._limits = limits or Limits()
        self._resume_timeout = resume_timeout
        self._state = TunnelState.NEW
        self._error: FarsiteError | None = None
        self._since: datetime | None = None
        self._closed = asyncio.Event()
        self._farewell = asyncio.Event()
        self._confirmed = asyncio.Event()
        self._accept_slots = asyncio.Semaphore(MAX_ACCEPTING)
        self._group = asyncio.TaskGroup()
        self._transports: dict[Stream, StreamTransport] = {}
        self._opening: dict[Stream, _Opening] = {}
        self._accepting: dict[Stream, asyncio.Task[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._resume_timer: asyncio.TimerHandle | None = None
        self._settling = False
        self._loop: asyncio.AbstractEventLoop
        self._core: Session

    async def __aenter__(self) -> Self:
        if self._state is not TunnelState.NEW or self._link is None:
            raise FarsiteError(ErrorCode.CLOSED, "The tunnel was closed before it was used.")
        self._loop = asyncio.get_running_loop()
        self._core = Session(initiator=self.initiator, now=self._loop.time(), limits=self._limits)
        await self._group.__aenter__()
        self._since = datetime.now(UTC)
        self._enter(TunnelState.OPEN)
        self._use(self._link)
        if self._keeper is not None:
            self._keeping = self._group.create_task(
                self._keep(self._keeper), name=f"tunnel-keep-{self.session}"
            )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self.close()
        finally:
            await self._group.__aexit__(None, None, None)

    # --- what users call

    @property
    def state(self) -> TunnelState:
        return self._state

    @property
    def error(self) -> FarsiteError | None:
        """Why it closed; None while open, and after an orderly close."""
        return None if self._error is None or self._error.code is ErrorCode.CLOSED else self._error

    def status(self) -> TunnelStatus:
        entered = self._state is not TunnelState.NEW and self._since is not None
        rtt = self._core.rtt if entered else None
        return TunnelStatus(
            session=self.session,
            remote=self.remote,
            path=self._link.path if self._link else Path.NONE,
            reason=self._link.reason if self._link else self._why_no_link(),
            rtt_ms=None if rtt is None else round(rtt * 1000, 3),
            bytes_sent=self._core.bytes_sent if entered else 0,
            bytes_received=self._core.bytes_received if entered else 0,
            streams=self._core.streams if entered else 0,
            since=self._since,
            last_error=str(self._error) if self._error else None,
            moves=self._moves,
            last_move=self._last_move,
        )

    def _why_no_link(self) -> str:
        waiting = self._state is TunnelState.DETACHED
        return f"reconnecting: {self._error.detail}" if waiting and self._error else "no link"

    @property
    def closed(self) -> bool:
        return self._state is TunnelState.CLOSED

    @property
    def joinable(self) -> bool:
        """Whether another link can be attached."""
        return self._state in (TunnelState.OPEN, TunnelState.DETACHED)

    @property
    def link(self) -> Link | None:
        """The one in use; None while there is none."""
        return self._link

    @property
    def path(self) -> Path:
        return self._link.path if self._link else Path.NONE

    @property
    def rtt(self) -> float | None:
        """Round trip of the last heartbeat, seconds."""
        return self._core.rtt if self._state is not TunnelState.NEW else None

    async def changed(self) -> None:
        """Returns at the next change of state, link or path."""
        await self._change.wait()

    def _changed(self) -> None:
        self._change.set()
        self._change = asyncio.Event()

    async def open_stream(
        self, target: Target, *, priority: Priority = Priority.INTERACTIVE
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Raises `FarsiteError`: the other side's refusal, `stream_limit`, `timeout`, or why the tunnel closed."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_STREAM_LIMIT, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport, _ = await self.create_connection(lambda: protocol, target, priority=priority)
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    async def create_connection(
        self,
        protocol_factory: Callable[[], _Protocol],
        target: Target,
        *,
        priority: Priority = Priority.INTERACTIVE,
    ) -> tuple[StreamTransport, _Protocol]:
        """A stream with a protocol of the caller's. Raises as `open_stream` does."""
        self._check_open()
        stream = self._core.open(OpenRequest(target=target, priority=priority))
        opening = _Opening(protocol_factory, self._loop.create_future())
        self._opening[stream] = opening
        self._bind(stream)
        self._settle()
        transport = await self._answer(stream, opening)
        return transport, transport.get_protocol()  # type: ignore[return-value]

    def attach(self, link: Link, *, why: str = "", opened: tuple[int, str] | None = None) -> None:
        """Move to another link; streams go on where they were. Both sides do so.

        The former link is closed. `why` is for people. `opened`: number and label of a channel that the other side
        has already opened on it. Raises `FarsiteError` when the tunnel is closed.
        """
        if self._state is not TunnelState.DETACHED:
            self._check_open()
        self._detach(linger=LINK_LINGER if self._state is TunnelState.OPEN else 0.0)
        self._moves += 1
        self._last_move = why or "another link was attached"
        self._error = self.detached_at = None
        if self._state is not TunnelState.OPEN:
            self._enter(TunnelState.OPEN)
        self._use(link, opened)

    def doubt(self, gone: frozenset[str] = frozenset()) -> None:
        """The network changed, or this machine slept: a link that is still good has to prove it soon.

        `gone`: addresses that are not ours any more; a link that used one is lost.
        """
        if self._state is not TunnelState.OPEN or self._link is None:
            return
        if self._link.local_address in gone:
            detail = f"Our address {self._link.local_address} is gone."
            self._lost(FarsiteError(ErrorCode.PEER_UNREACHABLE, detail))
            return
        self._core.probe(PROBE_PATIENCE, self._loop.time())
        self._rearm()
        self._settle()

    def fail(self, error: FarsiteError) -> None:
        """End it for a reason the other side is not asked about. Returns before it is closed."""
        if self._state is not TunnelState.NEW:
            self._begin_close(error, tell=True)

    async def close(self, code: ErrorCode = ErrorCode.CLOSED, detail: str = "") -> None:
        """Tell the other side why, end all streams, close the link. Idempotent.

        With `closed`, what streams ended with has up to 2 s to arrive. Takes 8 s at most.
        """
        if self._state is TunnelState.NEW:
            await self._close_unused(code, detail)
            return
        self._begin_close(FarsiteError(code, detail or "The tunnel was closed."), tell=True)
        await self._closed.wait()

    async def wait_closed(self) -> FarsiteError | None:
        """Why the tunnel closed; None when either side closed it in order."""
        await self._closed.wait()
        return self.error

    # --- states

    def _enter(self, state: TunnelState) -> None:
        _log.info("tunnel %s to %s: %s -> %s", self.session, self.remote, self._state, state)
        self._state = state
        if state in (TunnelState.CLOSING, TunnelState.CLOSED):
            self._ending.set()
        self._changed()

    def _check_open(self) -> None:
        if self._state is TunnelState.NEW:
            raise RuntimeError("use the tunnel inside `async with`")
        if self._state in (TunnelState.CLOSING, TunnelState.CLOSED):
            raise self._error or FarsiteError(ErrorCode.CLOSED, "The tunnel is closed.")

    # --- the link

    def _use(self, link: Link, opened: tuple[int, str] | None = None) -> None:
        self._link = link
        self._note_path(link)
        try:
            self._start_core(link)
        except FarsiteError as error:
            # It broke before it was used.
            self._lost(error)
            return
        if opened is not None:
            self._core.channel_opened(*opened)
        link.start(_Receiver(self, link))
        self._settle()
        self._rearm()

    def _note_path(self, link: Link) -> None:
        before, now = self._last_path, (link.path, link.reason)
        self._last_path = now
        if before is None:
            _log.info("tunnel %s to %s: path %s (%s)", self.session, self.remote, *now)
        else:
            move = (self.session, self.remote, before[0], now[0], self._last_move, now[1])
            _log.info("tunnel %s to %s: path %s -> %s: %s (%s)", *move)
        self._changed()

    def _start_core(self, link: Link) -> None:
        control = link.open_channel(CONTROL_LABEL) if self.initiator else None
        for stream in self._core.attach(control, self._loop.time()):
            self._core.bind(stream, link.open_channel(STREAM_LABEL))

    def _bind(self, stream: Stream) -> None:
        """Without a link the stream waits for the next one."""
        if self._link is None:
            return
        try:
            self._core.bind(stream, self._link.open_channel(STREAM_LABEL))
        except FarsiteError as error:
            stream.reset(error)

    def _detach(self, linger: float = 0.0) -> None:
        """Leave the link, if there is one, and close it after `linger` seconds."""
        self._cancel_timers()
        link, self._link = self._link, None
        self._core.detach(self._loop.time())
        if link is not None:
            self._group.create_task(self._retire(link, linger), name=f"tunnel-link-close-{self.session}")

    async def _retire(self, link: Link, linger: float) -> None:
        if linger:
            with suppress(TimeoutError):
                async with asyncio.timeout(linger):
                    await self._ending.wait()
        await self._close_link(link)

    def _lost(self, error: FarsiteError) -> None:
        """The link leads nowhere: wait for another one, or give up."""
        if self._state is TunnelState.CLOSING:
            self._farewell.set()
            self._confirmed.set()
        if self._state is not TunnelState.OPEN:
            return
        if self._resume_timeout <= 0:
            self._begin_close(error, tell=False)
            return
        _log.info("tunnel %s to %s: link lost: %s", self.session, self.remote, error)
        self._detach()
        self._error = error
        self.detached_at = self._loop.time()
        self._enter(TunnelState.DETACHED)
        self._wait_for_link(error, self._resume_timeout)

    def _wait_for_link(self, error: FarsiteError, seconds: float) -> None:
        due = self._loop.time() + seconds
        self._resume_timer = self._loop.call_at(due, self._give_up_link, error, due)

    def _give_up_link(self, error: FarsiteError, due: float) -> None:
        if self._loop.time() > due + PROBE_PATIENCE:
            self._wait_for_link(error, WAKE_GRACE)  # this machine slept: no time to find a link has passed
        else:
            self._begin_close(error, tell=False)

    async def _keep(self, keeper: Keeper) -> None:
        """The keeper's own failures end neither the tunnel nor the keeping."""
        while not self._ending.is_set():
            try:
                await keeper.run(self)
                return
            except Exception:
                self.keeper_failures += 1
                _log.exception("tunnel %s: keeping its link failed; it goes on", self.session)
                await asyncio.sleep(KEEPER_PAUSE)

    async def _close_link(self, link: Link) -> None:
        try:
            async with asyncio.timeout(LINK_CLOSE_TIMEOUT):
                await link.close()
        except Exception:
            _log.warning("tunnel %s: the link did not close", self.session, exc_info=True)

    # --- time

    def _arm(self) -> None:
        due = self._core.next_deadline()
        if due is not None:
            self._timer = self._loop.call_at(due, self._tick)

    def _tick(self) -> None:
        # Deadlines move later all the time and are then only looked at here; no new one is nearer than the
        # next ping.
        self._timer = None
        self._core.tick(self._loop.time())
        self._settle()
        if self._timer is None:
            self._arm()

    def _rearm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._link is not None:
            self._arm()

    def _cancel_timers(self) -> None:
        for timer in (self._timer, self._resume_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._resume_timer = None

    # --- moving messages and events

    def _settle(self) -> None:
        """Send what may be sent and act on what happened, until neither is left. Nested calls are no-ops."""
        if self._settling:
            return
        self._settling = True
        try:
            while True:
                self._pump()
                if not self._dispatch():
                    break
        finally:
            self._settling = False
        if self._state is TunnelState.CLOSING and not self._core.unconfirmed:
            self._confirmed.set()

    def _pump(self) -> None:
        """Fill the link's queue."""
        link = self._link
        if link is None:
            return
        next_message = self._core.next_message
        while link.buffered_amount < HIGH_WATER:
            outgoing = next_message()
            if outgoing is None:
                break
            _put(link, outgoing)

    def _dispatch(self) -> bool:
        event = self._core.next_event()
        if event is None:
            return False
        while event is not None:
            self._handle(event)
            event = self._core.next_event()
        return True

    def _handle(self, event: Event) -> None:
        match event:
            case StreamReadable(stream):
                if transport := self._transports.get(stream):
                    transport.readable()
            case StreamDrained(stream):
                if transport := self._transports.get(stream):
                    transport.drained()
            case StreamFlushed(stream):
                if transport := self._transports.get(stream):
                    transport.flushed()
            case StreamRequested(stream):
                self._requested(stream)
            case StreamAccepted(stream):
                self._accepted(stream)
            case StreamEnded(stream):
                self._stream_ended(stream)
            case PeerLost(error):
                self._lost(error)
            case TunnelEnded(error):
                self._begin_close(error, tell=True)

    def _received(self, channel: int, message: bytes) -> None:
        self._core.message_received(channel, message, self._loop.time())
        if self._core.goodbye_heard:
            self._farewell.set()
        self._settle()

    # --- streams

    def _transport(self, stream: Stream) -> StreamTransport:
        extra: dict[str, Any] = {
            "tunnel": self,
            "stream_target": stream.request.target,
            "peername": (self.remote, stream.number),
            "sockname": (f"session {self.session}", stream.number),
            "socket": None,
            "sslcontext": None,
            "ssl_object": None,
            "peercert": None,
        }
        return StreamTransport(stream, self._settle, extra, self._loop)

    def _connect(self, stream: Stream, factory: ProtocolFactory) -> StreamTransport:
        transport = self._transport(stream)
        protocol = factory()
        if not stream.ended:
            self._transports[stream] = transport
        transport.connect(protocol)
        if stream.ended:
            transport.ended()
        return transport

    async def _answer(self, stream: Stream, opening: _Opening) -> StreamTransport:
        try:
            async with asyncio.timeout(OPEN_TIMEOUT):
                return await asyncio.shield(opening.answer)
        except TimeoutError:
            self._give_up(stream, opening)
            raise FarsiteError(ErrorCode.TIMEOUT, "The other side did not answer the open request.") from None
        except asyncio.CancelledError:
            self._give_up(stream, opening)
            raise

    def _give_up(self, stream: Stream, opening: _Opening) -> None:
        self._opening.pop(stream, None)
        if opening.answer.done() and not opening.answer.exception():
            opening.answer.result().abort()
        stream.reset(FarsiteError(ErrorCode.CLOSED, "Nobody waits for the stream any more."))
        self._settle()

    def _accepted(self, stream: Stream) -> None:
        opening = self._opening.pop(stream, None)
        if opening is None:
            return
        try:
            opening.answer.set_result(self._connect(stream, opening.factory))
        except Exception as error:
            opening.answer.set_exception(error)
            stream.reset(FarsiteError(ErrorCode.CLOSED, "The opener failed."))

    def _stream_ended(self, stream: Stream) -> None:
        if opening := self._opening.pop(stream, None):
            error = stream.error or FarsiteError(ErrorCode.CLOSED, "The stream ended before it was open.")
            opening.answer.set_exception(error)
        if task := self._accepting.pop(stream, None):
            task.cancel()
        if transport := self._transports.pop(stream, None):
            transport.ended()

    def _requested(self, stream: Stream) -> None:
        if self._acceptor is None or self._state is TunnelState.CLOSING:
            stream.reset(FarsiteError(ErrorCode.STREAM_REFUSED, "No streams are accepted here."))
            return
        name = f"tunnel-accept-{self.session}-{stream.number}"
        task = self._group.create_task(self._accept(self._acceptor, stream), name=name)
        self._accepting[stream] = task

    async def _accept(self, acceptor: StreamAcceptor, stream: Stream) -> None:
        try:
            async with self._accept_slots, asyncio.timeout(ACCEPT_TIMEOUT):
                factory = await acceptor.accept(self, stream.request)
            self._accepting.pop(stream, None)
            self._connect(stream, factory)
            stream.accept()
        except FarsiteError as error:
            self._refuse(stream, error)
        except TimeoutError:
            self._refuse(stream, FarsiteError(ErrorCode.TIMEOUT, "Opening the stream took too long."))
        except Exception:
            _log.exception("tunnel %s: accepting a stream failed", self.session)
            self._refuse(
                stream, FarsiteError(ErrorCode.INTERNAL, "The other side could not open the stream.")
            )
        self._settle()

    def _refuse(self, stream: Stream, error: FarsiteError) -> None:
        self._accepting.pop(stream, None)
        stream.reset(error)

    # --- closing

    def _begin_close(self, error: FarsiteError, *, tell: bool) -> None:
        if self._state in (TunnelState.CLOSING, TunnelState.CLOSED):
            return
        self._cancel_resume()
        self._error = error
        self._enter(TunnelState.CLOSING)
        if self._keeping is not None:
            self._keeping.cancel()
        tell = tell and self._link is not None
        self._group.create_task(self._shut_down(error, tell=tell), name=f"tunnel-close-{self.session}")

    def _cancel_resume(self) -> None:
        if self._resume_timer is not None:
            self._resume_timer.cancel()
            self._resume_timer = None

    async def _shut_down(self, error: FarsiteError, *, tell: bool) -> None:
        try:
            if tell and error.code is ErrorCode.CLOSED:
                await self._wait(self._confirmed, FLUSH_TIMEOUT)
            self._end_core(error, tell=tell)
            if tell:
                await self._wait(self._farewell, GOODBYE_TIMEOUT)
        finally:
            self._cancel_timers()
            link, self._link = self._link, None
            if link is not None:
                await self._close_link(link)
            self._enter(TunnelState.CLOSED)
            self._closed.set()

    def _end_core(self, error: FarsiteError, *, tell: bool) -> None:
        if tell:
            self._core.goodbye(error)
        else:
            self._core.fail(error)
        self._settle()
        if self._link is not None and tell:
            self._flush(self._link)

    def _flush(self, link: Link) -> None:
        """The last words go out even when the link's queue is full."""
        while outgoing := self._core.next_message():
            _put(link, outgoing)

    async def _wait(self, event: asyncio.Event, timeout: float) -> None:
        self._settle()
        try:
            async with asyncio.timeout(timeout):
                await event.wait()
        except TimeoutError:
            _log.debug("tunnel %s: the other side did not answer while closing", self.session)

    async def _close_unused(self, code: ErrorCode, detail: str) -> None:
        self._error = FarsiteError(code, detail or "The tunnel was closed.")
        self._enter(TunnelState.CLOSED)
        link, self._link = self._link, None
        if link is not None:
            await self._close_link(link)
        self._closed.set()


def _put(link: Link, outgoing: tuple[int, bytes | None]) -> None:
    channel, message = outgoing
    if message is None:
        link.close_channel(channel)
    else:
        link.send(channel, message)


class _Receiver:
    """Passes on what one link says, as long as it is the tunnel's link."""

    def __init__(self, tunnel: Tunnel, link: Link) -> None:
        self._tunnel = tunnel
        self._link = link

    def channel_opened(self, channel: int, label: str) -> None:
        if self._current:
            self._tunnel._core.channel_opened(channel, label)
            self._tunnel._settle()

    def message_received(self, channel: int, message: bytes) -> None:
        if self._current:
            self._tunnel._received(channel, message)

    def channel_closed(self, channel: int) -> None:
        if self._current:
            self._tunnel._core.channel_closed(channel, self._tunnel._loop.time())
            self._tunnel._settle()

    def writable(self) -> None:
        if self._current:
            self._tunnel._settle()

    def link_lost(self, error: FarsiteError | None) -> None:
        if self._current:
            error = error or FarsiteError(ErrorCode.PEER_UNREACHABLE, "The link was closed.")
            self._tunnel._lost(error)

    @property
    def _current(self) -> bool:
        return self._tunnel._link is self._link
