"""A tunnel to one peer over a link: opens and accepts streams, watches the peer, moves to another link.

The protocol is `farsite_signaling.tunnel.Session`; this is its asyncio shell.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from types import TracebackType
from typing import Self, TypeVar

from farsite_signaling.peer.attachment import Receiver, begin, bind, close_link, flush, pump
from farsite_signaling.peer.deadlines import Deadline, Patience
from farsite_signaling.peer.farewell import Farewell
from farsite_signaling.peer.keeping import Keeper, keep
from farsite_signaling.peer.link import Link
from farsite_signaling.peer.moves import Moves
from farsite_signaling.peer.stream import StreamTransport
from farsite_signaling.peer.streams import StreamAcceptor, TunnelStreams, new_reader
from farsite_signaling.tunnel import (
    Event,
    Limits,
    PeerLost,
    Session,
    TunnelEnded,
)
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.grant import Grant
from farsite_signaling.wire.path import Path, TunnelStatus
from farsite_signaling.wire.stream import OpenRequest, Priority, Target

_log = logging.getLogger(__name__)

LINK_LINGER = 1.0
"""How long a link that still works stays after streams have left it: the other side may not have left it yet."""
PROBE_PATIENCE = 2.0
"""Seconds the peer may take to answer when there is reason to doubt the link."""
WAKE_GRACE = 30.0
"""After a sleep at least this much is left to find another link, seconds."""

_Protocol = TypeVar("_Protocol", bound=asyncio.BaseProtocol)


class TunnelState(StrEnum):
    NEW = "new"
    OPEN = "open"
    DETACHED = "detached"
    """The link is lost; another may be attached."""
    CLOSING = "closing"
    CLOSED = "closed"


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
        self._moves = Moves(session, remote)
        self._link: Link | None = link
        self._acceptor = acceptor
        self._limits = limits or Limits()
        self._resume_timeout = resume_timeout
        self._state = TunnelState.NEW
        self._error: FarsiteError | None = None
        self._since: datetime | None = None
        self._closed = asyncio.Event()
        self._farewell = Farewell(session)
        self._group = asyncio.TaskGroup()
        self._settling = False
        self._loop: asyncio.AbstractEventLoop
        self._core: Session
        self._streams: TunnelStreams
        self._deadline: Deadline
        self._patience: Patience

    async def __aenter__(self) -> Self:
        if self._state is not TunnelState.NEW or self._link is None:
            raise FarsiteError(ErrorCode.CLOSED, "The tunnel was closed before it was used.")
        self._loop = asyncio.get_running_loop()
        self._core = Session(initiator=self.initiator, now=self._loop.time(), limits=self._limits)
        await self._group.__aenter__()
        self._deadline = Deadline(self._loop, self._core.next_deadline, self._tick)
        self._patience = Patience(self._loop, WAKE_GRACE)
        self._streams = TunnelStreams(
            self, self._acceptor, settle=self._settle, group=self._group, loop=self._loop
        )
        self._since = datetime.now(UTC)
        self._enter(TunnelState.OPEN)
        self._use(self._link)
        if self._keeper is not None:
            self._keeping = self._group.create_task(
                keep(self, self._keeper), name=f"tunnel-keep-{self.session}"
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
            moves=self._moves.count,
            last_move=self._moves.reason,
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
        reader, protocol = new_reader()
        transport, _ = await self.create_connection(lambda: protocol, target, priority=priority)
        return reader, asyncio.StreamWriter(transport, protocol, reader, self._loop)

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
        answer = self._streams.opening(stream, protocol_factory)
        bind(self._core, stream, self._link)
        self._settle()
        transport = await self._streams.answered(stream, answer)
        return transport, transport.get_protocol()  # type: ignore[return-value]

    def attach(self, link: Link, *, why: str = "", opened: tuple[int, str] | None = None) -> None:
        """Move to another link; streams go on where they were. Both sides do so.

        The former link is closed. `why` is for people. `opened`: number and label of a channel that the other side
        has already opened on it. Raises `FarsiteError` when the tunnel is closed.
        """
        if self._state is not TunnelState.DETACHED:
            self._check_open()
        self._detach(linger=LINK_LINGER if self._state is TunnelState.OPEN else 0.0)
        self._moves.another(why)
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
        self._deadline.arm()
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
        self._moves.takes(link.path, link.reason)
        self._changed()
        try:
            begin(self._core, link, self._loop.time(), initiator=self.initiator)
        except FarsiteError as error:
            # It broke before it was used.
            self._lost(error)
            return
        if opened is not None:
            self._core.channel_opened(*opened)
        link.start(self._receiver(link))
        self._settle()
        self._deadline.arm()

    def _receiver(self, link: Link) -> Receiver:
        return Receiver(
            self._core,
            in_use=lambda: self._link is link,
            settle=self._settle,
            lost=self._lost,
            time=self._loop.time,
        )

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
        await close_link(link, self.session)

    def _lost(self, error: FarsiteError) -> None:
        """The link leads nowhere: wait for another one, or give up."""
        if self._state is TunnelState.CLOSING:
            self._farewell.nobody_there()
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
        self._patience.start(self._resume_timeout, lambda: self._begin_close(error, tell=False))

    def _tick(self, now: float) -> None:
        self._core.tick(now)
        self._settle()
        if self._link is not None:
            self._deadline.arm()

    def _cancel_timers(self) -> None:
        self._deadline.cancel()
        self._patience.stop()

    # --- moving messages and events

    def _settle(self) -> None:
        """Send what may be sent and act on what happened, until neither is left. Nested calls are no-ops."""
        if self._settling:
            return
        self._settling = True
        try:
            while True:
                if self._link is not None:
                    pump(self._core, self._link)
                if not self._dispatch():
                    break
        finally:
            self._settling = False
        self._farewell.look(self._core, closing=self._state is TunnelState.CLOSING)

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
            case PeerLost(error):
                self._lost(error)
            case TunnelEnded(error):
                self._begin_close(error, tell=True)
            case _:
                self._streams.happened(event, welcome=self._state is not TunnelState.CLOSING)

    # --- closing

    def _begin_close(self, error: FarsiteError, *, tell: bool) -> None:
        if self._state in (TunnelState.CLOSING, TunnelState.CLOSED):
            return
        self._patience.stop()
        self._error = error
        self._enter(TunnelState.CLOSING)
        if self._keeping is not None:
            self._keeping.cancel()
        tell = tell and self._link is not None
        self._group.create_task(self._shut_down(error, tell=tell), name=f"tunnel-close-{self.session}")

    async def _shut_down(self, error: FarsiteError, *, tell: bool) -> None:
        try:
            if tell and error.code is ErrorCode.CLOSED:
                self._settle()
                await self._farewell.confirmed()
            self._end_core(error, tell=tell)
            if tell:
                self._settle()
                await self._farewell.heard()
        finally:
            self._cancel_timers()
            link, self._link = self._link, None
            if link is not None:
                await close_link(link, self.session)
            self._enter(TunnelState.CLOSED)
            self._closed.set()

    def _end_core(self, error: FarsiteError, *, tell: bool) -> None:
        if tell:
            self._core.goodbye(error)
        else:
            self._core.fail(error)
        self._settle()
        if self._link is not None and tell:
            flush(self._core, self._link)

    async def _close_unused(self, code: ErrorCode, detail: str) -> None:
        self._error = FarsiteError(code, detail or "The tunnel was closed.")
        self._enter(TunnelState.CLOSED)
        link, self._link = self._link, None
        if link is not None:
            await close_link(link, self.session)
        self._closed.set()
