"""Tunnel frames: what a link's messages hold. One frame per message; the first byte is its type.

Stream channels carry OPEN, ACCEPT, DATA, CREDIT, FIN, RESET and RESUME, the control channel PING, PONG and
GOODBYE. Integers are big-endian. Bytes after the fields a receiver knows are ignored and so are unknown
types, so that a newer peer may say more. Layouts: docs/protocol.md.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

from farsite_signaling.wire.errors import ErrorCode, FarsiteError, parse_code
from farsite_signaling.wire.stream import MAX_OPEN, OpenRequest, parse_open

MAX_MESSAGE = 16 * 1024
"""Largest message, frame header included, bytes."""

MAX_REASON = 1024
"""Longest reason in RESET and GOODBYE, bytes of UTF-8."""

MAX_OFFSET = 1 << 62

CONTROL_LABEL = "farsite/1"
STREAM_LABEL = "s"


class FrameType(IntEnum):
    """Values are never reused."""

    OPEN = 0x01
    ACCEPT = 0x02
    DATA = 0x03
    CREDIT = 0x04
    FIN = 0x05
    RESET = 0x06
    RESUME = 0x07
    PING = 0x40
    PONG = 0x41
    GOODBYE = 0x42


_OPEN = struct.Struct(">BIQ")
_ACCEPT = struct.Struct(">BQ")
_DATA = struct.Struct(">BQ")
_CREDIT = struct.Struct(">BQQ")
_FIN = struct.Struct(">BQ")
_REASON = struct.Struct(">BB")
_RESUME = struct.Struct(">BIQQ")
_TOKEN = struct.Struct(">BQ")

MAX_PAYLOAD = MAX_MESSAGE - _DATA.size
"""Most bytes of a stream in one DATA frame."""

_TYPE_DATA = FrameType.DATA.value


class Open(NamedTuple):
    """First frame of a new stream: its number in this tunnel, the opener's first `limit`, what it is to."""

    stream: int
    limit: int
    request: bytes

    def encode(self) -> bytes:
        return _OPEN.pack(FrameType.OPEN, self.stream, self.limit) + self.request

    def parsed(self) -> OpenRequest:
        return parse_open(self.request)


class Accept(NamedTuple):
    """The stream is open; the opener may send up to offset `limit`."""

    limit: int

    def encode(self) -> bytes:
        return _ACCEPT.pack(FrameType.ACCEPT, self.limit)


class Data(NamedTuple):
    """Bytes of the stream from `offset` on."""

    offset: int
    payload: bytes

    def encode(self) -> bytes:
        return _DATA.pack(FrameType.DATA, self.offset) + self.payload


class Credit(NamedTuple):
    """All below `received` arrived and may be forgotten; sending is allowed up to `limit`."""

    received: int
    limit: int

    def encode(self) -> bytes:
        return _CREDIT.pack(FrameType.CREDIT, self.received, self.limit)


class Fin(NamedTuple):
    """No byte follows `final`, the stream's length. FIN takes one position: `received` final + 1 confirms it."""

    final: int

    def encode(self) -> bytes:
        return _FIN.pack(FrameType.FIN, self.final)


class Reset(NamedTuple):
    """The stream ended before its time."""

    code: ErrorCode
    reason: str

    def encode(self) -> bytes:
        return _encode_reason(FrameType.RESET, self.code, self.reason)

    def error(self) -> FarsiteError:
        return FarsiteError(self.code, self.reason)


class Resume(NamedTuple):
    """First frame of a known stream on a new link, and the answer to it."""

    stream: int
    received: int
    limit: int

    def encode(self) -> bytes:
        return _RESUME.pack(FrameType.RESUME, self.stream, self.received, self.limit)


class Ping(NamedTuple):
    token: int

    def encode(self) -> bytes:
        return _TOKEN.pack(FrameType.PING, self.token)


class Pong(NamedTuple):
    token: int

    def encode(self) -> bytes:
        return _TOKEN.pack(FrameType.PONG, self.token)


class Goodbye(NamedTuple):
    """The sender ends the tunnel. Answered with a GOODBYE unless one was sent before."""

    code: ErrorCode
    reason: str

    def encode(self) -> bytes:
        return _encode_reason(FrameType.GOODBYE, self.code, self.reason)

    def error(self) -> FarsiteError:
        return FarsiteError(self.code, self.reason)


StreamFrame = Open | Accept | Data | Credit | Fin | Reset | Resume
ControlFrame = Ping | Pong | Goodbye


def data_header(offset: int) -> bytes:
    return _DATA.pack(_TYPE_DATA, offset)


DATA_HEADER_SIZE = _DATA.size


