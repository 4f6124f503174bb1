"""A worker: runs the tunnel of one session, with no key of the edge host's. Forked by the zygote."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from pydantic import BaseModel

from farsite_edge.remote.usage import Usage
from farsite_edge.workers import messages as m
from farsite_edge.workers.asking import AskingAcceptor
from farsite_edge.workers.control import ControlSocket
from farsite_signaling.peer.gate import VerifiedOffer
from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.peer.talk import Heard
from farsite_signaling.peer.tunnel import Tunnel, TunnelState
from farsite_signaling.peer.tunnelhost import Opened, TunnelHost
from farsite_signaling.wire.envelope import Answer, Body, Candidates
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.grant import Grant

BEAT = 2.0
"""Seconds between signs of life."""
FAREWELL = 0.8
"""Seconds for telling the client when main is gone."""
MOST_HEARD = 64
logger = logging.getLogger(__name__)


def serve(own: socket.socket) -> None:
    """Until the session is over."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(Worker(own).run())


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


class RemoteTalk:
    """Implements `Talk`: main seals what is said, and verifies what is heard."""

    def __init__(self, session: str, link: int, say: Callable[[BaseModel], None]) -> None:
        self.session = session
        self._link = link
        self._say = say
        self._heard: asyncio.Queue[Heard | FarsiteError] = asyncio.Queue(MOST_HEARD)

    def open(self) -> None: ...

    def close(self) -> None: ...

    def put(self, heard: Heard | FarsiteError) -> None:
        if not self._heard.full():
            self._heard.put_nowait(heard)

    async def send(self, body: Body, fingerprint: str | None) -> None:
        assert isinstance(body, Answer | Candidates) and fingerprint is not None
        self._say(m.LinkSays(link=self._link, body=body, fingerprint=fingerprint))

    async def receive(self) -> Heard:
        heard = await self._heard.get()
        if isinstance(heard, FarsiteError):
            raise heard
        return heard


