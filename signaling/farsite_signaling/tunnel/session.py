"""All streams of one tunnel, sans-I/O.

The shell feeds in what its link delivers and the time (seconds of one monotonic clock), then takes out, in
this order: `next_message` until the link is full, `next_event` until there is none. `next_deadline` says when
to call `tick`. Nothing a peer sends raises here: a bad frame resets its stream, one on the control channel
ends the tunnel.
"""

from __future__ import annotations

import logging
from collections import OrderedDict, deque

from farsite_signaling.tunnel.events import (
    Event,
    PeerLost,
    StreamRequested,
    TunnelEnded,
)
from farsite_signaling.tunnel.frames import (
    CONTROL_LABEL,
    STREAM_LABEL,
    Goodbye,
    Open,
    Ping,
    Pong,
    Reset,
    Resume,
    parse_control_frame,
    parse_stream_frame,
)
from farsite_signaling.tunnel.heartbeat import Heartbeat
from farsite_signaling.tunnel.limits import Limits
from farsite_signaling.tunnel.receiving import ReceiveBudget, ReceiveBuffer
from farsite_signaling.tunnel.schedule import Scheduler
from farsite_signaling.tunnel.stream import Stream
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.stream import OpenRequest

_log = logging.getLogger(__name__)

Outgoing = tuple[int, bytes | None]
"""A message for a channel; None: close the channel."""


