"""One stream: a byte stream each way over one link channel, resumable on another link."""

from __future__ import annotations

import logging
from collections import deque
from enum import StrEnum
from typing import Protocol

from farsite_signaling.tunnel.events import (
    Event,
    StreamAccepted,
    StreamDrained,
    StreamEnded,
    StreamFlushed,
    StreamReadable,
)
from farsite_signaling.tunnel.frames import (
    Accept,
    Credit,
    Data,
    Fin,
    Open,
    Reset,
    Resume,
    StreamFrame,
)
from farsite_signaling.tunnel.receiving import ReceiveBuffer
from farsite_signaling.tunnel.sending import SendBuffer
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.stream import OpenRequest, Priority

_log = logging.getLogger(__name__)


class StreamState(StrEnum):
    OPENING = "opening"
    """We asked; the peer has not answered."""
    REQUESTED = "requested"
    """The peer asked; we have not answered."""
    OPEN = "open"
    LOCAL_ENDED = "local_ended"
    REMOTE_ENDED = "remote_ended"
    CLOSING = "closing"
    """Both ended; the peer has not confirmed our end."""
    CLOSED = "closed"
    RESET = "reset"


_UNANSWERED = (StreamState.OPENING, StreamState.REQUESTED)
_FINAL = (StreamState.CLOSED, StreamState.RESET)


class Owner(Protocol):
    """What a stream needs of its session."""

    @property
    def rtt(self) -> float | None: ...

    def has_notice(self, stream: Stream) -> None: ...

    def has_data(self, stream: Stream) -> None: ...

    def emit(self, event: Event) -> None: ...

    def ended(self, stream: Stream, *, we_close: bool) -> None: ...

    def expire(self, stream: Stream) -> None: ...


