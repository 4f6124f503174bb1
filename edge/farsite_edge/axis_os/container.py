"""Unpacks the container of an AXIS OS image as a stream: gzip before AXIS OS 13, zstd (RFC 8878) from then on.

A few bytes can stand for very many: neither a piece nor the whole is ever larger than its bound.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol

MIB = 1024 * 1024
MAX_UNPACKED = 8192 * MIB
BLOCK = 256 * 1024
_GZIP, _ZSTD, _SKIPPABLE = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\x2a\x4d\x18"
_ZSTD_STEP = 1024
"""A block of three bytes and one of data unpacks to 128 KiB (RFC 8878 3.1.1.2.4): so many stand for 32 MiB at most."""
_ZSTD_WINDOW = 128 * MIB
"""The window `zstd --ultra` uses without being asked for more."""
TRUNCATED = "It is truncated: the end of the container is missing. Copy the file again."
DAMAGED = "Its container is damaged (wrong checksum or data). Copy the file again."


class BadImage(Exception):
    """Says why a file cannot be used."""


class _Unpacker(Protocol):
    def feed(self, block: bytes) -> Iterator[bytes]: ...

    @property
    def complete(self) -> bool: ...


def unpacked(file: BinaryIO, seen: Callable[[bytes], object] = lambda _block: None) -> Iterator[bytes]:
    """The unpacked bytes, a bounded piece at a time; `seen` gets every packed block. Raises `BadImage`."""
    total, unpacker = 0, None
    while block := file.read(BLOCK):
        seen(block)
        unpacker = unpacker or _unpacker(block)
        for part in unpacker.feed(block):
            total += len(part)
            if total > MAX_UNPACKED:
                raise BadImage("It unpacks to more than any image has: refused as a decompression bomb.")
            if part:
                yield part
    if unpacker is None:
        raise BadImage("It is empty.")
    if not unpacker.complete:
        raise BadImage(TRUNCATED)


def _unpacker(block: bytes) -> _Unpacker:
    if block.startswith(_GZIP):
        return _Gzip()
    if block.startswith(_ZSTD) or block[1:4] == _SKIPPABLE:
        return _Zstd()
    raise BadImage("It is no AXIS OS image.")


class _Gzip:
    def __init__(self) -> None:
        self._unpack = zlib.decompressobj(wbits=31)

    @property
    def complete(self) -> bool:
        return self._unpack.eof

    def feed(self, block: bytes) -> Iterator[bytes]:
        while block and not self._unpack.eof:
            try:
                yield self._unpack.decompress(block, BLOCK)
            except zlib.error:
                raise BadImage(DAMAGED) from None
            block = self._unpack.unconsumed_tail


class _Zstd:
    """One or more frames: `zstd --threads` and `pzstd` write several. What follows is not looked at, as with gzip."""

    def __init__(self) -> None:
        import zstandard  # loaded for those images only

        self._error = zstandard.ZstdError
        self._fresh = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj
        self._frame = self._fresh()
        self._begun = self._over = False
        self._held = b""

    @property
    def complete(self) -> bool:
        return not self._begun

    def feed(self, block: bytes) -> Iterator[bytes]:
        for at in range(0, len(block), _ZSTD_STEP):
            rest = self._held + block[at : at + _ZSTD_STEP]
            self._held = b""
            while rest and not self._over:
                if not self._begun and not self._begins(rest):
                    break
                yield self._decompress(rest)
                rest = self._frame.unused_data if self._frame.eof else b""
                if self._frame.eof:
                    self._frame, self._begun = self._fresh(), False

    def _begins(self, rest: bytes) -> bool:
        """Whether another frame does; too few bytes to tell are kept for the next time."""
        if len(rest) < 4:
            self._held = rest
            return False
        self._begun = rest.startswith(_ZSTD) or rest[1:4] == _SKIPPABLE
        self._over = not self._begun
        return self._begun

    def _decompress(self, data: bytes) -> bytes:
        try:
            return bytes(self._frame.decompress(data))
        except self._error:
            raise BadImage(DAMAGED) from None
