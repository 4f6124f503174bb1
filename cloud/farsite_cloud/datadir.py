"""The data folder: made, private, writable, and used by one cloud at a time."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from farsite_signaling.wire.errors import ErrorCode, FarsiteError

LOCK_FILE = "farsite.lock"


@contextmanager
def storage_failures(folder: Path) -> Iterator[None]:
    """Say in words what the file system refuses. Raises `disk_full`, `storage_failed`."""
    try:
        yield
    except OSError as error:
        raise _storage_failure(folder, error) from None


def _storage_failure(folder: Path, error: OSError) -> FarsiteError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        detail = f"The disk of {folder} is full. Free some space, or choose another folder with --data-dir."
        return FarsiteError(ErrorCode.DISK_FULL, detail)
    reason = error.strerror or str(error)
    detail = f"The data folder {folder} cannot be used ({reason}). Make it writable, or choose another with --data-dir."
    return FarsiteError(ErrorCode.STORAGE_FAILED, detail)


@contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """Hold the folder for this process. Raises `storage_failed` when another cloud has it."""
    with storage_failures(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(lock, folder)
        yield
    finally:
        os.close(lock)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows: the port tells that another one runs
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        detail = (
            f"Another cloud is running on the data folder {folder}. Stop it, or choose another --data-dir."
        )
        raise FarsiteError(ErrorCode.STORAGE_FAILED, detail) from None