class Stream:
    """Made by `Session`. `channel` is None while there is no link, or not yet a channel on the new one."""

    def __init__(
        self, number: int, request: OpenRequest, receive: ReceiveBuffer, owner: Owner, *, ours: bool
    ) -> None:
        self.number = number
        self.request = request
        self.ours = ours
        self.channel: int | None = None
        self.error: FarsiteError | None = None
        self.notify_below: int | None = None
        self.noticed = False  # in the scheduler's line of notices
        self.lined_up = False  # in one of its lines of data
        self.bulk = request.priority is Priority.BULK
        self._owner = owner
        self._send = SendBuffer()
        self._receive = receive
        self._notices: deque[bytes] = deque()
        self._credit_due = False
        self._readable_said = False
        self._flushed_said = False
        self._linked = False  # the peer's offsets on this link are known
        self._state = StreamState.OPENING if ours else StreamState.REQUESTED

    # --- state

    @property
    def state(self) -> StreamState:
        return self._state

    def _enter(self, state: StreamState) -> None:
        _log.debug("stream %d: %s -> %s", self.number, self._state, state)
        self._state = state

    @property
    def ended(self) -> bool:
        return self._state in _FINAL

    @property
    def resumed(self) -> bool:
        """Not left behind on an earlier link."""
        return self._linked or (self.channel is not None and self._state in _UNANSWERED)

    @property
    def waiting(self) -> int:
        """Bytes written and not yet sent."""
        return self._send.waiting

    @property
    def unconfirmed(self) -> bool:
        """We ended, and the peer has not confirmed all of it."""
        return self._send.ended and not self._send.finished

    @property
    def unread(self) -> int:
        return self._receive.unread

    @property
    def window(self) -> int:
        """Bytes the peer may have under way to us at a time."""
        return self._receive.window

    @property
    def at_end(self) -> bool:
        """The peer ended and all it sent was read."""
        return self._receive.ended and not self._receive.unread

    # --- the application's side

    def write(self, data: bytes) -> None:
        """Queue bytes. Ignored once the stream ended or was reset."""
        if data and not self._send.ended and not self.ended:
            self._send.write(data)
            self._line_up()

    def end(self) -> None:
        """No more will be written. What waits is still sent."""
        if self._send.ended or self.ended:
            return
        self._send.end()
        remote_ended = self._state is StreamState.REMOTE_ENDED
        if self._state not in _UNANSWERED:
            self._enter(StreamState.CLOSING if remote_ended else StreamState.LOCAL_ENDED)
        self._line_up()

    def read(self, limit: int, now: float) -> bytes:
        """The next piece of at most `limit` bytes; empty when there is none now."""
        data = self._receive.read(limit)
        if not self._receive.unread:
            self._readable_said = False
        if self._receive.replenish(now, self._owner.rtt):
            self._say_credit()
        return data

    def discard(self) -> None:
        """Nothing will be read any more; the peer gets no more credit."""
        self._receive.discard()
        self._expect_end()

    def accept(self) -> None:
        if self._state is not StreamState.REQUESTED:
            return
        self._enter(StreamState.LOCAL_ENDED if self._send.ended else StreamState.OPEN)
        self._linked = self.channel is not None
        self._say(Accept(self._receive.limit).encode())
        self._line_up()

    def reset(self, error: FarsiteError) -> None:
        """End both directions at once; the peer gets the reason. Idempotent."""
        if self.ended:
            return
        self._notices.clear()
        self._credit_due = False
        self._say(Reset(error.code, error.detail).encode())
        self._fail(error, keep_unread=False, we_close=False)

    # --- the link's side

    def bind(self, channel: int) -> None:
        """Open, or resume, the stream that we opened over this channel."""
        self.channel = channel
        if self._state is StreamState.OPENING:
            body = self.request.model_dump_json().encode()
            self._say(Open(self.number, self._receive.limit, body).encode())
        else:
            self._say(self._resume_frame())

    def rebind_requested(self, channel: int, limit: int) -> None:
        """The peer, not knowing our answer to its OPEN, repeats it on a new link."""
        self.channel = channel
        if self._state is StreamState.REQUESTED:
            self.granted(limit)
            return
        if self._receive.received:
            raise FarsiteError(ErrorCode.PROTOCOL_ERROR, "Open repeated on a stream that was in use.")
        self._say(Accept(self._receive.limit).encode())
        self._link(0, limit)

    def rebind(self, channel: int, frame: Resume) -> None:
        """The peer resumes a stream that it opened."""
        self.channel = channel
        if self._state is StreamState.REQUESTED:
            raise FarsiteError(ErrorCode.PROTOCOL_ERROR, "Resumed a stream that was never accepted.")
        self._say(self._resume_frame())
        self._link(frame.received, frame.limit)

    def granted(self, limit: int) -> None:
        """The credit that came with OPEN."""
        self._send.credit(0, limit)

    def unbind(self) -> None:
        """The link is gone."""
        self.channel = None
        self._linked = False
        self._notices.clear()
        self._credit_due = False
        self._send.suspend()

    def resume_answer(self) -> bytes:
        """What a peer is told that resumes this stream after it ended here."""
        if self.error is not None:
            return Reset(self.error.code, self.error.detail).encode()
        return self._resume_frame()

    def received(self, frame: StreamFrame, now: float) -> None:
        """Raises `FarsiteError` (`protocol_error`): the session then resets the stream."""
        match frame:
            case Data():
                self._data_received(frame)
            case Credit():
                self._credit_received(frame)
            case Fin():
                self._fin_received(frame)
            case Accept():
                self._accept_received(frame)
            case Reset():
                self._fail(frame.error(), keep_unread=self._receive.ended, we_close=True)
            case Resume():
                self._resume_received(frame)
            case _:
                raise FarsiteError(ErrorCode.PROTOCOL_ERROR, "OPEN on a channel in use.")

    def expired(self) -> None:
        """The peer took too long to end, or to resume, the stream."""
        if self._state is StreamState.CLOSING:
            self._finish(we_close=True)
        elif not self.resumed:
            self.reset(FarsiteError(ErrorCode.PEER_TIMEOUT, "The other side did not resume the stream."))
        else:
            self.reset(FarsiteError(ErrorCode.CLOSED, "The stream is closed."))

    def channel_lost(self) -> None:
        """The peer closed the channel while the link goes on."""
        if self._state is StreamState.CLOSING:
            self._finish(we_close=True)
        else:
            error = FarsiteError(ErrorCode.CLOSED, "The other side closed the stream.")
            self._fail(error, keep_unread=self._receive.ended, we_close=True)

    def abandon(self, error: FarsiteError) -> None:
        """The tunnel ended. GOODBYE says so for all streams; the link's end closes their channels."""
        if not self.ended:
            self.unbind()
            self._fail(error, keep_unread=self._receive.ended, we_close=True)

    # --- the scheduler's side

    @property
    def has_notice(self) -> bool:
        return bool(self._notices) or self._credit_due

    @property
    def sendable(self) -> bool:
        return self._linked and self._send.sendable

    def next_notice(self) -> bytes:
        if self._notices:
            return self._notices.popleft()
        self._credit_due = False
        return Credit(self._receive.confirmed, self._receive.limit).encode()

    def next_data(self) -> bytes:
        frame = self._send.next_frame()
        if self.notify_below is not None and self._send.waiting <= self.notify_below:
            self.notify_below = None
            self._owner.emit(StreamDrained(self))
        if self._send.flushed and not self._flushed_said:
            self._flushed_said = True
            self._owner.emit(StreamFlushed(self))
        return frame

    # --- frames

    def _data_received(self, frame: Data) -> None:
        self._check_accepted()
        self._receive.add(frame.offset, frame.payload)
        if not self._receive.discarding:
            self._say_readable()
        elif self._send.finished:
            self.reset(FarsiteError(ErrorCode.CLOSED, "The stream is closed."))

    def _fin_received(self, frame: Fin) -> None:
        self._check_accepted()
        self._receive.end(frame.final)
        local_ended = self._state is StreamState.LOCAL_ENDED
        self._enter(StreamState.CLOSING if local_ended else StreamState.REMOTE_ENDED)
        self._say_credit()
        self._say_readable()
        self._finish_if_done(we_close=False)

    def _credit_received(self, frame: Credit) -> None:
        self._check_accepted()
        self._send.credit(frame.received, frame.limit)
        self._line_up()
        self._finish_if_done(we_close=True)
        self._expect_end()

    def _accept_received(self, frame: Accept) -> None:
        if self._state is not StreamState.OPENING:
            raise FarsiteError(ErrorCode.PROTOCOL_ERROR, "ACCEPT for a stream that was not being opened.")
        self._enter(StreamState.LOCAL_ENDED if self._send.ended else StreamState.OPEN)
        self._owner.emit(StreamAccepted(self))
        self._link(0, frame.limit)

    def _resume_received(self, frame: Resume) -> None:
        if self._linked or not self.ours or frame.stream != self.number:
            raise FarsiteError(ErrorCode.PROTOCOL_ERROR, "RESUME out of place.")
        self._check_accepted()
        self._link(frame.received, frame.limit)

    def _check_accepted(self) -> None:
        if self._state in _UNANSWERED:
            raise FarsiteError(ErrorCode.PROTOCOL_ERROR, "Stream used before it was accepted.")

    def _link(self, received: int, limit: int) -> None:
        self._send.resume(received, limit)
        self._linked = True
        self._line_up()
        self._finish_if_done(we_close=True)

    def _resume_frame(self) -> bytes:
        return Resume(self.number, self._receive.confirmed, self._receive.limit).encode()

    # --- saying things

    def _say(self, frame: bytes) -> None:
        if self.channel is not None:
            self._notices.append(frame)
            self._owner.has_notice(self)

    def _say_credit(self) -> None:
        if self.channel is not None and not self.ended:
            self._credit_due = True
            self._owner.has_notice(self)

    def _say_readable(self) -> None:
        if not self._readable_said:
            self._readable_said = True
            self._owner.emit(StreamReadable(self))

    def _line_up(self) -> None:
        if not self.lined_up and self.sendable:
            self._owner.has_data(self)

    # --- ends

    def _expect_end(self) -> None:
        """We are through and drop what comes: a peer that goes on is not waited for without end."""
        if self._send.finished and self._receive.discarding and not self.ended:
            self._owner.expire(self)

    def _finish_if_done(self, *, we_close: bool) -> None:
        if self._state is StreamState.CLOSING and self._send.finished:
            self._finish(we_close=we_close)

    def _finish(self, *, we_close: bool) -> None:
        self._enter(StreamState.CLOSED)
        self._close(we_close)

    def _fail(self, error: FarsiteError, *, keep_unread: bool, we_close: bool) -> None:
        if self.ended:
            return
        self.error = error
        self._enter(StreamState.RESET)
        if not keep_unread:
            self._receive.discard()
        self._close(we_close)

    def _close(self, we_close: bool) -> None:
        self._send.clear()
        self._receive.release()
        self._owner.ended(self, we_close=we_close)
        self._owner.emit(StreamEnded(self))
