"""A link proves itself before streams move to it; the other side answers, and waits for the streams."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from farsite_signaling.peer.link import Link
from farsite_signaling.tunnel import CONTROL_LABEL, STREAM_LABEL
from farsite_signaling.tunnel.frames import Ping, Pong, parse_control_frame
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

logger = logging.getLogger(__name__)

PROBE_LABEL = "farsite-probe/1"
ROUNDS = 3
ANSWER_TIMEOUT = 2.0
MAX_PINGS = 64


async def prove(link: Link) -> float:
    """The shortest round trip of a few pings over a link that no tunnel uses yet, seconds.

    Raises `FarsiteError`: `peer_timeout`, or how the link was lost.
    """
    prover = _Prover(link)
    link.start(prover)
    try:
        async with asyncio.timeout(ROUNDS * ANSWER_TIMEOUT):
            return min([await prover.round_trip() for _ in range(ROUNDS)])
    except TimeoutError:
        raise FarsiteError(ErrorCode.PEER_TIMEOUT, "No answer came over the new path.") from None


class _Prover:
    """Receiver of the dialer's side."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._channel: int | None = None
        self._token = 0
        self._answer: asyncio.Future[float] | None = None
        self._lost: FarsiteError | None = None

    async def round_trip(self) -> float:
        if self._lost is not None:
            raise self._lost
        if self._channel is None:
            self._channel = self._link.open_channel(PROBE_LABEL)
        loop = asyncio.get_running_loop()
        self._token += 1
        self._answer = loop.create_future()
        sent = loop.time()
        self._link.send(self._channel, Ping(self._token).encode())
        return await self._answer - sent

    def channel_opened(self, channel: int, label: str) -> None:
        self._link.close_channel(channel)

    def message_received(self, channel: int, message: bytes) -> None:
        answer = self._answer
        if channel != self._channel or answer is None or answer.done():
            return
        try:
            frame = parse_control_frame(message)
        except FarsiteError as error:
            answer.set_exception(error)
            return
        if isinstance(frame, Pong) and frame.token == self._token:
            answer.set_result(asyncio.get_running_loop().time())

    def channel_closed(self, channel: int) -> None:
        if channel == self._channel:
            self._fail(FarsiteError(ErrorCode.PEER_UNREACHABLE, "The other side does not answer probes."))

    def writable(self) -> None:
        pass

    def link_lost(self, error: FarsiteError | None) -> None:
        self._fail(error or FarsiteError(ErrorCode.CLOSED, "The link was closed."))

    def _fail(self, error: FarsiteError) -> None:
        self._lost = error
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


class Standby:
    """Receiver of the listener's side: answers pings until the streams come.

    `take(channel, label)` is called once, with the first channel of the tunnel, and gives the link another receiver; it
    raises `FarsiteError` to refuse. `wait` returns when the link was taken (True) or came to nothing (False).
    """

    def __init__(self, link: Link, take: Callable[[int, str], None]) -> None:
        self._link = link
        self._take = take
        self._done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._probes: set[int] = set()
        self._pings = 0
        self.error: FarsiteError | None = None

    async def wait(self) -> bool:
        return await self._done

    def channel_opened(self, channel: int, label: str) -> None:
        if label in (CONTROL_LABEL, STREAM_LABEL):
            self._hand_over(channel, label)
        elif label == PROBE_LABEL and not self._probes:
            self._probes.add(channel)
        else:
            self._link.close_channel(channel)

    def _hand_over(self, channel: int, label: str) -> None:
        if self._done.done():
            return
        try:
            self._take(channel, label)
        except FarsiteError as error:
            self._finish(error)
        else:
            self._done.set_result(True)

    def message_received(self, channel: int, message: bytes) -> None:
        if channel not in self._probes:
            return
        self._pings += 1
        try:
            frame = parse_control_frame(message)
            if self._pings > MAX_PINGS:
                raise FarsiteError(ErrorCode.PROTOCOL_ERROR, "Too many probes on one link.")
        except FarsiteError as error:
            self._finish(error)
            return
        if isinstance(frame, Ping):
            self._link.send(channel, Pong(frame.token).encode())

    def channel_closed(self, channel: int) -> None:
        self._probes.discard(channel)

    def writable(self) -> None:
        pass

    def link_lost(self, error: FarsiteError | None) -> None:
        self._finish(error or FarsiteError(ErrorCode.CLOSED, "The link was closed."))

    def _finish(self, error: FarsiteError) -> None:
        self.error = error
        if not self._done.done():
            self._done.set_result(False)
