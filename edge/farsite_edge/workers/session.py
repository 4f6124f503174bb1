"""Main's side of one session in a process of its own: what it asks is judged, what it says is not believed."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from farsite_edge.remote.acceptor import EdgeAcceptor
from farsite_edge.workers import messages as m
from farsite_edge.workers.control import PACE, ControlSocket
from farsite_edge.workers.link import WorkerLink
from farsite_edge.workers.memory import private_bytes
from farsite_edge.workers.pool import UNKNOWN, WorkerProcess
from farsite_edge.workers.streams import StreamDesk
from farsite_signaling.peer.gate import VerifiedOffer
from farsite_signaling.peer.talk import Talk
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.path import Path, TunnelStatus

CLOSE_PATIENCE = 4.0
"""Seconds a tunnel may take to close once it was told to; a right that was taken away is gone within 5."""
REAP_PATIENCE = 2.0
UNTIL_GRACE = 5.0
MOST_LINKS = 64
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WorkerLimits:
    """`patience`: seconds without a sign of life; `memory`: bytes of its own, 0 for any."""

    patience: float = 10.0
    memory: int = 512 * 1024 * 1024


class SessionState(StrEnum):
    OPENING = "opening"
    STANDING = "standing"
    CLOSING = "closing"
    ENDED = "ended"


class WorkerSession:
    """`run()` is its life. To others it is a tunnel: they see how it does, and end it."""

    def __init__(
        self,
        verified: VerifiedOffer,
        process: WorkerProcess,
        acceptor: EdgeAcceptor,
        limits: WorkerLimits,
        *,
        check: Callable[[WorkerSession], None],
        clock: Callable[[], float],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.grant = verified.grant
        self.session = verified.grant.sid
        self.remote = verified.remote
        self.name = verified.offer.tunnel
        self.detached_at: float | None = None
        self.process = process
        self._limits = limits
        self._check = check
        self._clock = clock
        self._state = SessionState.OPENING
        self._standing = m.Standing(path=Path.NONE, reason="not connected yet")
        self._since: datetime | None = None
        self._links: dict[int, WorkerLink] = {}
        self._link_count = 0
        self._heard_at = self._loop.time()
        self._beaten = asyncio.Event()
        self._gone = asyncio.Event()
        self._ended: asyncio.Future[FarsiteError | None] = self._loop.create_future()
        self._farewell: m.Ended | None = None
        self._closing: FarsiteError | None = None
        self._fault: FarsiteError | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._group: asyncio.TaskGroup | None = None
        self._streams = StreamDesk(self, acceptor, self._tell)
        self._usage = acceptor.usage
        self._control = ControlSocket(
            process.own, self._line, self._control_ended, longest=m.MAX_FROM_WORKER, pace=PACE
        )

    # As a tunnel

    @property
    def state(self) -> SessionState:
        return self._state

    @property
    def joinable(self) -> bool:
        return self._state is SessionState.STANDING and self._standing.joinable

    def status(self) -> TunnelStatus:
        known = self._standing.model_dump(exclude={"away", "joinable"})
        return TunnelStatus(session=self.session, remote=self.remote, since=self._since, **known)

    def fail(self, error: FarsiteError) -> None:
        """Have it closed, with this reason for the client; within `CLOSE_PATIENCE`. Does not wait."""
        if self._state in (SessionState.CLOSING, SessionState.ENDED):
            return
        self._closing = error
        self._enter(SessionState.CLOSING)
        self._tell(m.Close(reason=m.Reason.of(error)))
        self._deadline = self._loop.call_later(CLOSE_PATIENCE, self.process.kill)

    async def close(self, code: ErrorCode = ErrorCode.CLOSED, detail: str = "") -> None:
        self.fail(FarsiteError(code, detail or "The tunnel was closed."))
        await self.ended()

    async def ended(self) -> FarsiteError | None:
        """When the process is no more: why, None when it ended in order."""
        return await asyncio.shield(self._ended)

    async def report(self, timeout: float) -> None:
        """Returns when the status is of now, or after `timeout` seconds."""
        self._beaten.clear()
        self._tell(m.Report())
        try:
            async with asyncio.timeout(timeout):
                await self._beaten.wait()
        except TimeoutError:
            pass

    def doubt(self, gone: frozenset[str]) -> None:
        self._tell(m.Doubt(gone=gone))

    def link(self, verified: VerifiedOffer, talk: Talk) -> WorkerLink:
        """Has the worker open it. Raises `rate_limited`."""
        if len(self._links) >= MOST_LINKS or self._group is None:
            raise FarsiteError(ErrorCode.RATE_LIMITED, "Too many links at once; try again in a moment.")
        self._link_count += 1
        link = self._links[self._link_count] = WorkerLink(self._link_count, verified, talk, self._tell)
        self._tell(
            m.Offered(
                link=link.number,
                offer=verified.offer.model_copy(update={"grant": ""}),
                remote=verified.remote,
                fingerprint=verified.fingerprint,
                version=verified.version,
                grant=verified.grant,
                servers=verified.servers,
            )
        )
        self._group.create_task(link.run(), name=f"link {link.number} of {self.session}")
        return link

    def drop(self, link: WorkerLink) -> None:
        """Nobody waits for it any more."""
        link.end(FarsiteError(ErrorCode.CLOSED, "Nobody waits for the link any more."))
        self._links.pop(link.number, None)

    # Life

    async def run(self, begin: m.Begin, started: asyncio.Event) -> None:
        self._control.start()
        self._tell(begin)
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                started.set()
                await self._gone.wait()
                raise _Over
        except* _Over:
            pass
        finally:
            self._group = None
            started.set()
            self._release()
            await self._reap()

    def _release(self) -> None:
        self._control.close()
        self._streams.close()
        if self._deadline is not None:
            self._deadline.cancel()
        error = self._closing or self._fault or _gone()
        for link in self._links.values():
            link.end(error)

    async def _reap(self) -> None:
        """Its own end comes first: what it was killed by says more than that it was killed."""
        try:
            if self._farewell is None or self._fault is not None:
                await self._wait_for_process(0.5)
            self.process.kill()
            await self._wait_for_process(REAP_PATIENCE)
        finally:
            self._enter(SessionState.ENDED)
            if not self._ended.done():
                self._ended.set_result(self._outcome())

    async def _wait_for_process(self, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                await asyncio.shield(self.process.ended)
        except TimeoutError:
            pass

    def _outcome(self) -> FarsiteError | None:
        if self._closing is not None:
            return None if self._closing.code is ErrorCode.CLOSED else self._closing
        if self._fault is not None:
            return self._fault
        if self._farewell is not None:
            return self._farewell.reason.error if self._farewell.reason else None
        status = self.process.ended.result() if self.process.ended.done() else UNKNOWN
        error = FarsiteError(
            ErrorCode.UNAVAILABLE, f"The session's process ended unexpectedly: {_how(status)}."
        )
        logger.error("session %s: %s", self.session, error.detail)
        return error

    def _enter(self, state: SessionState) -> None:
        if state is not self._state:
            logger.info(
                "session %s in process %s: %s -> %s", self.session, self.process.pid, self._state, state
            )
            self._state = state

    # Watching it

    def look(self, now: float) -> None:
        """Once a second. `now`: time of the event loop."""
        if now - self._heard_at > self._limits.patience:
            self._end_for(f"gave no sign of life for {self._limits.patience:g} s")
        elif self._limits.memory and private_bytes(self.process.pid) > self._limits.memory:
            self._end_for(f"took more than {self._limits.memory >> 20} MiB of memory")
        elif self._clock() > self.grant.until + UNTIL_GRACE:
            self.fail(FarsiteError(ErrorCode.SESSION_ENDED, "The session's time is over; open a new one."))

    def spare(self) -> None:
        """This process itself stood still: whose fault silence is cannot be told."""
        self._heard_at = self._loop.time()

    def _end_for(self, what: str) -> None:
        if self._fault is None:
            self._fault = FarsiteError(ErrorCode.UNAVAILABLE, f"The session's process {what} and was ended.")
            logger.error("session %s, process %s: %s", self.session, self.process.pid, self._fault.detail)
        self.process.kill()
        self._gone.set()

    # What it says

    def _tell(self, message: BaseModel, descriptor: int | None = None) -> None:
        self._control.send(m.encode(message), descriptor)

    def _control_ended(self, error: FarsiteError | None) -> None:
        if error is not None:
            self._end_for(f"broke its rules ({error.detail})")
        self._gone.set()

    def _line(self, line: bytes) -> None:
        self._heard_at = self._loop.time()
        try:
            self._take(m.parse_from_worker(line))
        except FarsiteError as error:
            self._end_for(f"broke its rules ({error.detail})")

    def _take(self, message: m.AnyFromWorker) -> None:
        """Raises `protocol_error`."""
        match message:
            case m.Beat():
                self._beat(message)
            case m.LinkSays():
                if (link := self._links.get(message.link)) is not None and not link.stood.done():
                    link.says(message)
            case m.LinkStands():
                self._stands(message.link)
            case m.LinkJoined():
                self._joined(message.link)
            case m.LinkOver():
                self._over(message)
            case m.OpenStream():
                self._spawn(self._streams.open(message))
            case m.StreamOver():
                self._spawn(self._streams.over(message))
            case m.Ended():
                self._farewell = message

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        if self._group is None or self._gone.is_set():
            work.close()
        else:
            self._group.create_task(work, name=f"stream of {self.session}")

    def _beat(self, message: m.Beat) -> None:
        self._beaten.set()
        for used in message.used:
            self._usage.report(
                self.session, used.device, streams=used.streams, sent=used.sent, received=used.received
            )
        if message.standing is None:
            return
        self._standing = message.standing
        if not message.standing.away:
            self.detached_at = None
        elif self.detached_at is None:
            self.detached_at = self._loop.time()

    def _stands(self, number: int) -> None:
        link = self._links.get(number)
        if link is None:
            return
        if self._state is SessionState.OPENING:
            self._since = datetime.now(UTC)
            self._enter(SessionState.STANDING)
        link.stand()

    def _joined(self, number: int) -> None:
        """Streams came over a further link: its grant holds from now on."""
        link = self._links.get(number)
        if link is None or not link.stands:
            raise FarsiteError(ErrorCode.PROTOCOL_ERROR, "streams moved to a link that does not stand")
        self.grant = link.verified.grant
        self._check(self)

    def _over(self, message: m.LinkOver) -> None:
        link = self._links.pop(message.link, None)
        if link is not None:
            link.end(message.reason.error if message.reason else _gone())


class _Over(Exception):
    """The process's control socket is closed."""


def _gone() -> FarsiteError:
    return FarsiteError(ErrorCode.UNAVAILABLE, "The session's process ended; open a new session.")


def _how(status: int) -> str:
    """A wait status in words."""
    if status == UNKNOWN:
        return "nobody saw how"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return f"signal {number} ({signal.strsignal(number)})"
    return f"exit code {os.waitstatus_to_exitcode(status)}; see the log"
