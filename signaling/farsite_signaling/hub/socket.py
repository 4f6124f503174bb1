"""One peer's WebSocket on the hub's side: messages in and out, everything bounded in size and time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket

from aiohttp import WSMsgType, web

from farsite_signaling.hub.limits import HubLimits
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.hub import Bye, HubMessage, Unknown, dump, parse_hub_message

log = logging.getLogger(__name__)

# Small, so that a slow reader is noticed by the connection's own bounded queue and not hidden by buffers.
WRITE_BUFFER = 16 * 1024
_SHORT = WRITE_BUFFER // 4
"""Letters, of at most four bytes each."""
LOST = (ConnectionError, TimeoutError, RuntimeError)


class HubSocket:
    __slots__ = ("_limits", "_transport", "response")

    def __init__(self, limits: HubLimits) -> None:
        self._limits = limits
        self._transport: asyncio.Transport | None = None
        self.response = web.WebSocketResponse(
            compress=False,
            autoping=False,
            timeout=limits.close_timeout,
            max_msg_size=limits.message_size,
            writer_limit=WRITE_BUFFER,
        )

    async def prepare(self, request: web.Request) -> None:
        await self.response.prepare(request)
        self._transport = request.transport
        if self._transport is not None:
            self._transport.set_write_buffer_limits(high=WRITE_BUFFER)
            _probe(self._transport, self._limits.keepalive)

    async def receive(self) -> HubMessage | Unknown | None:
        """The next message, `None` once closed. Raises `FarsiteError` for what is no message."""
        frame = await self.response.receive()
        match frame.type:
            case WSMsgType.TEXT:
                return parse_hub_message(frame.data)
            case WSMsgType.BINARY:
                raise FarsiteError(ErrorCode.PROTOCOL_ERROR, "Messages are text, not binary.")
            case WSMsgType.PING | WSMsgType.PONG:
                return await self._control(frame.type, frame.data)
            case _:
                return None

    async def _control(self, kind: WSMsgType, data: bytes) -> Unknown | None:
        """WebSocket's own pings are answered and count as messages, so that a flood of them is noticed."""
        try:
            if kind is WSMsgType.PING:
                async with asyncio.timeout(self._limits.send_timeout):
                    await self.response.pong(data)
        except LOST:
            return None
        return Unknown(type=kind.name.lower())

    async def send(self, text: str) -> None:
        """Raises one of `LOST` when the other side is gone or takes nothing for too long."""
        if self._takes_at_once(text):
            await self.response.send_str(text)
            return
        async with asyncio.timeout(self._limits.send_timeout):
            await self.response.send_str(text)

    def _takes_at_once(self, text: str) -> bool:
        """Nothing to wait for, so no need of a timer: an answer to a ping, of which there are hundreds a second."""
        transport = self._transport
        return transport is not None and len(text) < _SHORT and transport.get_write_buffer_size() == 0

    async def refuse(self, bye: Bye) -> None:
        """Last words, as far as the other side takes them; closed afterwards."""
        with contextlib.suppress(*LOST):
            async with asyncio.timeout(self._limits.close_timeout):
                await self.response.send_str(dump(bye))
        await self.close()

    async def close(self) -> None:
        """Idempotent; takes at most `close_timeout`."""
        try:
            with contextlib.suppress(*LOST):
                async with asyncio.timeout(self._limits.close_timeout):
                    await self.response.close()
        finally:
            self.abort()

    def abort(self) -> None:
        """Drop the TCP connection, whatever the other side does."""
        if self._transport is not None:
            self._transport.abort()


def _probe(transport: asyncio.Transport, keepalive: tuple[int, int, int]) -> None:
    """The system asks a silent peer for signs of life by itself (RFC 9293 section 3.8.4)."""
    own = transport.get_extra_info("socket")
    if own is None or own.family not in (socket.AF_INET, socket.AF_INET6):
        return
    names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
    with contextlib.suppress(OSError):
        own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in zip(names, keepalive, strict=True):
            if hasattr(socket, name):
                own.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
