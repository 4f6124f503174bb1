"""Joins a stream of a tunnel with a connection to a device: bytes, pace and half-close both ways."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import cast

ATTACH_TIMEOUT = 30.0
LINGER = 60.0
"""Seconds a device may go on after the client has closed its half."""
logger = logging.getLogger(__name__)


class _End(asyncio.Protocol):
    """One end; `other` is the end its bytes go to."""

    def __init__(self, splice: Splice) -> None:
        self.splice = splice
        self.transport: asyncio.Transport | None = None
        self.other: _End
        self.count = 0
        self.eof = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.splice.attached(self)

    def data_received(self, data: bytes) -> None:
        self.count += len(data)
        if self.other.transport is not None and not self.other.transport.is_closing():
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        """True keeps our own direction open; TLS cannot, and closes."""
        return self.splice.half_closed(self)

    def pause_writing(self) -> None:
        if self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other.transport is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.splice.lost(self, exc)


class Splice:
    """`device` is the protocol for the connection to the device, made first; `stream` the one for the stream.

    Until the stream is there nothing is read from the device; without one it is closed after 30 s.
    """

    def __init__(self, on_closed: Callable[[int, int], None] = lambda _up, _down: None) -> None:
        self.device = _End(self)
        self.stream = _End(self)
        self.device.other, self.stream.other = self.stream, self.device
        self._on_closed = on_closed
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def counts(self) -> tuple[int, int]:
        """Bytes so far: from the stream, from the device."""
        return self.stream.count, self.device.count

    def attached(self, end: _End) -> None:
        assert end.transport is not None
        if end is self.device:
            end.transport.pause_reading()
            self._later(ATTACH_TIMEOUT)
            return
        self._cancel_timer()
        if self.device.transport is None or self.device.transport.is_closing():
            end.transport.abort()
        else:
            self.device.transport.resume_reading()

    def half_closed(self, end: _End) -> bool:
        end.eof = True
        other = end.other.transport
        if other is None or other.is_closing():
            return False
        if end.other.eof:
            other.close()  # both halves are done; what is buffered still leaves
            return False
        if other.can_write_eof():
            other.write_eof()
        elif end is self.device:
            other.close()
        # TLS to a device has no half-close: let its answer finish, for a while.
        self._later(LINGER)
        own_tls = end.transport is not None and end.transport.get_extra_info("ssl_object") is not None
        return not own_tls

    def lost(self, end: _End, error: Exception | None) -> None:
        other = end.other.transport
        if other is not None and not other.is_closing():
            if error is None:
                other.close()
            else:
                other.abort()
        if not self._closed:
            self._closed = True
            self._cancel_timer()
            self._on_closed(self.stream.count, self.device.count)

    def close(self) -> None:
        """Idempotent; at once."""
        for end in (self.device, self.stream):
            if end.transport is not None:
                end.transport.abort()

    def _later(self, seconds: float) -> None:
        self._cancel_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.close)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
