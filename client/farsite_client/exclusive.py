"""One at a time: this machine's name can be connected to the hub once, whichever process does it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from farsite_signaling.wire.errors import ErrorCode, FarsiteError

INTERVAL = 0.05
WAIT = 60.0


@asynccontextmanager
async def exclusive(file: Path, wait: float = WAIT) -> AsyncIterator[None]:
    """Hold the lock on `file` while the body runs, also against other processes; a dead process holds nothing.

    Raises `FarsiteError` (`timeout`) after `wait` seconds.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        async with asyncio.timeout(wait):
            while not _lock(descriptor):  # noqa: ASYNC110 - another process's lock gives no event
                await asyncio.sleep(INTERVAL)
    except TimeoutError:
        os.close(descriptor)
        raise FarsiteError(
            ErrorCode.TIMEOUT, "Other farsite commands on this machine are still opening their sessions."
        ) from None
    except BaseException:
        os.close(descriptor)
        raise
    try:
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Closing the descriptor unlocks."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
