"""Storage errors in words a user can act on."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from farsite_signaling.wire.edge_api import StorageState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_FULL = {errno.ENOSPC, errno.EDQUOT} if hasattr(errno, "EDQUOT") else {errno.ENOSPC}


class StorageProblem(FarsiteError):
    """`disk_full` or `storage_failed`, and what it says of the storage as a whole."""

    def __init__(self, state: StorageState, detail: str) -> None:
        full = state is StorageState.FULL
        super().__init__(ErrorCode.DISK_FULL if full else ErrorCode.STORAGE_FAILED, detail)
        self.state = state


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turns what SQLite and the file system raise into `disk_full` and `storage_failed`."""
    try:
        yield
    except sqlite3.Error as error:
        raise from_sqlite(error, path) from error
    except OSError as error:
        raise from_os(error, path) from error


def from_sqlite(error: sqlite3.Error, path: Path) -> StorageProblem:
    # The lower byte is the primary result code (https://www.sqlite.org/rescode.html).
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return _full(path)
    if code in _DAMAGED:
        return damaged(path, str(error))
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
        return _read_only(path)
    return _failed(f"Storage at {path} failed: {error}. Check the disk and the folder's permissions.")


def from_os(error: OSError, path: Path) -> StorageProblem:
    if error.errno in _FULL:
        return _full(path)
    if error.errno == errno.EROFS:
        return _read_only(path)
    reason = error.strerror or str(error)
    return _failed(f"{path} cannot be used: {reason}. Check the disk and the folder's permissions.")


def damaged(path: Path, reason: str) -> StorageProblem:
    reason = " ".join(reason.split())[:100]
    detail = (
        f"The database {path} is damaged ({reason}); nothing was changed. The edge host sets it aside by itself, as "
        "soon as there is room for a second one, and takes over what can be read."
    )
    return StorageProblem(StorageState.DAMAGED, detail)


def _full(path: Path) -> StorageProblem:
    detail = f"The disk that holds {path} is full; nothing was changed. Free some space and try again."
    return StorageProblem(StorageState.FULL, detail)


def _read_only(path: Path) -> StorageProblem:
    detail = (
        f"{path} cannot be written (read-only); nothing was changed. Make its disk and folder writable: it goes on by "
        "itself then."
    )
    return StorageProblem(StorageState.READ_ONLY, detail)


def _failed(detail: str) -> StorageProblem:
    return StorageProblem(StorageState.FAILED, detail)
