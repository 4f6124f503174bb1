"""Opening and closing data channels (RFC 8832, RFC 8831 section 6): which numbers are in use, and how far."""

from __future__ import annotations

from dataclasses import dataclass
from struct import pack, unpack_from

from farsite_signaling.peer.association.events import AssociationEvents
from farsite_signaling.peer.association.outbox import DCEP, Outbox
from farsite_signaling.peer.association.packets import MalformedError
from farsite_signaling.peer.association.resets import Resets

STRING, BINARY, STRING_EMPTY, BINARY_EMPTY = 51, 53, 56, 57
ACK, OPEN = 2, 3
MAX_CHANNELS = 2048
MAX_LABEL = 64
_HEADER = 12


@dataclass(slots=True)
class Channel:
    label: str
    closing: bool = False
    """Our side has asked for the reset."""
    reset_in: bool = False
    reset_out: bool = False


def open_message(label: str) -> bytes:
    """Reliable and ordered. `label`: ASCII."""
    name = label.encode("ascii")
    return pack("!BBHLHH", OPEN, 0, 0, 0, len(name), 0) + name


class Channels:
    """`parity` of the numbers this side opens (RFC 8832 section 6: the DTLS server's are odd)."""

    def __init__(self, events: AssociationEvents, outbox: Outbox) -> None:
        self.parity = 0
        self.ended = False
        self._events = events
        self._outbox = outbox
        self._resets: Resets | None = None
        self._channels: dict[int, Channel] = {}

    def __contains__(self, number: int) -> bool:
        return number in self._channels

    # ours

    def open(self, number: int, label: str) -> None:
        """Usable at once (RFC 8832 section 6). Raises `ValueError` for a number in use."""
        if number in self._channels:
            raise ValueError(f"channel {number} is in use")
        message = open_message(label)
        self._channels[number] = Channel(label)
        self._outbox.put(number, DCEP, message)

    def send(self, number: int, data: bytes) -> None:
        """Ignored on a channel that is not open."""
        channel = self._channels.get(number)
        if channel is None or channel.closing or self.ended:
            return
        if data:
            self._outbox.put(number, BINARY, data)
        else:
            self._outbox.put(number, BINARY_EMPTY, b"\0")

    def close(self, number: int) -> None:
        """After what is queued on it; `closed` follows."""
        channel = self._channels.get(number)
        if channel is not None and not channel.closing:
            channel.closing = True
            if self._resets is not None:
                self._resets.close(number)

    def established(self, resets: Resets) -> None:
        self._resets = resets
        for number, channel in self._channels.items():
            if channel.closing:
                resets.close(number)

    # the peer's

    def receive(self, number: int, protocol: int, data: bytes) -> None:
        """A message. Raises `MalformedError`."""
        if self.ended:
            return
        if protocol == BINARY:
            if number in self._channels:
                self._events.message(number, data)
        elif protocol == DCEP:
            self._control(number, data)
        elif protocol == BINARY_EMPTY:
            if number in self._channels:
                self._events.message(number, b"")
        elif protocol in (STRING, STRING_EMPTY):
            raise MalformedError("it sent a text message")

    def _control(self, number: int, data: bytes) -> None:
        if data[0] == OPEN:
            label = self._opened(number, data)
            self._outbox.put(number, DCEP, bytes([ACK]))
            self._events.opened(number, label)
        elif data[0] == ACK:
            if number not in self._channels:
                raise MalformedError("it acknowledged a channel that does not exist")
            self._events.acknowledged(number)

    def _opened(self, number: int, message: bytes) -> str:
        """Its label. Raises `MalformedError`."""
        if len(message) < _HEADER:
            raise MalformedError("a short OPEN")
        _, kind, _, _, label_size, protocol_size = unpack_from("!BBHLHH", message)
        if number in self._channels:
            raise MalformedError("it opened a channel twice")
        if number % 2 == self.parity:
            raise MalformedError("it opened a channel with a number of ours")
        if kind != 0 or protocol_size != 0:
            raise MalformedError("it opened a channel that is not reliable and ordered")
        label = message[_HEADER : _HEADER + label_size]
        if label_size > MAX_LABEL or not label.isascii() or len(label) != label_size:
            raise MalformedError("it opened a channel with an unusable label")
        if len(self._channels) >= MAX_CHANNELS:
            raise MalformedError(f"it opened more than {MAX_CHANNELS} channels")
        name = label.decode("ascii")
        self._channels[number] = Channel(name)
        return name

    # both directions are reset: the number is free

    def reset_in(self, number: int) -> None:
        channel = self._channels.get(number)
        if channel is not None:
            channel.reset_in = True
            self.close(number)
            self._maybe_closed(number, channel)

    def reset_out(self, number: int) -> None:
        self._outbox.reset(number)
        channel = self._channels.get(number)
        if channel is not None:
            channel.reset_out = True
            self._maybe_closed(number, channel)

    def _maybe_closed(self, number: int, channel: Channel) -> None:
        if channel.reset_in and channel.reset_out:
            del self._channels[number]
            self._events.closed(number)
