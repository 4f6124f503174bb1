"""Opening and closing data channels (RFC 8832, RFC 8831 section 6): which numbers are in use, and how far."""

from __future__ import annotations

from dataclasses import dataclass
from struct import pack, unpack_from

from farsite_signaling.peer.association.packets import MalformedError

DCEP, STRING, BINARY, STRING_EMPTY, BINARY_EMPTY = 50, 51, 53, 56, 57
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
    def __init__(self, parity: int) -> None:
        self.parity = parity
        """Of the numbers this side opens (RFC 8832 section 6: the DTLS server's are odd)."""
        self._channels: dict[int, Channel] = {}

    def __contains__(self, number: int) -> bool:
        return number in self._channels

    def get(self, number: int) -> Channel | None:
        return self._channels.get(number)

    def closing(self) -> list[int]:
        return [number for number, channel in self._channels.items() if channel.closing]

    def add(self, number: int, label: str) -> None:
        """Raises `ValueError` for one in use."""
        if number in self._channels:
            raise ValueError(f"channel {number} is in use")
        self._channels[number] = Channel(label)

    def opened(self, number: int, message: bytes) -> str:
        """The peer's OPEN: its label. Raises `MalformedError`."""
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

    def gone(self, number: int) -> bool:
        """Both directions are reset: the number is free. Says whether it became so now."""
        channel = self._channels.get(number)
        if channel is None or not (channel.reset_in and channel.reset_out):
            return False
        del self._channels[number]
        return True
