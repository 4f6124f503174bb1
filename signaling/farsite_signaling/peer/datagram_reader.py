"""Reading datagrams from a socket: many per system call on Linux (recvmmsg(2), UDP_GRO), one per call elsewhere.

A call for each datagram was a third of all CPU of an end behind a relay, which sends them one by one.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import socket
import struct
import sys
import threading
from contextlib import suppress
from functools import cache
from typing import Any, Protocol

_UDP_GRO = 104
_SLOT = 65_536
"""What UDP_GRO puts together, at most."""
_SLOTS = 40
_NAME = 28
_CONTROL = 64
_control = struct.Struct("@Niii")
_address4, _address6 = struct.Struct("!2xH4s"), struct.Struct("!2xHL16s")

Datagram = tuple[memoryview, int, Any]
"""Bytes, length of each of the datagrams that are in them (the last one maybe shorter), and whose: for `address`."""


class Reader(Protocol):
    """What `read` returns is overwritten by the next one, of any reader of the thread."""

    most: int
    """Datagrams that one `read` returns: when they are fewer, no more are there."""

    def read(self) -> list[Datagram]:
        """Raises `BlockingIOError` when nothing is there, `OSError` for what the network reports."""

    def address(self, whose: Any) -> Any:
        """As `socket.recvfrom` has it; until the next `read`."""


def reader(sock: socket.socket, *, many: bool) -> Reader:
    """`many`: several per call, where the system can."""
    if many and _has_recvmmsg():
        with suppress(OSError):  # before Linux 5.0
            sock.setsockopt(socket.SOL_UDP, _UDP_GRO, 1)
        return _Many(sock)
    return _OneByOne(sock)


class _Buffer(threading.local):
    def __init__(self) -> None:
        self.view = memoryview(bytearray(_SLOT))


_buffer = _Buffer()


class _OneByOne:
    most = 1

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def read(self) -> list[Datagram]:
        size, address = self._sock.recvfrom_into(_buffer.view)
        return [(_buffer.view[:size], size, address)]

    def address(self, whose: Any) -> Any:
        return whose


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """`struct msghdr`."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vector", ctypes.c_void_p),
        ("vectors", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Header(ctypes.Structure):
    """`struct mmsghdr`."""

    _fields_ = (("message", _Message), ("length", ctypes.c_uint))


_LENGTH = _Header.length.offset // 4
_CONTROL_LENGTH = _Message.control_length.offset // ctypes.sizeof(ctypes.c_size_t)


class _Slots(threading.local):
    """Room for one call, shared by all sockets of a thread. Memory is taken as it is written to."""

    def __init__(self) -> None:
        self.data = memoryview(_private(_SLOTS * _SLOT))
        self.names = memoryview(_private(_SLOTS * _NAME))
        self.controls = memoryview(_private(_SLOTS * _CONTROL))
        self._vectors = (_Vector * _SLOTS)()
        self._headers = (_Header * _SLOTS)()
        for slot in range(_SLOTS):
            self._prepare(slot)
        self.at = ctypes.addressof(self._headers)
        self._bytes = memoryview(self._headers).cast("B")
        self._fresh = bytes(self._bytes)
        step = ctypes.sizeof(_Header)
        # Plain numbers side by side: quicker to read than fields.
        self.lengths = self._bytes.cast("I")[_LENGTH :: step // 4]
        self.control_lengths = self._bytes.cast("L")[
            _CONTROL_LENGTH :: step // ctypes.sizeof(ctypes.c_size_t)
        ]

    def _prepare(self, slot: int) -> None:
        vector, header = self._vectors[slot], self._headers[slot].message
        vector.base, vector.length = _at(self.data) + slot * _SLOT, _SLOT
        header.name, header.name_length = _at(self.names) + slot * _NAME, _NAME
        header.vector, header.vectors = ctypes.addressof(vector), 1
        header.control, header.control_length = _at(self.controls) + slot * _CONTROL, _CONTROL

    def renew(self) -> None:
        """The system has written lengths over ours."""
        self._bytes[:] = self._fresh


def _private(size: int) -> mmap.mmap:
    """Not shared with processes that are forked."""
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def _at(view: memoryview) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(view))


_slots: _Slots | None = None


@cache
def _recvmmsg() -> Any:
    """Keeps the interpreter's lock: it never waits. Raises `AttributeError` where the C library has none."""
    call = ctypes.PyDLL(None, use_errno=True).recvmmsg
    call.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
    return call


@cache
def _has_recvmmsg() -> bool:
    """Sandboxes forbid what they do not know: asked once, of a socket that nothing comes to."""
    if sys.platform != "linux":
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        try:
            _Many(sock).read()
        except BlockingIOError:
            return True
        except (OSError, AttributeError):
            return False
    return False


class _Many:
    most = _SLOTS

    def __init__(self, sock: socket.socket) -> None:
        global _slots
        if _slots is None:
            _slots = _Slots()
        self._sock = sock
        self._call = _recvmmsg()

    def read(self) -> list[Datagram]:
        slots = _slots
        assert slots is not None
        slots.renew()
        count = self._call(self._sock.fileno(), slots.at, _SLOTS, socket.MSG_DONTWAIT, None)
        if count < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        data, lengths, controls = slots.data, slots.lengths, slots.control_lengths
        found: list[Datagram] = []
        for slot in range(count):
            size, start = lengths[slot], slot * _SLOT
            segment = self._segment(slots, slot) if controls[slot] else 0
            found.append((data[start : start + size], segment or size, slot))
        return found

    def _segment(self, slots: _Slots, slot: int) -> int:
        """What UDP_GRO says of a message; 0: it is one datagram."""
        _, level, kind, value = _control.unpack_from(slots.controls, slot * _CONTROL)
        return int(value) if (level, kind) == (socket.SOL_UDP, _UDP_GRO) else 0

    def address(self, whose: int) -> Any:
        assert _slots is not None
        name = _slots.names[whose * _NAME : (whose + 1) * _NAME]
        family = int.from_bytes(name[:2], sys.byteorder)
        if family == socket.AF_INET6:
            port, flow, host = _address6.unpack_from(name)
            scope = int.from_bytes(name[24:28], sys.byteorder)
            return socket.inet_ntop(socket.AF_INET6, host), port, flow, scope
        port, host = _address4.unpack_from(name)
        return socket.inet_ntop(socket.AF_INET, host), port
