"""aiortc's SCTP association with guards: what a peer may send ends that peer's session at most, and at once.

Imports aiortc: import this module inside functions only.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from struct import unpack_from
from typing import Any

from aiortc import RTCDataChannel
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcsctptransport import (
    DATA_CHANNEL_ACK,
    DATA_CHANNEL_OPEN,
    WEBRTC_BINARY,
    WEBRTC_DCEP,
    WEBRTC_STRING,
    WEBRTC_STRING_EMPTY,
    RTCSctpTransport,
    SackChunk,
)
from aiortc.utils import uint32_gt

from farsite_signaling.peer.link import HIGH_WATER, MAX_MESSAGE
from farsite_signaling.peer.tasks import TaskOwner
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

MAX_CHANNELS = 2048
MAX_LABEL = 64
_OPEN_HEADER = 12


class GuardedSctpTransport(RTCSctpTransport):
    """Callbacks are set by the owner before the association starts.

    `on_established()`, `on_lost(error)`: error `None` when the association was closed in order.
    `on_writable()`: what is queued fell below `HIGH_WATER`.
    """

    def __init__(self, transport: RTCDtlsTransport) -> None:
        super().__init__(transport)
        self.on_established: Callable[[], None] = lambda: None
        self.on_lost: Callable[[FarsiteError | None], None] = lambda error: None
        self.on_writable: Callable[[], None] = lambda: None
        self.queued = 0
        self._tasks = TaskOwner("sctp")
        self._flushing = False

    # sending

    def queue(self, channel: RTCDataChannel, message: bytes) -> None:
        """As `RTCDataChannel.send`, but allowed before the peer's ACK (RFC 8832 section 6), one task per burst."""
        channel._addBufferedAmount(len(message))
        self.queued += len(message)
        self._data_channel_queue.append((channel, WEBRTC_BINARY, message))
        if not self._flushing:
            self._flushing = True
            self._tasks.spawn(self._flush(), "flush")

    async def _flush(self) -> None:
        self._flushing = False
        with suppress(ConnectionError):  # the transport below reports the loss
            await self._data_channel_flush()

    async def _send(self, stream_id: int, pp_id: int, user_data: bytes, *args: Any, **kwargs: Any) -> None:
        before = self.queued
        if pp_id == WEBRTC_BINARY:
            self.queued -= len(user_data)
        await super()._send(stream_id, pp_id, user_data, *args, **kwargs)
        if before >= HIGH_WATER > self.queued:
            self.on_writable()

    # receiving

    async def _handle_data(self, data: bytes) -> None:
        try:
            await super()._handle_data(data)
        except ConnectionError:
            raise
        except FarsiteError as error:
            self.on_lost(error)
        except Exception as error:
            # The library raises whatever its parser meets: assertions, struct errors, bad UTF-8.
            self.on_lost(_violation(f"it sent what is not SCTP ({type(error).__name__})"))

    async def _receive_data_chunk(self, chunk: Any) -> None:
        await super()._receive_data_chunk(chunk)
        if self._advertised_rwnd < 0:
            raise _violation("it sends past the receive window")

    async def _receive_sack_chunk(self, chunk: SackChunk) -> None:
        # Acknowledging what was never sent costs the library a set entry per number: 1 s for one packet.
        if uint32_gt(self._last_sacked_tsn, chunk.cumulative_tsn):
            return  # an old one, overtaken on the way
        end = 0
        for first, last in chunk.gaps:
            if not end < first <= last <= len(self._sent_queue):
                raise _violation("it acknowledges what was never sent")
            end = last
        await super()._receive_sack_chunk(chunk)

    async def _data_channel_receive(self, stream_id: int, pp_id: int, data: bytes) -> None:
        if pp_id == WEBRTC_DCEP:
            self._check_control(stream_id, data)
        elif pp_id in (WEBRTC_STRING, WEBRTC_STRING_EMPTY):
            raise _violation("it sent a text message")
        elif len(data) > MAX_MESSAGE:
            raise _violation(f"it sent a message of {len(data)} bytes")
        await super()._data_channel_receive(stream_id, pp_id, data)

    def _check_control(self, stream_id: int, data: bytes) -> None:
        kind = data[0] if data else None
        if kind == DATA_CHANNEL_OPEN and len(data) >= _OPEN_HEADER:
            self._check_open(stream_id, data)
        elif kind == DATA_CHANNEL_ACK and stream_id not in self._data_channels:
            raise _violation("it acknowledged a channel that does not exist")

    def _check_open(self, stream_id: int, data: bytes) -> None:
        _, channel_type, _, _, label, protocol = unpack_from("!BBHLHH", data)
        if stream_id in self._data_channels:
            raise _violation("it opened a channel twice")
        if stream_id % 2 == self.parity:
            raise _violation("it opened a channel with a number of ours")
        if channel_type != 0 or protocol != 0:
            raise _violation("it opened a channel that is not reliable and ordered")
        if label > MAX_LABEL or not data[_OPEN_HEADER : _OPEN_HEADER + label].isascii():
            raise _violation("it opened a channel with an unusable label")
        if len(self._data_channels) >= MAX_CHANNELS:
            raise _violation(f"it opened more than {MAX_CHANNELS} channels")

    @property
    def parity(self) -> int:
        """Of the channel numbers this side opens (RFC 8832 section 6: the DTLS server's are odd)."""
        return 1 if self.is_server else 0

    # state

    def _set_state(self, state: RTCSctpTransport.State) -> None:
        before = self._association_state
        if state == self.State.CLOSED and before != state:
            self._tasks.cancel()
            self.on_lost(None)  # before its channels close one by one
        super()._set_state(state)
        if state == self.State.ESTABLISHED and before != state:
            self.on_established()


def _violation(what: str) -> FarsiteError:
    return FarsiteError(ErrorCode.PROTOCOL_ERROR, f"The other side does not keep to the protocol: {what}.")
