"""A peer that proved its name: its queue, its heartbeat, its rate."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from farsite_signaling.hub.cadence import in_step, steady
from farsite_signaling.hub.handshake import refusal
from farsite_signaling.hub.limits import HubLimits, TokenBucket
from farsite_signaling.hub.outbox import Outbox
from farsite_signaling.hub.socket import LOST, HubSocket
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.heartbeat import Heartbeat
from farsite_signaling.wire.hub import Bye, HubMessage, Ping, Pong, Unknown, dump

log = logging.getLogger(__name__)

Receive = Callable[["Connection", HubMessage | Unknown], Awaitable[None]]
Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]


class ConnectionState(StrEnum):
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class Connection:
    """`send` and `close` never wait: a slow or silent peer costs nobody else anything.

    Thousands of these stand idle: what is rarely needed, as a task that writes, is there only while it is.
    """

    __slots__ = (
        "_bucket", "_deadline", "_heartbeat", "_limits", "_loop", "_outbox", "_socket", "_spawn", "_state",
        "_writer", "name", "reason", "since",
    )  # fmt: skip

    def __init__(
        self, name: str, socket: HubSocket, limits: HubLimits, heartbeat: float, spawn: Spawn
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._socket = socket
        self._spawn = spawn
        self._writer: asyncio.Task[None] | None = None
        self._outbox = Outbox(limits.queued_messages, limits.queued_bytes)
        self._heartbeat = Heartbeat(heartbeat, self._loop.time(), waiting=True)
        self._bucket = TokenBucket(limits.messages_per_second, limits.burst, self._loop.time())
        self._state = ConnectionState.OPEN
        self._deadline: asyncio.TimerHandle | None = None
        self.name = name
        self.since = self._loop.time()
        self.reason = "the peer closed the connection"

    @property
    def state(self) -> ConnectionState:
        return self._state

    def _set_state(self, state: ConnectionState, reason: str = "") -> None:
        log.debug("hub connection of %s: %s -> %s %s", self.name, self._state, state, reason)
        self._state = state
        self.reason = reason or self.reason

    async def run(self, receive: Receive) -> None:
        """Until either side closes."""
        try:
            await self._read(receive)
            self._outbox.close()
            if self._writer is not None:
                await asyncio.wait([self._writer])
        finally:
            await self._socket.close()
            self._set_state(ConnectionState.CLOSED)
            if self._deadline is not None:
                self._deadline.cancel()

    async def _read(self, receive: Receive) -> None:
        try:
            while (message := await self._socket.receive()) is not None:
                await self._received(message, receive)
        except FarsiteError as error:
            self.close(refusal(error))
        else:
            self._outbox.clear()

    async def _received(self, message: HubMessage | Unknown, receive: Receive) -> None:
        self._heartbeat.received(self._loop.time())
        if self._state is not ConnectionState.OPEN:
            return
        if not self._bucket.take(self._loop.time()):
            rate = self._limits.messages_per_second
            raise FarsiteError(ErrorCode.RATE_LIMITED, f"More than {rate:g} messages a second.")
        await receive(self, message)

    def _wake_writer(self) -> None:
        if self._writer is None and self._outbox:
            self._writer = self._spawn(self._write(), f"hub write {self.name}")

    async def _write(self) -> None:
        try:
            while self._outbox:
                await self._socket.send(self._outbox.take())
            if self._outbox.closed:
                await self._socket.close()
        except LOST as error:
            self.drop(f"sending failed: {error!r}")
        except Exception:
            log.exception("writing to %s failed", self.name)
            self.drop("writing failed")
        finally:
            self._writer = None

    async def answer_ping(self, token: int, interval: float, *, together: bool) -> None:
        """`interval`: of heartbeats, as it should be now; the peer is told when it is another one. `together`: it is one
        of many, who ping in step (`hub/cadence.py`).

        For whoever reads from this connection: a peer that does not take its answers is not read from either.
        """
        now, current = self._loop.time(), self._heartbeat.interval
        told = in_step(current, interval, now) if together else steady(current, interval)
        if told is None:
            await self._answer(f'{{"type":"pong","token":{token}}}')
        else:
            await self._answer(dump(Pong(token=token, heartbeat=told)))
            self._heartbeat.pace(told, now)

    async def _answer(self, text: str) -> None:
        """Without a task of its own where nothing else is on its way: thousands of idle peers do nothing but ping."""
        if self._writer is not None or self._outbox or self._state is not ConnectionState.OPEN:
            self.send_text(text)
            return
        try:
            await self._socket.send(text)
        except LOST as error:
            self.drop(f"sending failed: {error!r}")

    def send(self, message: BaseModel) -> bool:
        """Queue a message. A full queue ends the connection: the peer comes back with an empty one."""
        return self.send_text(dump(message))

    def send_text(self, text: str) -> bool:
        """Like `send`, for what is dumped already."""
        if self._state is not ConnectionState.OPEN:
            return False
        if self._outbox.put(text):
            self._wake_writer()
            return True
        self.drop(f"{self._outbox.queued_bytes} bytes queued: the peer reads too slowly")
        return False

    def close(self, bye: Bye) -> None:
        """What is queued and then `bye` are still sent, within `close_timeout`; then the connection is dropped."""
        if self._state is not ConnectionState.OPEN:
            return
        self._set_state(ConnectionState.CLOSING, f"{bye.code}: {bye.detail}")
        self._outbox.close(dump(bye))
        self._wake_writer()
        self._deadline = self._loop.call_later(self._limits.close_timeout, self._socket.abort)

    def drop(self, reason: str) -> None:
        """At once, without a word."""
        if self._state is ConnectionState.OPEN:
            self._set_state(ConnectionState.CLOSING, reason)
        self._outbox.clear()
        self._outbox.close()
        self._socket.abort()

    def tick(self, now: float) -> None:
        """Called often by the hub; `now` is loop time."""
        if self._heartbeat.dead(now):
            self.drop("silent: no sign of the peer for too long")
        elif (token := self._heartbeat.ping(now)) is not None:
            self.send(Ping(token=token))
