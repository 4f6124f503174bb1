"""Between a tunnel's session and the link it uses: channels, messages out, messages in, and the link's end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from farsite_signaling.peer.link import HIGH_WATER, Link
from farsite_signaling.tunnel import CONTROL_LABEL, STREAM_LABEL, Session, Stream
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

_log = logging.getLogger(__name__)
LINK_CLOSE_TIMEOUT = 5.0


def begin(session: Session, link: Link, now: float, *, initiator: bool) -> None:
    """Have the session's streams go on over the link. Raises `FarsiteError` when it is broken already."""
    control = link.open_channel(CONTROL_LABEL) if initiator else None
    for stream in session.attach(control, now):
        session.bind(stream, link.open_channel(STREAM_LABEL))


def bind(session: Session, stream: Stream, link: Link | None) -> None:
    """Without a link the new stream waits for the next one."""
    if link is None:
        return
    try:
        session.bind(stream, link.open_channel(STREAM_LABEL))
    except FarsiteError as error:
        stream.reset(error)


def pump(session: Session, link: Link) -> None:
    """Fill the link's queue."""
    next_message = session.next_message
    while link.buffered_amount < HIGH_WATER:
        outgoing = next_message()
        if outgoing is None:
            break
        _put(link, outgoing)


def flush(session: Session, link: Link) -> None:
    """The last words go out even when the link's queue is full."""
    while outgoing := session.next_message():
        _put(link, outgoing)


def _put(link: Link, outgoing: tuple[int, bytes | None]) -> None:
    channel, message = outgoing
    if message is None:
        link.close_channel(channel)
    else:
        link.send(channel, message)


async def close_link(link: Link, name: str) -> None:
    try:
        async with asyncio.timeout(LINK_CLOSE_TIMEOUT):
            await link.close()
    except Exception:
        _log.warning("tunnel %s: the link did not close", name, exc_info=True)


class Receiver:
    """Implements `LinkReceiver`: passes on what one link says, as long as it is `in_use`."""

    def __init__(
        self,
        session: Session,
        *,
        in_use: Callable[[], bool],
        settle: Callable[[], None],
        lost: Callable[[FarsiteError], None],
        time: Callable[[], float],
    ) -> None:
        self._session = session
        self._in_use = in_use
        self._settle = settle
        self._lost = lost
        self._time = time

    def channel_opened(self, channel: int, label: str) -> None:
        if self._in_use():
            self._session.channel_opened(channel, label)
            self._settle()

    def message_received(self, channel: int, message: bytes) -> None:
        if self._in_use():
            self._session.message_received(channel, message, self._time())
            self._settle()

    def channel_closed(self, channel: int) -> None:
        if self._in_use():
            self._session.channel_closed(channel, self._time())
            self._settle()

    def writable(self) -> None:
        if self._in_use():
            self._settle()

    def link_lost(self, error: FarsiteError | None) -> None:
        if self._in_use():
            self._lost(error or FarsiteError(ErrorCode.PEER_UNREACHABLE, "The link was closed."))