class Worker:
    """`run()` ends with the session, or with main."""

    def __init__(self, own: socket.socket) -> None:
        self._own = own
        self._session = ""
        self._options = PeerOptions()
        self._usage = Usage()
        self._reported: dict[str, m.DeviceUsed] = {}
        self._talks: dict[int, RemoteTalk] = {}
        self._further: dict[int, Opened] = {}
        self._tunnel: Tunnel | None = None
        self._first: int | None = None
        self._over = asyncio.Event()
        self._orphan = False
        self._error: FarsiteError | None = None

    async def run(self) -> None:
        self._control = ControlSocket(
            self._own, self._line, self._main_gone, longest=m.MAX_FROM_MAIN, takes=64
        )
        self._control.start()
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                await self._over.wait()
                raise _Over
        except* _Over:
            pass
        self._say_last()
        self._control.close()

    def _main_gone(self, error: FarsiteError | None) -> None:
        if error is not None:
            logger.error("main is not understood: %s", error)
        self._orphan = True
        if self._tunnel is None:
            self._over.set()
        else:
            self._spawn(self._farewell(), "farewell")

    async def _farewell(self) -> None:
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL):
                    error = FarsiteError(ErrorCode.UNAVAILABLE, "The edge host stopped.")
                    await self._host.end(self._session, error)
        finally:
            self._over.set()

    def _say(self, message: BaseModel) -> None:
        if not self._control.closed:
            self._control.send(m.encode(message))

    def _say_last(self) -> None:
        while self._beat():
            pass
        self._say(m.Ended(reason=m.Reason.of(self._error) if self._error else None))

    # From main

    def _line(self, line: bytes) -> None:
        try:
            self._obey(m.parse_from_main(line))
        except FarsiteError as error:
            self._main_gone(error)

    def _obey(self, message: m.AnyFromMain) -> None:
        match message:
            case m.Begin():
                self._begin(message)
            case m.Offered():
                # Heard from now on: candidates follow on the heels of the offer.
                talk = self._talks[message.link] = RemoteTalk(self._session, message.link, self._say)
                self._spawn(self._link(message, talk), f"link {message.link}")
            case m.LinkHeard():
                self._hear(message.link, Heard(message.body, message.fingerprint))
            case m.LinkFailed():
                self._hear(message.link, message.reason.error)
            case m.StreamAllowed() | m.StreamRefused():
                self._acceptor.answered(message)
            case m.Doubt():
                self._host.doubt(message.gone)
            case m.Report():
                self._beat(always=True)
            case m.Close():
                self._spawn(self._close(message.reason.error), "close")

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._group.create_task(work, name=name)

    def _hear(self, link: int, heard: Heard | FarsiteError) -> None:
        if (talk := self._talks.get(link)) is not None:
            talk.put(heard)

    def _begin(self, message: m.Begin) -> None:
        self._session = message.session
        self._options = _options(message)
        self._acceptor = AskingAcceptor(
            message.session,
            self._say,
            self._control.take_descriptor,
            self._usage,
            timeout=message.device_timeout,
        )
        self._host = TunnelHost(
            acceptor=self._acceptor,
            options=self._options,
            check=self._check,
            on_opened=self._opened,
            on_closed=self._closed,
            on_joined=self._joined,
        )
        self._spawn(self._beats(), "beats")

    def _check(self, grant: Grant) -> None:
        """All else is main's to know, which says `close`."""
        if grant.until <= self._options.clock():
            raise FarsiteError(ErrorCode.GRANT_EXPIRED, "The session is over; open a new one.")

    async def _close(self, error: FarsiteError) -> None:
        await self._host.end(self._session, error)
        if self._tunnel is None:
            self._over.set()

    # Links

    async def _link(self, message: m.Offered, talk: RemoteTalk) -> None:
        first = self._first is None
        if first:
            self._first = message.link
        verified = VerifiedOffer(
            message.offer,
            message.remote,
            message.fingerprint,
            message.version,
            message.grant,
            message.servers,
        )
        try:
            await self._serve(message.link, verified, talk)
        finally:
            self._talks.pop(message.link, None)
            self._further.pop(message.link, None)
            if first:
                self._over.set()

    async def _serve(self, link: int, verified: VerifiedOffer, talk: RemoteTalk) -> None:
        try:
            opened = await self._open(verified, talk)
        except FarsiteError as error:
            self._say(m.LinkOver(link=link, reason=m.Reason.of(error)))
            return
        if opened.joins is not None:
            self._further[link] = opened
            self._say(m.LinkStands(link=link))
        await self._host.run(opened)
        self._say(m.LinkOver(link=link))

    async def _open(self, verified: VerifiedOffer, talk: RemoteTalk) -> Opened:
        try:
            async with asyncio.timeout(self._options.open_timeout):
                return await self._host.open(verified, talk)
        except TimeoutError:
            raise FarsiteError(
                ErrorCode.PEER_UNREACHABLE, "No way to the client was found in time."
            ) from None
        except FarsiteError:
            raise
        except Exception:
            logger.exception("opening session %s failed", self._session)
            raise FarsiteError(
                ErrorCode.INTERNAL, "The edge host failed to open the session; see its log."
            ) from None

    def _opened(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel
        assert self._first is not None
        self._beat(always=True)
        self._say(m.LinkStands(link=self._first))

    def _joined(self, opened: Opened) -> None:
        for link, further in self._further.items():
            if further is opened:
                self._say(m.LinkJoined(link=link))

    def _closed(self, _tunnel: Tunnel, error: FarsiteError | None) -> None:
        self._error = error

    # Signs of life

    async def _beats(self) -> None:
        while True:
            self._beat(always=True)
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT):
                    await (self._tunnel.changed() if self._tunnel else asyncio.Event().wait())

    def _beat(self, *, always: bool = False) -> bool:
        """Whether there was something to say; `always` says that there was nothing."""
        used = self._news()
        if used or always:
            self._say(m.Beat(standing=self._standing(), used=used))
        return bool(used)

    def _standing(self) -> m.Standing | None:
        tunnel = self._tunnel
        if tunnel is None:
            return None
        away = tunnel.state is TunnelState.DETACHED
        return m.Standing.of(tunnel.status(), away=away, joinable=tunnel.joinable)

    def _news(self) -> list[m.DeviceUsed]:
        """What devices were used for since the last beat, as much as fits one."""
        now = [
            m.DeviceUsed(device=device, streams=streams, sent=sent, received=received)
            for device, streams, sent, received in self._usage.so_far(self._session)
        ]
        news = [used for used in now if _counts(self._reported.get(used.device)) != _counts(used)]
        for used in news[: m.MOST_USES]:
            self._reported[used.device] = used
        return news[: m.MOST_USES]


class _Over(Exception):
    """The session is."""


def _counts(used: m.DeviceUsed | None) -> tuple[int, ...]:
    return (used.streams, used.sent, used.received) if used is not None else ()


def _options(begin: m.Begin) -> PeerOptions:
    values = dict(begin.options)
    for name in ("ports", "addresses"):
        if values.get(name) is not None:
            values[name] = tuple(values[name])
    ahead = values.pop("clock_ahead", 0.0)
    return PeerOptions(**values, ice_servers=tuple(begin.servers), clock=lambda: time.time() + ahead)
