"""As `TunnelListener`, with a process for each session."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from farsite_edge.remote.acceptor import EdgeAcceptor
from farsite_edge.workers.link import WorkerLink
from farsite_edge.workers.messages import Begin
from farsite_edge.workers.pool import WorkerPool
from farsite_edge.workers.session import SessionState, WorkerLimits, WorkerSession
from farsite_signaling.identity import Identity, OrganizationTrust
from farsite_signaling.identity.keys import PublicKey
from farsite_signaling.peer.gate import Admit, OfferGate, VerifiedOffer, tunnel_to_join
from farsite_signaling.peer.network import NetworkHint, NetworkMonitor
from farsite_signaling.peer.offerdesk import OfferDesk, OnRefused
from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.peer.places import Places
from farsite_signaling.peer.router import EnvelopeRouter
from farsite_signaling.peer.talk import Talk
from farsite_signaling.wire.errors import ErrorCode, FarsiteError, parse_code
from farsite_signaling.wire.hub import SessionAnnounced, SessionEnded

LOOK_EVERY = 1.0
STOOD_STILL = 3.0
"""Seconds between two looks after which this process was stopped itself."""
REPORT_TIMEOUT = 0.5
logger = logging.getLogger(__name__)

OnOpened = Callable[[WorkerSession], None]
OnClosed = Callable[[WorkerSession, FarsiteError | None], None]


class WorkerHost:
    """Implements `OfferServer`. `async with`, inside the pool's."""

    def __init__(
        self,
        pool: WorkerPool,
        acceptor: EdgeAcceptor,
        options: PeerOptions,
        limits: WorkerLimits,
        gate: OfferGate,
        *,
        on_opened: OnOpened,
        on_closed: OnClosed,
    ) -> None:
        self.tunnels: dict[str, WorkerSession] = {}
        """Those that stand, by session."""
        self._all: set[WorkerSession] = set()
        self._pool = pool
        self._acceptor = acceptor
        self._options = options
        self._limits = limits
        self._gate = gate
        self._on_opened = on_opened
        self._on_closed = on_closed
        self._group = asyncio.TaskGroup()
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._watching = self._group.create_task(self._watch(), name="tunnel processes watched")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._watching is not None
        self._watching.cancel()
        for session in self._all:
            session.fail(FarsiteError(ErrorCode.CLOSED, "The edge host is shutting down."))
        await self._group.__aexit__(None, None, None)

    def end(self, session: str, error: FarsiteError) -> None:
        """Whatever there is of this session. Does not wait."""
        for one in self._all:
            if one.session == session:
                one.fail(error)

    def doubt(self, gone: frozenset[str]) -> None:
        for session in self.tunnels.values():
            session.doubt(gone)

    async def open(self, verified: VerifiedOffer, talk: Talk) -> tuple[WorkerSession, WorkerLink]:
        """Raises `FarsiteError` to refuse."""
        joins = verified.offer.resume
        session = tunnel_to_join(self.tunnels, verified) if joins else await self._start(verified)
        link: WorkerLink | None = None
        try:
            link = session.link(verified, talk)
            await asyncio.shield(link.stood)
            if not joins:
                self._gate.check(verified.grant)  # it may have been revoked while it was opened
        except BaseException:
            if not joins:
                session.process.kill()
            elif link is not None:
                session.drop(link)
            raise
        finally:
            self._pool.refill()
        return session, link

    async def _start(self, verified: VerifiedOffer) -> WorkerSession:
        session = WorkerSession(
            verified,
            await self._pool.take(),
            self._acceptor,
            self._limits,
            check=self._recheck,
            clock=self._options.clock,
        )
        self._all.add(session)
        started = asyncio.Event()
        work = _alone(session.run(self._begin(verified), started), session)
        task = self._group.create_task(work, name=f"session {session.session}")
        task.add_done_callback(lambda _: self._all.discard(session))
        await started.wait()
        return session

    def _begin(self, verified: VerifiedOffer) -> Begin:
        return Begin(
            session=verified.grant.sid,
            options=options_without_files(self._options),
            servers=list(self._options.ice_servers),
            device_timeout=self._acceptor.timeout,
        )

    def _recheck(self, session: WorkerSession) -> None:
        try:
            self._gate.check(session.grant)
        except FarsiteError as error:
            session.fail(error)

    async def run(self, opened: tuple[WorkerSession, WorkerLink]) -> None:
        session, link = opened
        if link.verified.offer.resume:
            await asyncio.shield(link.over)
            return
        older, self.tunnels[session.session] = self.tunnels.get(session.session), session
        if older is not None:
            older.fail(FarsiteError(ErrorCode.REPLACED, "The client opened this session anew."))
        self._on_opened(session)
        try:
            await session.ended()
        finally:
            session.fail(FarsiteError(ErrorCode.CLOSED, "The tunnel was closed."))
            error = await session.ended()
            if self.tunnels.get(session.session) is session:
                del self.tunnels[session.session]
            self._on_closed(session, error)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            await asyncio.sleep(LOOK_EVERY)
            now = loop.time()
            late, last = now - last > STOOD_STILL, now
            for session in list(self._all):
                if late:
                    session.spare()
                elif session.state is not SessionState.ENDED:
                    session.look(now)


