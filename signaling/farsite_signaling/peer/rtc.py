"""`RtcLink`: message channels to one peer over WebRTC data channels (RFC 8831).

States: new → connecting → connected → closed. A link is lost once: by our `close`, by the peer, by the network, or
because the peer does not keep to the protocol.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from farsite_signaling.peer.link import MAX_MESSAGE, LinkReceiver
from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.peer.paths import classify
from farsite_signaling.peer.servers import parse_servers
from farsite_signaling.peer.tasks import TaskOwner
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.ice import IceServer
from farsite_signaling.wire.path import Path

if TYPE_CHECKING:
    from aiortc import RTCDataChannel

    from farsite_signaling.peer.gathering import GatheringReport

logger = logging.getLogger(__name__)

MAX_EARLY = 1024
"""Events kept for a receiver that has not started yet."""
MAX_CHANNEL_NUMBER = 65534

Trickle = Callable[[list[str], bool], None]
"""Candidate lines found since the last call, and whether they were the last."""


def preload() -> None:
    """Import the WebRTC stack now: 0.4 s and 62 MiB that the first session would otherwise wait for."""
    import farsite_signaling.peer.connection  # noqa: F401


class LinkState(StrEnum):
    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    CLOSED = "closed"


class RtcLink:
    """Made by dialer and listener; `connected` must have returned before it is used as a `Link`."""

    def __init__(self, ice_servers: list[IceServer], options: PeerOptions) -> None:
        from farsite_signaling.peer.connection import PeerConnection
        from farsite_signaling.peer.ice import IceConnection

        stun, turn = parse_servers([*ice_servers, *options.ice_servers])
        if options.direct_only:
            turn = []
        self._options = options
        self._ice = IceConnection(stun, turn, options)
        self._pc = PeerConnection(self._ice)
        self._tasks = TaskOwner("link")
        self._state = LinkState.NEW
        self._established = asyncio.get_running_loop().create_future()
        self._channels: dict[int, RTCDataChannel] = {}
        self._next_channel: int | None = None
        self._receiver: LinkReceiver | None = None
        self._early: list[Callable[[LinkReceiver], None]] = []
        self._error: FarsiteError | None = None
        self._closing: asyncio.Task[None] | None = None
        self._path = Path.NONE
        self._reason = "not connected yet"
        self._listen()

    def _listen(self) -> None:
        self._pc.on("connectionstatechange", self._connection_changed)
        self._pc.on("datachannel", self._channel_arrived)
        self._pc.association.on_established = self._association_established
        self._pc.association.on_lost = self._association_lost
        self._pc.association.on_writable = self._writable

    # negotiating

    @property
    def state(self) -> LinkState:
        return self._state

    @property
    def fingerprint(self) -> str:
        return self._pc.fingerprint

    @property
    def report(self) -> GatheringReport:
        return self._ice.report

    def trickle(self, send: Trickle) -> None:
        """Report candidates that came after the local description. Call before `offer` or `answer`."""
        self._ice.on_candidate = lambda candidate: self._candidate_found(send, [candidate])
        self._ice.on_gathered = lambda: self._gathering_done(send)

    def _candidate_found(self, send: Trickle, candidates: list[Any]) -> None:
        from farsite_signaling.peer.ice import candidate_line

        send([candidate_line(candidate) for candidate in candidates], False)
        if self._pc.waits_for_candidates:
            self._tasks.spawn(self._pc.resume_connect(), "resume")

    def _gathering_done(self, send: Trickle) -> None:
        self._pc.gatherer.finish()
        send([], True)
        if not self._ice.local_candidates:
            self._lost(self.unreachable("There is nothing to connect with."))

    async def offer(self) -> tuple[str, bool]:
        """Our description with the candidates known at once, and whether these are all."""
        self._set_state(LinkState.CONNECTING)
        await self._describe(self._pc.createOffer)
        return self._local_description()

    async def answer(self, sdp: str) -> tuple[str, bool]:
        """To an offer whose fingerprint was verified. Raises `protocol_error`, or why the link was closed meanwhile."""
        self._set_state(LinkState.CONNECTING)
        await self._set_remote(sdp, "offer")
        await self._describe(self._pc.createAnswer)
        return self._local_description()

    async def _describe(self, create: Callable[[], Awaitable[Any]]) -> None:
        from aiortc.exceptions import InvalidStateError

        try:
            await self._pc.setLocalDescription(await create())
        except InvalidStateError:
            raise self._error or FarsiteError(ErrorCode.CLOSED, "The link was closed meanwhile.") from None

    async def accept(self, sdp: str) -> None:
        """The verified answer to our offer. Raises `protocol_error`."""
        await self._set_remote(sdp, "answer")

    async def _set_remote(self, sdp: str, kind: str) -> None:
        from aiortc import RTCSessionDescription

        try:
            await self._pc.setRemoteDescription(RTCSessionDescription(without_names(sdp), kind))
        except FarsiteError:
            raise
        except Exception as error:
            # The library's parser raises whatever it stumbles over.
            logger.info("unusable %s: %r", kind, error)
            raise FarsiteError(ErrorCode.PROTOCOL_ERROR, f"The {kind} is not understood.") from None

    def _local_description(self) -> tuple[str, bool]:
        return self._pc.localDescription.sdp, self._ice.gathered

    async def add_candidates(self, lines: list[str], *, complete: bool) -> None:
        """Raises `protocol_error`."""
        from farsite_signaling.peer.ice import parse_candidate

        for line in lines:
            await self._ice.add_remote_candidate(parse_candidate(line))
        if complete:
            await self._ice.add_remote_candidate(None)

    async def connected(self) -> None:
        """Raises `FarsiteError` when the link fails first."""
        await asyncio.shield(self._established)

    def fail(self, error: FarsiteError) -> None:
        """End the attempt or the link with this error."""
        self._lost(error)

    # the link

    @property
    def path(self) -> Path:
        return self._path

    @property
    def reason(self) -> str:
        return self._reason

    @property
    def local_address(self) -> str | None:
        return self._ice.local_address

    @property
    def buffered_amount(self) -> int:
        return self._pc.association.queued

    def start(self, receiver: LinkReceiver) -> None:
        if self._state is LinkState.CLOSED:  # lost while nobody listened
            receiver.link_lost(self._error)
            return
        self._receiver = receiver
        early, self._early = self._early, []
        for event in early:
            self._deliver(event)

    def open_channel(self, label: str) -> int:
        number = self._free_number()
        channel = self._pc.createDataChannel(label, id=number)
        self._add_channel(number, channel)
        return number

    def send(self, channel: int, message: bytes) -> None:
        if len(message) > MAX_MESSAGE:
            raise ValueError(f"message of {len(message)} bytes")
        target = self._channels.get(channel)
        if target is not None and self._state is LinkState.CONNECTED:
            self._pc.association.queue(target, message)

    def close_channel(self, channel: int) -> None:
        target = self._channels.pop(channel, None)
        if target is not None and self._state is LinkState.CONNECTED:
            target.close()

    async def close(self) -> None:
        self._lost(None)
        assert self._closing is not None
        await asyncio.shield(self._closing)

    # channels

    def _free_number(self) -> int:
        if self._state is not LinkState.CONNECTED:
            raise FarsiteError(ErrorCode.CLOSED, "The link is closed.")
        taken = self._pc.association._data_channels
        number = self._pc.association.parity if self._next_channel is None else self._next_channel
        for _ in range(MAX_CHANNEL_NUMBER // 2):
            if number > MAX_CHANNEL_NUMBER:
                number = self._pc.association.parity
            if number not in taken:
                self._next_channel = number + 2
                return number
            number += 2
        raise FarsiteError(ErrorCode.STREAM_LIMIT, "Every channel of this link is in use.")

    def _add_channel(self, number: int, channel: RTCDataChannel) -> None:
        self._channels[number] = channel
        channel.on("message", lambda message: self._message(number, message))
        channel.on("close", lambda: self._channel_closed(number, channel))

    def _channel_arrived(self, channel: RTCDataChannel) -> None:
        number = channel.id
        if number is None or self._state is LinkState.CLOSED:
            return
        self._add_channel(number, channel)
        label = channel.label
        self._deliver(lambda receiver: receiver.channel_opened(number, label))

    def _message(self, number: int, message: bytes) -> None:
        if number in self._channels:
            self._deliver(lambda receiver: receiver.message_received(number, message))

    def _channel_closed(self, number: int, channel: RTCDataChannel) -> None:
        if self._channels.get(number) is channel:
            del self._channels[number]
            self._deliver(lambda receiver: receiver.channel_closed(number))

    def _writable(self) -> None:
        self._deliver(lambda receiver: receiver.writable())

    def _deliver(self, event: Callable[[LinkReceiver], None]) -> None:
        if self._state is LinkState.CLOSED:
            return
        if self._receiver is None:
            self._keep(event)
            return
        try:
            event(self._receiver)
        except Exception:
            # It would tear down the library's transport without anybody hearing why.
            logger.exception("the link's receiver failed")
            self._lost(FarsiteError(ErrorCode.INTERNAL, "The tunnel failed on a message; see the log."))

    def _keep(self, event: Callable[[LinkReceiver], None]) -> None:
        if len(self._early) >= MAX_EARLY:
            self._lost(FarsiteError(ErrorCode.PROTOCOL_ERROR, "The other side sends before it may."))
            return
        self._early.append(event)

    # state

    def _set_state(self, state: LinkState) -> None:
        logger.debug("link %s -> %s", self._state, state)
        self._state = state

    def _association_established(self) -> None:
        if self._state is not LinkState.CONNECTING:
            return
        self._set_state(LinkState.CONNECTED)
        self._path, self._reason = classify(self._ice)
        if not self._established.done():
            self._established.set_result(None)

    def _connection_changed(self) -> None:
        if self._pc.connectionState == "failed":
            self._lost(self._unreachable())
        elif self._pc.connectionState == "closed":
            self._lost(_gone())

    def _association_lost(self, error: FarsiteError | None) -> None:
        self._lost(error or _gone())

    def _unreachable(self) -> FarsiteError:
        if self._state is LinkState.CONNECTED:
            return FarsiteError(ErrorCode.PEER_TIMEOUT, "The connection to the other side broke.")
        return self.unreachable("No way to the other side was found.")

    def unreachable(self, what: str) -> FarsiteError:
        """The error for an attempt that came to nothing: what was tried, and the code that helps most."""
        code = self.report.blame(relay_only=self._options.relay_only)
        return FarsiteError(code, f"{what} {self.report.describe()}")

    def _lost(self, error: FarsiteError | None) -> None:
        """Once: tell the receiver, fail who waits, free everything."""
        if self._state is LinkState.CLOSED:
            return
        self._error = error
        self._set_state(LinkState.CLOSED)
        self._channels.clear()
        if not self._established.done():
            self._established.set_exception(error or FarsiteError(ErrorCode.CLOSED, "Closed."))
            self._established.exception()  # seen here, if nobody waits
        self._closing = asyncio.get_running_loop().create_task(self._shut(), name="link:close")
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            with suppress(Exception):
                receiver.link_lost(error)

    async def _shut(self) -> None:
        await self._tasks.close()
        try:
            async with asyncio.timeout(self._options.close_timeout):
                await self._pc.close()
        except TimeoutError:
            logger.warning("the connection did not close in time; its sockets are dropped")
            self._ice.abort()
        except Exception:
            logger.exception("closing the connection failed; its sockets are dropped")
            self._ice.abort()


def _gone() -> FarsiteError:
    return FarsiteError(
        ErrorCode.PEER_UNREACHABLE, "The other side closed the connection without saying why."
    )


def without_names(sdp: str) -> str:
    """Without candidates that are names (mDNS): looking them up takes a second; their checks reveal them."""
    lines = sdp.replace("\r\n", "\n").split("\n")
    return "\r\n".join(line for line in lines if not (line.startswith("a=candidate:") and ".local " in line))
