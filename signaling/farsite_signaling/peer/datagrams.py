"""A UDP transport that reads and writes many datagrams per system call, where the system has that.

Linux cuts one long buffer into datagrams of one length (UDP_SEGMENT), and hands over many per call (`datagram_reader`).
Elsewhere, or when a network card refuses, it is one call per datagram.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from farsite_signaling.peer.datagram_reader import Datagram, reader
from farsite_signaling.peer.rhythm import Rhythm, delay

_UDP_SEGMENT = 103
OFFLOAD = sys.platform == "linux"
DTLS_FIRST_BYTES = range(20, 64)
"""RFC 7983 section 7."""
_READS, _ENOUGH = 32, 1024 * 1024
"""Calls and bytes per wake-up, so that other work gets its turn."""
_LONG = 16 * 1024
"""What is that long already is not put together with more."""
_MAX_WAITING = 512
_NO_OFFLOAD = (errno.EIO, errno.EINVAL, errno.EMSGSIZE, errno.EOPNOTSUPP, errno.ENOPROTOOPT)
_MAX_SEGMENTS = 60


class UdpTransport(asyncio.DatagramTransport):
    """Owns `sock`, which is bound, perhaps connected, and does not block.

    A protocol with `records_received(data: memoryview, segment: int) -> bool` gets datagrams several at a time whose
    first byte is in its range `batched`; what it does not want then comes as `datagram_received`, one by one.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, protocol: asyncio.DatagramProtocol
    ) -> None:
        super().__init__({"socket": sock, "sockname": sock.getsockname()})
        self._loop = loop
        self._sock = sock
        self._protocol = protocol
        self._records: Callable[[memoryview, int], bool] | None = getattr(protocol, "records_received", None)
        self._batched: range = getattr(protocol, "batched", DTLS_FIRST_BYTES)
        self._closing = False
        self._unread = False
        self._read_bytes = 0
        self._rhythm = Rhythm()
        self._look: asyncio.TimerHandle | None = None
        self._waiting: deque[tuple[bytes, Any]] = deque()
        self._offload = OFFLOAD
        self._reader = reader(sock, many=OFFLOAD)

    def open(self) -> None:
        self._protocol.connection_made(self)
        self._loop.add_reader(self._sock.fileno(), self._readable)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`pace`, beside what is usual: how those above reach it through a relay."""
        return self.pace if name == "pace" else super().get_extra_info(name, default)

    def pace(self, tick: float) -> None:
        """Seconds between two looks while much comes: half of it is added to the round trip, on average."""
        self._rhythm.tick = tick

    # reading

    def _readable(self) -> None:
        """Read all there is. While much comes, the next look is a tick later."""
        self._read_bytes += self._drain()
        if self._closing:
            return
        if self._rhythm.ticking and self._unread:  # the tick goes on after other work had its turn
            self._look = self._loop.call_later(0, self._readable)
            return
        size, self._read_bytes = self._read_bytes, 0
        now, ticked = self._loop.time(), self._rhythm.ticking
        ticking = self._rhythm.read(size, now)
        if ticking:
            self._look = self._loop.call_later(delay(now, now, self._rhythm.tick), self._readable)
        if ticking and not ticked:
            self._loop.remove_reader(self._sock.fileno())
        elif ticked and not ticking:
            self._loop.add_reader(self._sock.fileno(), self._readable)

    def _drain(self) -> int:
        """Returns the bytes read; `_unread` tells whether there may be more."""
        total = 0
        self._unread = True
        for _ in range(_READS):
            if self._closing or total >= _ENOUGH:
                break
            try:
                datagrams = self._reader.read()
            except (BlockingIOError, InterruptedError):
                self._unread = False
                break
            except OSError as error:
                self._protocol.error_received(error)
                continue
            total += sum([len(data) for data, _, _ in datagrams])
            self._received(datagrams)
            if len(datagrams) < self._reader.most:
                self._unread = False
                break
        return total

    def _received(self, datagrams: list[Datagram]) -> None:
        """Anything in one piece comes from one sender."""
        for run in runs(datagrams, self._batched if self._records is not None else range(0)):
            data, segment, _ = run[0]
            if self._closing:
                return
            if not data:
                continue
            if self._records is not None and data[0] in self._batched and self._hand_on(run, segment):
                continue
            for datagram in run:
                self._one_by_one(datagram)

    def _hand_on(self, run: list[Datagram], segment: int) -> bool:
        assert self._records is not None
        data = run[0][0] if len(run) == 1 else memoryview(b"".join([data for data, _, _ in run]))
        return self._records(data, segment)

    def _one_by_one(self, datagram: Datagram) -> None:
        data, segment, whose = datagram
        address = self._reader.address(whose)
        for start in range(0, len(data), segment):
            if not self._closing:
                self._protocol.datagram_received(data[start : start + segment].tobytes(), address)

    # writing

    def sendto(self, data: Any, addr: Any = None) -> None:
        if self._closing or not data:
            return
        if self._waiting:
            self._wait(data, addr)
            return
        try:
            self._send(data, addr)
        except (BlockingIOError, InterruptedError):
            self._wait(data, addr)
        except OSError as error:
            self._protocol.error_received(error)

    def _send(self, data: Any, addr: Any) -> None:
        if addr is None:
            self._sock.send(data)
        else:
            self._sock.sendto(data, addr)

    def send_segments(self, data: memoryview, segment: int, addr: Any = None) -> None:
        """Datagrams of `segment` bytes each, the last one maybe shorter."""
        step = segment * _MAX_SEGMENTS
        for start in range(0, len(data), step):
            self._send_piece(data[start : start + step], segment, addr)

    def _send_piece(self, data: memoryview, segment: int, addr: Any) -> None:
        if self._offload and len(data) > segment and not self._waiting and not self._closing:
            control = [(socket.SOL_UDP, _UDP_SEGMENT, struct.pack("=H", segment))]
            try:
                self._sock.sendmsg([data], control, 0, *(() if addr is None else (addr,)))
                return
            except (BlockingIOError, InterruptedError):
                pass
            except OSError as error:
                if error.errno not in _NO_OFFLOAD:
                    self._protocol.error_received(error)
                    return
                self._offload = False
        for start in range(0, len(data), segment):
            self.sendto(data[start : start + segment], addr)

    def _wait(self, data: Any, addr: Any) -> None:
        """The system's buffer is full: keep a little, drop the rest as any full queue does."""
        if not self._waiting:
            self._loop.add_writer(self._sock.fileno(), self._writable)
        if len(self._waiting) < _MAX_WAITING:
            self._waiting.append((bytes(data), addr))

    def _writable(self) -> None:
        while self._waiting:
            data, addr = self._waiting[0]
            try:
                self._send(data, addr)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._protocol.error_received(error)
            self._waiting.popleft()
        self._loop.remove_writer(self._sock.fileno())

    # ending

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        """Datagrams promise nothing: what waits is dropped."""
        if self._closing:
            return
        self._closing = True
        if self._look is not None:
            self._look.cancel()
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._waiting.clear()
        self._loop.call_soon(self._lost)

    def _lost(self) -> None:
        try:
            self._protocol.connection_lost(None)
        finally:
            self._sock.close()


def runs(datagrams: list[Datagram], batched: range) -> Iterator[list[Datagram]]:
    """Put together what may go on in one piece: first bytes in `batched`, one length, the last of a run maybe shorter."""
    run: list[Datagram] = []
    length = 0
    for datagram in datagrams:
        data, segment, _ = datagram
        fits = bool(data) and data[0] in batched
        joins = segment == length or (segment < length and segment == len(data))
        if run and not (fits and joins and len(data) <= _LONG):
            yield run
            run = []
        if not run:
            length = segment if fits else 0
        run.append(datagram)
        if not length or len(data) % length or len(data) > _LONG:
            yield run
            run = []
    if run:
        yield run
