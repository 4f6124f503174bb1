"""Text out of files that spreadsheets write."""

from __future__ import annotations

import sys
from pathlib import Path

from farsite_signaling.wire.errors import ErrorCode, FarsiteError

MAX_FILE = 2_000_000


def read_spreadsheet(path: Path) -> str:
    """UTF-8, UTF-16 with a byte-order mark, or else Latin-1; `-` is standard input. Never more than `MAX_FILE` bytes
    are read. Raises `invalid_request`, `too_large`."""
    try:
        data = sys.stdin.buffer.read(MAX_FILE + 1) if str(path) == "-" else _beginning(path)
    except OSError as error:
        detail = f"{path} cannot be read: {error.strerror or error}."
        raise FarsiteError(ErrorCode.INVALID_REQUEST, detail) from None
    if len(data) > MAX_FILE:
        raise FarsiteError(
            ErrorCode.TOO_LARGE, f"{path} is larger than {MAX_FILE:,} bytes: 25,600 lines are enough."
        )
    # No cell means a null character: with another in its place only its line is bad.
    return _decoded(data).replace("\0", "\ufffd")


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_FILE + 1)


def _decoded(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")
