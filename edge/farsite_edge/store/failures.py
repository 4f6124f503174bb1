"""Storage errors in words a user can act on."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from farsite_signaling.wire.errors import ErrorCode, FarsiteError

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_FULL = {errno.ENOSPC, errno.EDQUOT} if hasattr(errno, "EDQUOT") else {errno.ENOSPC}


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turns what SQLite and the file system raise into `disk_full` and `storage_failed`."""
    try:
        yield
    except sqlite3.Error as error:
        raise from_sqlite(error, path) from error
    except OSError as error:
        raise from_os(error, path) from error


def from_sqlite(error: sqlite3.Error, path: Path) -> FarsiteError:
    # The lower byte is the primary result code (https://www.sqlite.org/rescode.html).
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return _full(path)
    if code in _DAMAGED:
        return damaged(path, str(error))
    if code == sqlite3.SQLITE_READONLY:
        return _failed(f"{path} cannot be written (read-only). Make its folder writable, then start again.")
    return _failed(f"Storage at {path} failed: {error}. Check the disk and the folder's permissions.")


def from_os(error: OSError, path: Path) -> FarsiteError:
    if error.errno in _FULL:
        return _full(path)
    reason = error.strerror or str(error)
    return _failed(f"{path} cannot be used: {reason}. Check the disk and the folder's permissions.")


def damaged(path: Path, reason: str) -> FarsiteError:
    reason = " ".join(reason.split())[:100]
    return _failed(
        f"The database {path} is damaged ({reason}). Put back a copy, or move the file away and claim this "
        "edge host again; nothing was changed."
    )


def _full(path: Path) -> FarsiteError:
    return FarsiteError(
        ErrorCode.DISK_FULL,
        f"The disk that holds {path} is full; nothing was changed. Free some space and try again.",
    )


def _failed(detail: str) -> FarsiteError:
    return FarsiteError(ErrorCode.STORAGE_FAILED, detail)