class Session:
    """One end of a tunnel. `attach` comes first, and again for every new link."""

    def __init__(self, *, initiator: bool, now: float, limits: Limits | None = None) -> None:
        self.initiator = initiator
        self.limits = limits or Limits()
        self.bytes_sent = 0
        self.bytes_received = 0
        self.error: FarsiteError | None = None
        """Why the tunnel ended."""
        self.goodbye_heard = False
        self._streams: dict[int, Stream] = {}
        self._channels: dict[int, Stream] = {}
        self._fresh: set[int] = set()  # opened by the peer, nothing said on them yet
        self._lingering: dict[int, float] = {}  # the peer is to close them; until when
        self._expiring: dict[Stream, float] = {}
        self._last_words: OrderedDict[int, bytes] = OrderedDict()
        self._closing: set[Stream] = set()  # their channels are closed after their last notice
        self._outbox: deque[Outgoing] = deque()
        self._events: deque[Event] = deque()
        self._scheduler = Scheduler(self.limits)
        self._budget = ReceiveBudget(self.limits.receive_budget)
        self._heartbeat: Heartbeat | None = None
        self._control: int | None = None
        self._ping: int | None = None
        self._pong: int | None = None
        self._goodbye_said = False
        self._next_number = 1 if initiator else 2
        self._theirs = 0
        self._resume_by: float | None = None
        self._rtt: float | None = None
        self._now = now

    # --- the link

    def attach(self, control: int | None, now: float) -> list[Stream]:
        """A link is there. `control`: the channel labelled `farsite/1` the initiator opened, None on the other side.

        Returns the streams that need a channel: open one for each and call `bind`.
        """
        self._now = now
        self._control = control
        self._heartbeat = Heartbeat(self.limits, now)
        self._resume_by = now + self.limits.resume if self._streams else None
        return [stream for stream in self._streams.values() if stream.ours]

    def detach(self, now: float) -> None:
        """The link is gone. Streams stay as they are, for the next one."""
        self._now = now
        self._control = self._ping = self._pong = self._heartbeat = self._resume_by = None
        for table in (self._channels, self._fresh, self._lingering, self._outbox, self._closing):
            table.clear()
        self._scheduler.clear()
        for stream in self._streams.values():
            stream.unbind()

    def bind(self, stream: Stream, channel: int) -> None:
        """`channel`: labelled `s`, opened by us, unused."""
        if stream.ended:
            self._post((channel, None))
            return
        self._channels[channel] = stream
        stream.bind(channel)

    def channel_opened(self, channel: int, label: str) -> None:
        if label == CONTROL_LABEL and not self.initiator and self._control is None:
            self._control = channel
        elif label == STREAM_LABEL and self._open_channels() < 2 * self.limits.streams:
            self._fresh.add(channel)
        else:
            self._post((channel, None))

    def message_received(self, channel: int, message: bytes, now: float) -> None:
        self._now = now
        self.bytes_received += len(message)
        if self._heartbeat is not None:
            self._heartbeat.heard(now)
        if self.error is not None and channel != self._control:
            return
        stream = self._channels.get(channel)
        if stream is not None:
            self._stream_message(stream, message)
        elif channel == self._control:
            self._control_message(message)
        elif channel in self._fresh:
            self._first_message(channel, message)

    def channel_closed(self, channel: int, now: float) -> None:
        self._now = now
        self._fresh.discard(channel)
        self._lingering.pop(channel, None)
        if channel == self._control:
            self._control = None
            self._lose(FarsiteError(ErrorCode.PEER_UNREACHABLE, "The other side closed the control channel."))
        elif stream := self._channels.get(channel):
            stream.channel_lost()

    def next_message(self) -> Outgoing | None:
        """What to send next, or None. Call while the link's queue has room."""
        if self._outbox:
            return self._sent(self._outbox.popleft())
        if beat := self._next_beat():
            return self._sent(beat)
        found = self._scheduler.next_frame()
        if found is None:
            return None
        stream, frame = found
        assert stream.channel is not None
        if stream in self._closing and not stream.has_notice:
            self._close_channel(stream)
        return self._sent((stream.channel, frame))

    def _next_beat(self) -> Outgoing | None:
        # Only the last ping and pong count: they never pile up before a link that does not drain.
        if self._control is None:
            return None
        if self._pong is not None:
            token, self._pong = self._pong, None
            return self._control, Pong(token).encode()
        if self._ping is not None:
            token, self._ping = self._ping, None
            return self._control, Ping(token).encode()
        return None

    def next_event(self) -> Event | None:
        return self._events.popleft() if self._events else None

    # --- time

    def next_deadline(self) -> float | None:
        """When `tick` is due; None without a link."""
        if self._heartbeat is None or self.error is not None:
            return None
        times = [self._heartbeat.deadline]
        if self._resume_by is not None:
            times.append(self._resume_by)
        # Both wait equally long for all their entries: the first one is due first.
        times += [next(iter(table.values())) for table in (self._lingering, self._expiring) if table]
        return min(times)

    def tick(self, now: float) -> None:
        self._now = now
        if self._heartbeat is None or self.error is not None:
            return
        if self._heartbeat.dead(now):
            silence = self.limits.silence
            self._lose(FarsiteError(ErrorCode.PEER_TIMEOUT, f"Nothing heard for {silence:.0f} s."))
            return
        token = self._heartbeat.ping(now)
        if token is not None and self._control is not None:
            self._ping = token
        self._expire(now)

    def probe(self, patience: float, now: float) -> None:
        """Ask for a sign of life at once: without one within `patience` seconds the peer counts as lost."""
        self._now = now
        if self._heartbeat is not None and self.error is None:
            self._heartbeat.probe(patience, now)
            self.tick(now)

    @property
    def rtt(self) -> float | None:
        """Round trip of the last heartbeat, seconds."""
        return self._rtt

    # --- streams

    @property
    def streams(self) -> int:
        """Streams that are not over."""
        return len(self._streams)

    def open(self, request: OpenRequest) -> Stream:
        """A new stream; `bind` it to a channel. Raises `FarsiteError` (`stream_limit`, or why the tunnel ended)."""
        if self.error is not None:
            raise self.error
        if len(self._streams) - self._theirs >= self.limits.streams:
            raise FarsiteError(ErrorCode.STREAM_LIMIT, f"{self.limits.streams} streams are open already.")
        stream = self._make(self._next_number, request, ours=True)
        self._next_number += 2
        return stream

    def goodbye(self, error: FarsiteError) -> None:
        """End the tunnel and tell the peer why."""
        self._say_goodbye(error)
        self._end(error)

    def fail(self, error: FarsiteError) -> None:
        """End the tunnel without a word: there is nobody to tell."""
        self._end(error)

    @property
    def unconfirmed(self) -> bool:
        """Whether a stream that we ended still has bytes the peer has not confirmed."""
        return any(stream.unconfirmed for stream in self._streams.values())

    # --- the streams' owner

    def has_notice(self, stream: Stream) -> None:
        self._scheduler.has_notice(stream)

    def has_data(self, stream: Stream) -> None:
        self._scheduler.has_data(stream)

    def emit(self, event: Event) -> None:
        self._events.append(event)

    def expire(self, stream: Stream) -> None:
        self._expiring.setdefault(stream, self._now + self.limits.linger)

    def ended(self, stream: Stream, *, we_close: bool) -> None:
        del self._streams[stream.number]
        self._expiring.pop(stream, None)
        if not stream.ours:
            self._theirs -= 1
            self._remember(stream)
        if stream.channel is None:
            return
        self._channels.pop(stream.channel, None)
        if not we_close:
            self._lingering[stream.channel] = self._now + self.limits.linger
        elif stream.has_notice:
            self._closing.add(stream)
        else:
            self._close_channel(stream)

    # --- inside

    def _open_channels(self) -> int:
        return len(self._channels) + len(self._fresh) + len(self._lingering)

    def _make(self, number: int, request: OpenRequest, *, ours: bool) -> Stream:
        receive = ReceiveBuffer(self._budget, self.limits)
        stream = self._streams[number] = Stream(number, request, receive, self, ours=ours)
        return stream

    def _sent(self, outgoing: Outgoing) -> Outgoing:
        if outgoing[1] is not None:
            self.bytes_sent += len(outgoing[1])
        return outgoing

    def _post(self, outgoing: Outgoing) -> None:
        self._outbox.append(outgoing)
        if len(self._outbox) > 8 * self.limits.streams:
            self._end(FarsiteError(ErrorCode.PROTOCOL_ERROR, "The other side does not read its answers."))

    def _close_channel(self, stream: Stream) -> None:
        self._closing.discard(stream)
        assert stream.channel is not None
        self._post((stream.channel, None))

    def _remember(self, stream: Stream) -> None:
        """For a peer that resumes the stream because our last word was lost with a link."""
        self._last_words[stream.number] = stream.resume_answer()
        if len(self._last_words) > self.limits.streams:
            self._last_words.popitem(last=False)

    def _stream_message(self, stream: Stream, message: bytes) -> None:
        try:
            frame = parse_stream_frame(message)
            if frame is not None:
                stream.received(frame, self._now)
        except FarsiteError as error:
            _log.debug("stream %d: %s", stream.number, error)
            stream.reset(error)

    def _control_message(self, message: bytes) -> None:
        try:
            frame = parse_control_frame(message)
        except FarsiteError as error:
            self.goodbye(error)
            return
        match frame:
            case Ping():
                self._pong = frame.token
            case Pong() if self._heartbeat is not None:
                self._heartbeat.pong(frame.token, self._now)
                self._rtt = self._heartbeat.rtt or self._rtt
            case Goodbye():
                self.goodbye_heard = True
                self._say_goodbye(FarsiteError(ErrorCode.CLOSED, ""))
                self._end(frame.error())

    def _first_message(self, channel: int, message: bytes) -> None:
        self._fresh.discard(channel)
        try:
            frame = parse_stream_frame(message)
            match frame:
                case Open():
                    self._open_received(channel, frame)
                case Resume():
                    self._resume_received(channel, frame)
                case None:
                    self._fresh.add(channel)
                case _:
                    raise FarsiteError(ErrorCode.PROTOCOL_ERROR, "A stream begins with OPEN or RESUME.")
        except FarsiteError as error:
            self._refuse(channel, Reset(error.code, error.detail).encode())

    def _refuse(self, channel: int, answer: bytes) -> None:
        self._post((channel, answer))
        self._lingering[channel] = self._now + self.limits.linger

    def _open_received(self, channel: int, frame: Open) -> None:
        if known := self._known(frame.stream):
            self._rebind(known, channel, frame)
        elif answer := self._last_words.get(frame.stream):
            self._refuse(channel, answer)
        else:
            self._opened_by_peer(channel, frame)

    def _opened_by_peer(self, channel: int, frame: Open) -> None:
        request = frame.parsed()
        if self._theirs >= self.limits.streams:
            raise FarsiteError(ErrorCode.STREAM_LIMIT, f"{self.limits.streams} streams are open already.")
        stream = self._make(frame.stream, request, ours=False)
        self._theirs += 1
        stream.channel = channel
        stream.granted(frame.limit)
        self._channels[channel] = stream
        self._events.append(StreamRequested(stream))

    def _resume_received(self, channel: int, frame: Resume) -> None:
        if known := self._known(frame.stream):
            self._rebind(known, channel, frame)
        elif answer := self._last_words.get(frame.stream):
            self._refuse(channel, answer)
        else:
            raise FarsiteError(ErrorCode.CLOSED, "The stream is not known any more.")

    def _known(self, number: int) -> Stream | None:
        """The peer's live stream of this number. Raises when the number is not the peer's, or in use."""
        if (number % 2 == 1) == self.initiator:
            raise FarsiteError(ErrorCode.PROTOCOL_ERROR, f"Stream number {number} is not the other side's.")
        stream = self._streams.get(number)
        if stream is not None and stream.channel is not None:
            raise FarsiteError(ErrorCode.PROTOCOL_ERROR, f"Stream {number} has a channel already.")
        return stream

    def _rebind(self, stream: Stream, channel: int, frame: Open | Resume) -> None:
        self._channels[channel] = stream
        stream.channel = channel
        try:
            if isinstance(frame, Open):
                stream.rebind_requested(channel, frame.limit)
            else:
                stream.rebind(channel, frame)
        except FarsiteError as error:
            stream.reset(error)

    def _expire(self, now: float) -> None:
        for channel in [c for c, until in self._lingering.items() if until <= now]:
            del self._lingering[channel]
            self._post((channel, None))
        for stream in [s for s, until in self._expiring.items() if until <= now]:
            del self._expiring[stream]
            stream.expired()
        if self._resume_by is not None and self._resume_by <= now:
            self._resume_by = None
            for stream in [s for s in self._streams.values() if not s.resumed]:
                stream.expired()

    def _say_goodbye(self, error: FarsiteError) -> None:
        if not self._goodbye_said and self._control is not None:
            self._post((self._control, Goodbye(error.code, error.detail).encode()))
        self._goodbye_said = True

    def _lose(self, error: FarsiteError) -> None:
        self._heartbeat = None
        if self.error is None:
            self._events.append(PeerLost(error))

    def _end(self, error: FarsiteError) -> None:
        if self.error is not None:
            return
        self.error = error
        for stream in list(self._streams.values()):
            stream.abandon(error)
        self._events.append(TunnelEnded(error))
