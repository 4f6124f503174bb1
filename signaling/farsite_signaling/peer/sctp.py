"""Our SCTP association behind aiortc's class: its peer connection and data channels do not notice.

Of the channels' surface, text messages, partial reliability and `bufferedAmount` are left out: tunnels use none.
Imports aiortc: import this module inside functions only.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, cast

from aiortc import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcsctptransport import RTCSctpCapabilities, RTCSctpTransport

from farsite_signaling.peer.association import Association, Settings
from farsite_signaling.peer.association.pacing import LEAST_TICK, tick
from farsite_signaling.peer.dtls import DtlsTransport
from farsite_signaling.peer.fine_timer import FineTimer, fine_timer
from farsite_signaling.peer.link import HIGH_WATER, MAX_MESSAGE
from farsite_signaling.peer.rhythm import delay
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

_TICK = 0.001
"""Event loops' timers are no finer."""
_FINE_TICK = 0.0003
"""Where bursts are small, so that milliseconds do not limit the rate."""


class SctpTransport(RTCSctpTransport):
    """Callbacks are set by the owner before the association starts.

    `on_established()`, `on_lost(error)`: error `None` when the association was closed in order.
    `on_writable()`: what is queued fell below `HIGH_WATER`.
    """

    def __init__(self, transport: DtlsTransport) -> None:
        super().__init__(transport)
        self.core = Association(self, os.urandom, Settings(max_message=MAX_MESSAGE, high_water=HIGH_WATER))
        self.on_established: Callable[[], None] = lambda: None
        self.on_lost: Callable[[FarsiteError | None], None] = lambda error: None
        self.on_writable: Callable[[], None] = lambda: None
        self._dtls = transport
        self._phase = "new"
        self._early: list[RTCDataChannel] = []
        self._flushing = False
        self._soon: asyncio.Handle | None = None
        self._whole = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._fine: FineTimer | None = None
        self._tick = LEAST_TICK

    # what the peer connection calls

    @classmethod
    def getCapabilities(cls) -> RTCSctpCapabilities:
        return RTCSctpCapabilities(maxMessageSize=MAX_MESSAGE)

    @property
    def state(self) -> str:
        return self._phase

    @property
    def parity(self) -> int:
        """Of the channel numbers this side opens (RFC 8832 section 6: the DTLS server's are odd)."""
        return 1 if self.is_server else 0

    @property
    def queued(self) -> int:
        """Bytes accepted and not yet sent once."""
        return self.core.queued

    async def start(self, remoteCaps: RTCSctpCapabilities | None, remotePort: int) -> None:
        if self._phase != "new":
            return
        self._set_phase("connecting")
        self._dtls._register_data_receiver(cast(Any, self))
        self.core.start(monotonic(), parity=self.parity, local_port=self.port, remote_port=remotePort)
        self._flush()

    async def stop(self) -> None:
        if self._phase in ("connecting", "connected"):
            self._put_out(self.core.abort())
        self._dtls._unregister_data_receiver(cast(Any, self))
        self._close(None)

    async def _handle_data(self, data: bytes) -> None:
        self.packets_received([data])

    def packets_received(self, packets: list[bytes]) -> None:
        """SCTP packets that came together, decrypted."""
        now = monotonic()
        self._flushing = True  # what messages lead to goes out with the acknowledgement
        try:
            self.core.receive_all(packets, now)
        finally:
            self._flushing = False
        self._pace_reading()
        self._flush()

    def _pace_reading(self) -> None:
        """The longer the path, the rarer."""
        every = tick(self.core.sender.loss.smoothed)
        if every != self._tick:
            self._tick = every
            self._dtls.pace_reading(every)

    # sending

    def queue(self, channel: RTCDataChannel, message: bytes) -> None:
        """As `RTCDataChannel.send`, but allowed before the peer's ACK (RFC 8832 section 6)."""
        assert channel.id is not None
        self.core.channels.send(channel.id, message)
        self._flush_soon()

    def _flush_soon(self) -> None:
        if self._soon is None and not self._flushing:
            self._soon = asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        now = monotonic()
        self._flushing = True
        try:
            more = True
            while more and (packets := self.core.flush(now)):
                more = self.core.more
                self._put_out(packets)
        finally:
            self._flushing = False
        self._arm(now)

    def _put_out(self, packets: list[bytes]) -> None:
        with suppress(ConnectionError):  # the transport below reports the loss
            self._dtls.send_packets(packets)

    # time

    def _arm(self, now: float) -> None:
        """One timer, moved when it matters: setting it costs little, waking up for nothing much."""
        at = self.core.deadline(now)
        if at is not None and self.core.sender.hurried and self._arm_finely(at, now):
            return
        if at is not None and at - now < 2 * self._tick:
            at = now + delay(now, at, self._tick)
        if self._timer is not None:
            if at is not None and abs(self._timer_at - at) < _TICK / 2:
                return
            self._timer.cancel()
            self._timer = None
        if at is not None:
            self._timer_at = max(at, now + _TICK)
            self._timer = asyncio.get_running_loop().call_later(self._timer_at - now, self._wake)

    def _arm_finely(self, at: float, now: float) -> bool:
        if at - now >= 2 * _TICK or self._phase != "connected":
            return False
        if self._fine is None:
            self._fine = fine_timer(asyncio.get_running_loop(), self._due)
        if self._fine is not None:
            self._fine.at(max(at, now + _FINE_TICK))
        return self._fine is not None

    def _wake(self) -> None:
        self._timer = None
        self._due()

    def _due(self) -> None:
        self.core.expired(monotonic())
        self._keep_whole()
        self._flush()

    def _keep_whole(self) -> None:
        """Packets may be cut again when none is larger than all paths carry, and none is tried."""
        if self._whole is not self.core.packet_size.large:
            self._whole = self._dtls.keep_whole(not self._whole)

    # what the association says

    def established(self) -> None:
        self._set_phase("connected")
        if (room := self._dtls.packet_room()) is not None and self._dtls.keep_whole(True):
            self._whole = True
            self.core.search_packet_size(*room, monotonic())
        early, self._early = self._early, []
        for channel in early:
            self._open(channel)
        self.on_established()

    def opened(self, channel: int, label: str) -> None:
        made = RTCDataChannel(self, RTCDataChannelParameters(label=label, id=channel), False)
        made._setReadyState("open")
        self._data_channels[channel] = made
        self.emit("datachannel", made)

    def acknowledged(self, channel: int) -> None:
        known = self._data_channels.get(channel)
        if known is not None and known.readyState == "connecting":
            known._setReadyState("open")

    def message(self, channel: int, data: bytes) -> None:
        known = self._data_channels.get(channel)
        if known is not None:
            known.emit("message", data)

    def closed(self, channel: int) -> None:
        known = self._data_channels.pop(channel, None)
        if known is not None:
            known._setReadyState("closed")

    def drained(self) -> None:
        self.on_writable()

    def ended(self, reason: str | None) -> None:
        if reason is None:
            self._close(None)
        else:
            detail = f"The other side does not keep to the protocol: {reason}."
            self._close(FarsiteError(ErrorCode.PROTOCOL_ERROR, detail))

    def unanswered(self) -> None:
        self._close(FarsiteError(ErrorCode.PEER_TIMEOUT, "The other side does not answer any more."))

    def _close(self, error: FarsiteError | None) -> None:
        """Once. The owner hears of it before its channels close one by one."""
        if self._phase == "closed":
            return
        self._set_phase("closed")
        for handle in (self._timer, self._soon):
            if handle is not None:
                handle.cancel()
        self._timer = self._soon = None
        if self._fine is not None:
            self._fine.close()
        self.on_lost(error)
        for channel in [*self._data_channels.values(), *self._early]:
            channel._setReadyState("closed")
        self._data_channels.clear()
        self._early.clear()
        self.remove_all_listeners()

    def _set_phase(self, phase: str) -> None:
        self._phase = phase

    # what data channels call

    def _data_channel_open(self, channel: RTCDataChannel) -> None:
        if not channel.ordered or channel.maxRetransmits is not None or channel.maxPacketLifeTime is not None:
            raise ValueError("channels are reliable and ordered")
        if channel.id is not None and channel.id in self._data_channels:
            raise ValueError(f"Data channel with ID {channel.id} already registered")
        if self._phase == "connected":
            self._open(channel)
        else:
            self._early.append(channel)

    def _data_channel_add_negotiated(self, channel: RTCDataChannel) -> None:
        raise ValueError("channels are opened in band")

    def _open(self, channel: RTCDataChannel) -> None:
        number = channel.id
        if number is None:
            number = self.parity
            while number in self._data_channels:
                number += 2
            channel._setId(number)
        self._data_channels[number] = channel
        self.core.channels.open(number, channel.label)
        self._flush_soon()

    def _data_channel_close(self, channel: RTCDataChannel) -> None:
        if channel.readyState in ("closing", "closed"):
            return
        if channel in self._early:
            self._early.remove(channel)
            channel._setReadyState("closed")
            return
        channel._setReadyState("closing")
        if channel.id is not None:
            self.core.channels.close(channel.id)
            self._flush_soon()

    def _data_channel_send(self, channel: RTCDataChannel, data: bytes | str) -> None:
        if isinstance(data, str):
            raise ValueError("messages are binary")
        self.queue(channel, data)
