"""The hub itself: lets peers in, keeps the newest connection of each name, carries envelopes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Collection, Coroutine, Iterable
from types import TracebackType
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel

from farsite_signaling.hub.authorizer import Authorizer
from farsite_signaling.hub.connection import Connection
from farsite_signaling.hub.door import Door
from farsite_signaling.hub.handshake import Handshake, refusal
from farsite_signaling.hub.limits import HubLimits
from farsite_signaling.hub.neighbours import Alone, Neighbours
from farsite_signaling.hub.presence import Presence
from farsite_signaling.hub.registry import Registry
from farsite_signaling.hub.socket import HubSocket
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.hub import (
    Bye,
    EnvelopeMessage,
    HubMessage,
    Ping,
    Pong,
    Report,
    ReportAccepted,
    SessionsHeld,
    Undeliverable,
    Unknown,
    Welcome,
    dump,
)
from farsite_signaling.wire.inventory import InventoryDelta
from farsite_signaling.wire.work import WorkReport, WorkReportAccepted

log = logging.getLogger(__name__)
T = TypeVar("T")

HEARTBEAT = 4.0
_TICKS_PER_HEARTBEAT = 8
_MANY = 20
"""Pings a second, from which on they are to come together."""


class Hub:
    """Mount `handle` at `wire.hub.HUB_PATH` of an aiohttp application and enter the hub while it serves.

    `heartbeat`: seconds between pings at least, told to the peers. `allowed_origins`: values of the `Origin` header that
    browsers may come with (RFC 6455, 10.2); programs send none and are let in by their certificate alone.
    `counts` says what happened, by name, for metrics.
    """

    def __init__(
        self,
        authorizer: Authorizer,
        *,
        heartbeat: float = HEARTBEAT,
        limits: HubLimits | None = None,
        allowed_origins: Collection[str] = (),
        neighbours: Neighbours | None = None,
    ) -> None:
        self._authorizer = authorizer
        self._heartbeat = heartbeat
        self._limits = limits or HubLimits()
        self._origins = frozenset(origin.lower().rstrip("/") for origin in allowed_origins)
        self._registry: Registry[Connection] = Registry()
        self._neighbours = neighbours or Alone()
        self._presence = Presence(
            self._registry.__contains__,
            self._authorizer.presence_changed,
            self._limits.authorizer_timeout,
            elsewhere=self._neighbours.online,
        )
        self._live: set[Connection] = set()
        self._at_door: set[HubSocket] = set()
        self._door = Door(self._limits.handshakes, 1 / self._limits.return_rate)
        self._group: asyncio.TaskGroup | None = None
        self._settling: set[asyncio.Task[None]] = set()
        self._ticker: asyncio.Task[None] | None = None
        self._open = False
        self._empty = asyncio.Event()
        self._empty.set()
        self.counts: Counter[str] = Counter()

    def online(self, urn: str) -> bool:
        """Here, or at another hub as far as that was heard of (see `partial`)."""
        return urn in self._registry or self._neighbours.online(urn)

    @property
    def partial(self) -> bool:
        """Whether peers of other hubs may be online without this hub knowing."""
        return self._neighbours.partial

    def __len__(self) -> int:
        """Peers of this hub."""
        return len(self._registry)

    # Life

    async def __aenter__(self) -> Hub:
        assert self._group is None, "a hub is entered once"
        self._group = await asyncio.TaskGroup().__aenter__()
        self._ticker = self._group.create_task(self._tick_forever(), name="hub ticker")
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._group is not None and self._ticker is not None
        try:
            await self.close()
        finally:
            self._ticker.cancel()
            for task in self._settling:
                task.cancel()
            # Without the error: a group would wrap what the body raised.
            await self._group.__aexit__(None, None, None)

    async def close(self) -> None:
        """Send everybody away, to come back one by one. Idempotent; takes a few seconds at most."""
        self._open = False
        window = min(self._limits.return_within, len(self._live) / self._limits.return_rate)
        for socket in self._at_door:
            socket.abort()
        for connection in self._live:
            after = random.uniform(0, window)  # noqa: S311 (spreads load, guards nothing)
            bye = Bye(code=ErrorCode.UNAVAILABLE, detail="The hub is restarting.", retry_after=after)
            connection.close(bye)
        # Connections drop by themselves after `close_timeout`; this waits until their handlers have returned.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3 * self._limits.close_timeout):
                await self._empty.wait()
        if self._settling:
            await asyncio.wait(self._settling, timeout=self._limits.authorizer_timeout)

    def _count_out(self) -> None:
        if self._live or self._at_door:
            self._empty.clear()
        else:
            self._empty.set()

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(self._pace / _TICKS_PER_HEARTBEAT)
            try:
                self._tick(asyncio.get_running_loop().time())
            except Exception:
                self.counts["errors"] += 1
                log.exception("hub ticker failed; it goes on")

    def _tick(self, now: float) -> None:
        for connection in list(self._live):
            connection.tick(now)
        for name in self._presence.due(now, self._limits.presence_retry):
            self._settle(name)

    def _settle(self, name: str) -> None:
        assert self._group is not None
        task = self._group.create_task(self._presence.settle(name), name=f"hub presence {name}")
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    @property
    def _pace(self) -> float:
        """Seconds between the pings of a peer: the more there are, the longer."""
        wanted = len(self._live) / self._limits.pings_per_second
        return max(self._heartbeat, min(wanted, self._limits.longest_heartbeat))

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        assert self._group is not None
        return self._group.create_task(work, name=name)

    # Connections

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """An aiohttp handler: one WebSocket from its opening to its end."""
        if problem := self._turned_away(request):
            self.counts["turned_away"] += 1
            return _problem_response(problem)
        socket = HubSocket(self._limits)
        self._at_door.add(socket)
        self._empty.clear()
        try:
            await socket.prepare(request)
            connection = await self._admit(socket)
        finally:
            self._door.passed(asyncio.get_running_loop().time())
            self._at_door.discard(socket)
            self._count_out()
        if connection is not None:
            await self._serve(connection)
        return socket.response

    def _turned_away(self, request: web.Request) -> FarsiteError | None:
        origin = request.headers.get("Origin")
        if origin is not None and origin.lower() not in self._origins:
            return FarsiteError(ErrorCode.FORBIDDEN, "Pages of this origin may not connect to the hub.")
        if not self._open:
            return FarsiteError(ErrorCode.UNAVAILABLE, "The hub is closed.", retry_after=1.0)
        if len(self._live) >= self._limits.connections:
            return FarsiteError(ErrorCode.UNAVAILABLE, "The hub is full.", retry_after=5.0)
        if (wait := self._door.knock(asyncio.get_running_loop().time())) is not None:
            detail = "Too many come to the hub at once."
            return FarsiteError(ErrorCode.UNAVAILABLE, detail, retry_after=max(1.0, wait))
        return None

    async def _admit(self, socket: HubSocket) -> Connection | None:
        try:
            async with asyncio.timeout(self._limits.handshake_timeout):
                return await self._shake_hands(socket)
        except TimeoutError:
            error = FarsiteError(ErrorCode.TIMEOUT, "The handshake was not finished in time.")
        except FarsiteError as refused:
            error = refused
        except ConnectionError:
            error = FarsiteError(ErrorCode.CLOSED, "The peer went away.")
        self.counts["refused"] += 1
        log.info("hub refused a peer: %s", error)
        await socket.refuse(refusal(error))
        return None

    async def _shake_hands(self, socket: HubSocket) -> Connection:
        shake = Handshake()
        challenge = shake.hello(await _next(socket), time.time())
        await socket.send(dump(challenge))
        hello = shake.proof(await _next(socket))
        key = await self._ask(self._authorizer.authenticate(hello))
        welcome = shake.accept(key, heartbeat=self._pace, now=time.time())
        return self._register(hello.name, socket, welcome)

    def _register(self, name: str, socket: HubSocket, welcome: Welcome) -> Connection:
        if not self._open:
            raise FarsiteError(ErrorCode.UNAVAILABLE, "The hub is closing.")
        connection = Connection(name, socket, self._limits, welcome.heartbeat, self._spawn)
        connection.send(welcome)
        older = self._registry.add(connection)
        if older is not None:
            self.counts["replaced"] += 1
            older.close(replaced())
        self._live.add(connection)
        self._neighbours.changed(name)
        return connection

    async def _serve(self, connection: Connection) -> None:
        log.info("%s connected to the hub", connection.name)
        self.counts["connected"] += 1
        self._settle(connection.name)
        try:
            await connection.run(self._received)
        finally:
            self._live.discard(connection)
            self._count_out()
            log.info("%s left the hub: %s", connection.name, connection.reason)
            if self._registry.remove(connection):
                self._left(connection.name)

    def _left(self, name: str) -> None:
        self._neighbours.changed(name)
        self._settle(name)

    async def notify(self, urn: str, message: BaseModel) -> bool:
        """False when the peer is not connected (or no longer reads), or other hubs cannot be asked."""
        try:
            return await self._hand_over(urn, dump(message))
        except FarsiteError as error:
            log.warning("%s for %s is lost: %s", getattr(message, "type", "a message"), urn, error)
            return False

    async def _hand_over(self, name: str, text: str) -> bool:
        """Raises `unavailable` when the peer is at another hub that cannot be reached."""
        if name in self._registry:
            return self.deliver(name, text)
        return await self._neighbours.send(name, text)

    async def disconnect(self, urn: str, code: ErrorCode, detail: str, *, retry: bool = False) -> bool:
        """Offline at once; the connection itself ends within `close_timeout`. False when it was not connected."""
        bye = Bye(code=code, detail=detail, retry=retry)
        if self.dismiss(urn, bye):
            return True
        try:
            return await self._neighbours.disconnect(urn, bye)
        except FarsiteError as error:
            log.warning("%s could not be sent away: %s", urn, error)
            return False

    # What neighbours ask for (`neighbours.Here`)

    def connected(self) -> Iterable[str]:
        return [connection.name for connection in self._registry]

    def age(self, name: str) -> float | None:
        connection = self._registry.get(name)
        return None if connection is None else asyncio.get_running_loop().time() - connection.since

    def deliver(self, name: str, text: str) -> bool:
        connection = self._registry.get(name)
        return connection is not None and connection.send_text(text)

    def dismiss(self, name: str, bye: Bye) -> bool:
        connection = self._registry.get(name)
        if connection is None:
            return False
        if bye.code == ErrorCode.REPLACED:
            self.counts["replaced"] += 1
        self._registry.remove(connection)
        connection.close(bye)
        self._left(name)
        return True

    def lost(self, names: Iterable[str]) -> None:
        for name in names:
            if not self.online(name):
                self._presence.was_online(name)
                self._settle(name)

    # Messages

    async def _received(self, connection: Connection, message: HubMessage | Unknown) -> None:
        match message:
            case Ping():  # first: of most peers nothing else is ever heard
                pace = self._pace
                together = len(self._live) >= _MANY * pace
                await connection.answer_ping(message.token, pace, together=together)
            case EnvelopeMessage():
                await self._forward(connection, message)
            case Report():
                await self._report(connection, message)
            case WorkReport():
                await self._work_report(connection, message)
            case SessionsHeld():
                await self._compare(connection, message)
            case InventoryDelta():
                await self._inventory(connection, message)
            case Pong() | Unknown():
                pass
            case _:
                raise FarsiteError(ErrorCode.PROTOCOL_ERROR, f"A peer does not send {message.type}.")

    async def _forward(self, connection: Connection, message: EnvelopeMessage) -> None:
        try:
            await self._deliver(connection.name, message)
            self.counts["delivered"] += 1
        except FarsiteError as error:
            self.counts["undeliverable"] += 1
            answer = Undeliverable(id=message.envelope.id, code=error.code, detail=error.detail)
            connection.send(answer)

    async def _deliver(self, sender: str, message: EnvelopeMessage) -> None:
        recipient = message.envelope.recipient
        if message.envelope.sender != sender:
            raise FarsiteError(ErrorCode.FORBIDDEN, "An envelope must carry its sender's own name.")
        await self._ask(self._authorizer.may_deliver(sender, recipient))
        if not await self._hand_over(recipient, dump(message)):
            raise FarsiteError(ErrorCode.EDGE_OFFLINE, f"{recipient} is not connected to the cloud.")

    async def _report(self, connection: Connection, report: Report) -> None:
        try:
            await self._ask(self._authorizer.report_received(connection.name, report))
        except FarsiteError as error:
            # Not accepted: its sender keeps the audit rows and sends them again.
            log.warning("report of %s not taken: %s", connection.name, error)
            return
        connection.send(ReportAccepted(id=report.id))

    async def _work_report(self, connection: Connection, report: WorkReport) -> None:
        try:
            await self._ask(self._authorizer.work_reported(connection.name, report))
        except FarsiteError as error:
            log.warning("work report of %s not taken: %s", connection.name, error)
            return
        connection.send(WorkReportAccepted(id=report.id))

    async def _compare(self, connection: Connection, message: SessionsHeld) -> None:
        try:
            ended = await self._ask(self._authorizer.sessions_ended(connection.name, message.sessions))
        except FarsiteError as error:
            # Its sender asks again.
            log.warning("sessions of %s not compared: %s", connection.name, error)
            return
        for one in ended:
            connection.send(one)

    async def _inventory(self, connection: Connection, delta: InventoryDelta) -> None:
        try:
            answers = await self._ask(self._authorizer.inventory_received(connection.name, delta))
        except FarsiteError as error:
            # Not answered: its sender keeps the changes and sends them again.
            log.warning("inventory of %s not taken: %s", connection.name, error)
            return
        for answer in answers:
            connection.send(answer)

    async def _ask(self, question: Awaitable[T]) -> T:
        """The authorizer's answer. Its failures become `unavailable`: never a yes, never the end of the hub."""
        try:
            async with asyncio.timeout(self._limits.authorizer_timeout):
                return await question
        except FarsiteError:
            raise
        except Exception as error:
            self.counts["errors"] += 1
            if isinstance(error, TimeoutError):
                log.error("authorizer did not answer within %g s", self._limits.authorizer_timeout)
            else:
                log.exception("authorizer failed")
            raise FarsiteError(ErrorCode.UNAVAILABLE, "The cloud cannot decide right now.") from None


async def _next(socket: HubSocket) -> HubMessage | Unknown:
    message = await socket.receive()
    if message is None:
        raise ConnectionResetError
    return message


def replaced() -> Bye:
    detail = "The same identity connected from somewhere else. Run it in one place only."
    return Bye(code=ErrorCode.REPLACED, detail=detail, retry=False)


def _problem_response(error: FarsiteError) -> web.Response:
    headers = {} if error.retry_after is None else {"Retry-After": f"{error.retry_after:.0f}"}
    body = error.problem().model_dump_json(exclude_none=True)
    return web.Response(
        status=error.status, text=body, content_type="application/problem+json", headers=headers
    )