def parse_stream_frame(message: bytes) -> StreamFrame | None:
    """The frame, or None for an unknown type. Raises `FarsiteError` (`protocol_error`) and nothing else."""
    kind = _kind(message)
    if kind == _TYPE_DATA:
        return _parse_data(message)
    parse = _STREAM_PARSERS.get(kind)
    if parse is None:
        _refuse_if_known(kind, "stream")
        return None
    return parse(message)


def parse_control_frame(message: bytes) -> ControlFrame | None:
    """The frame, or None for an unknown type. Raises `FarsiteError` (`protocol_error`) and nothing else."""
    kind = _kind(message)
    parse = _CONTROL_PARSERS.get(kind)
    if parse is None:
        _refuse_if_known(kind, "control")
        return None
    return parse(message)


def _kind(message: bytes) -> int:
    if not 0 < len(message) <= MAX_MESSAGE:
        raise _error(f"Tunnel message of {len(message)} bytes; 1 to {MAX_MESSAGE} are allowed.")
    return message[0]


def _refuse_if_known(kind: int, channel: str) -> None:
    if kind in _STREAM_PARSERS or kind in _CONTROL_PARSERS or kind == _TYPE_DATA:
        raise _error(f"Frame {FrameType(kind).name} does not belong on a {channel} channel.")


def _error(detail: str) -> FarsiteError:
    return FarsiteError(ErrorCode.PROTOCOL_ERROR, detail)


def _fields(layout: struct.Struct, message: bytes) -> tuple[int, ...]:
    try:
        _, *fields = layout.unpack_from(message)
    except struct.error:
        name = FrameType(message[0]).name
        raise _error(f"Frame {name} of {len(message)} bytes; at least {layout.size} belong there.") from None
    return tuple(fields)


def _offsets(layout: struct.Struct, message: bytes) -> tuple[int, ...]:
    fields = _fields(layout, message)
    if max(fields) > MAX_OFFSET:
        raise _error(f"Frame {FrameType(message[0]).name} with an offset out of range.")
    return fields


def _parse_open(message: bytes) -> Open:
    stream, limit = _offsets(_OPEN, message)
    request = message[_OPEN.size :]
    if len(request) > MAX_OPEN:
        raise _error(f"Open request of {len(request)} bytes; at most {MAX_OPEN}.")
    return Open(stream, limit, request)


def _parse_accept(message: bytes) -> Accept:
    return Accept(*_offsets(_ACCEPT, message))


def _parse_data(message: bytes) -> Data:
    if len(message) <= DATA_HEADER_SIZE:
        raise _error("Frame DATA without data.")
    (_, offset) = _DATA.unpack_from(message)
    return Data(offset, message[DATA_HEADER_SIZE:])


def _parse_credit(message: bytes) -> Credit:
    return Credit(*_offsets(_CREDIT, message))


def _parse_fin(message: bytes) -> Fin:
    return Fin(*_offsets(_FIN, message))


def _parse_reset(message: bytes) -> Reset:
    return Reset(*_parse_reason(message))


def _parse_resume(message: bytes) -> Resume:
    return Resume(*_offsets(_RESUME, message))


def _parse_ping(message: bytes) -> Ping:
    return Ping(*_fields(_TOKEN, message))


def _parse_pong(message: bytes) -> Pong:
    return Pong(*_fields(_TOKEN, message))


def _parse_goodbye(message: bytes) -> Goodbye:
    return Goodbye(*_parse_reason(message))


def _encode_reason(kind: FrameType, code: ErrorCode, reason: str) -> bytes:
    name = code.value.encode("ascii")
    text = reason.encode("utf-8", "replace")[:MAX_REASON]
    return _REASON.pack(kind, len(name)) + name + text


def _parse_reason(message: bytes) -> tuple[ErrorCode, str]:
    (length,) = _fields(_REASON, message)
    end = _REASON.size + length
    if len(message) < end:
        raise _error(f"Frame {FrameType(message[0]).name} is cut short in its code.")
    code = parse_code(message[_REASON.size : end].decode("ascii", "replace"))
    return code, _printable(message[end : end + MAX_REASON].decode("utf-8", "replace"))


def _printable(text: str) -> str:
    # Reasons are shown in terminals and logs: a peer must not be able to write control characters there.
    return "".join(char if char.isprintable() else " " for char in text)


_STREAM_PARSERS: dict[int, Callable[[bytes], StreamFrame]] = {
    FrameType.OPEN.value: _parse_open,
    FrameType.ACCEPT.value: _parse_accept,
    FrameType.DATA.value: _parse_data,
    FrameType.CREDIT.value: _parse_credit,
    FrameType.FIN.value: _parse_fin,
    FrameType.RESET.value: _parse_reset,
    FrameType.RESUME.value: _parse_resume,
}
_CONTROL_PARSERS: dict[int, Callable[[bytes], ControlFrame]] = {
    FrameType.PING.value: _parse_ping,
    FrameType.PONG.value: _parse_pong,
    FrameType.GOODBYE.value: _parse_goodbye,
}