async def _alone(work: Awaitable[None], session: WorkerSession) -> None:
    """One session's failure is nobody else's."""
    try:
        await work
    except Exception:
        logger.exception("session %s failed", session.session)


def options_without_files(options: PeerOptions) -> dict[str, Any]:
    """What a worker is told; it reads no file of ours."""
    values = {one.name: getattr(options, one.name) for one in fields(options)}
    del values["clock"], values["ice_servers"]
    values["turn_ca"] = _text(options.turn_ca)
    return values


def _text(given: str | None) -> str | None:
    return given if given is None or "-----BEGIN" in given else Path(given).read_text()


class WorkerListener:
    """`admit` raises `FarsiteError` to refuse. Callbacks must not raise; `on_refused(error, sender's URN, session)`."""

    def __init__(
        self,
        *,
        identity: Identity,
        trust: OrganizationTrust,
        grant_key: PublicKey,
        acceptor: EdgeAcceptor,
        admit: Admit,
        options: PeerOptions,
        router: EnvelopeRouter,
        limits: WorkerLimits | None = None,
        on_opened: OnOpened = lambda tunnel: None,
        on_closed: OnClosed = lambda tunnel, error: None,
        on_refused: OnRefused = lambda error, sender, session: None,
    ) -> None:
        memory = options.network_memory
        self.pool = WorkerPool(folder=Path(memory).parent if memory else None)
        self._gate = OfferGate(
            identity=identity, trust=trust, grant_key=grant_key, admit=admit, clock=options.clock
        )
        self._host = WorkerHost(
            self.pool,
            acceptor,
            options,
            limits or WorkerLimits(),
            self._gate,
            on_opened=on_opened,
            on_closed=on_closed,
        )
        places = Places(self._host.tunnels, most=options.max_sessions, most_opening=options.max_half_open)
        self._desk = OfferDesk(router, self._gate, places, self._host, options, on_refused=on_refused)
        self._monitor = NetworkMonitor(self._network_changed)
        self._group = asyncio.TaskGroup()
        self._stack = AsyncExitStack()

    @property
    def tunnels(self) -> list[WorkerSession]:
        """Those that stand."""
        return list(self._host.tunnels.values())

    @property
    def sessions(self) -> list[str]:
        """Those that have a tunnel."""
        return list(self._host.tunnels)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for part in (self.pool, self._host, self._desk, self._group):
                await stack.enter_async_context(part)
            watching = self._group.create_task(self._monitor.run(), name="listener:network")
            stack.callback(watching.cancel)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    def prepare(self) -> None:
        """Sessions can come from now on: have a process ready."""
        self.pool.prepare()

    def announced(self, message: SessionAnnounced) -> None:
        """The cloud granted a client a session: its offer follows."""
        self._gate.announcements.add(message)

    async def ended(self, message: SessionEnded) -> None:
        """The cloud took a session back: its tunnel closes, and its offer is refused from now on. Does not wait."""
        error = FarsiteError(parse_code(message.code), message.detail or "The session was ended.")
        self._gate.announcements.end(message.session, error)
        self._host.end(message.session, error)

    async def busy(self) -> bool:
        """Whether streams are open."""
        await asyncio.gather(*(tunnel.report(REPORT_TIMEOUT) for tunnel in self.tunnels))
        return any(tunnel.status().streams for tunnel in self.tunnels)

    def _network_changed(self, hint: NetworkHint) -> None:
        self._host.doubt(hint.gone)
