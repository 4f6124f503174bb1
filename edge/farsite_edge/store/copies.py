"""A copy of the database, made every day: what a damaged one does not give any more comes from it."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import shutil
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

from farsite_edge.store.database import Database
from farsite_edge.store.failures import StorageProblem, damaged, storage_errors
from farsite_signaling.wire.edge_api import StorageState
from farsite_signaling.wire.errors import FarsiteError

EVERY = 24 * 3600.0
LOOK = 600.0
PAUSE = 20.0
"""Until a copy without forgotten secrets is made."""
CLOSE_WITHIN = 10.0
logger = logging.getLogger(__name__)


def copy_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.copy")


def half_of(path: Path) -> Path:
    """Where a copy is while it is being made."""
    return path.with_name(f"{path.name}.copy.new")


def drop_half(path: Path) -> None:
    """What a process that was killed while it copied has left, SQLite's own files beside it included."""
    with suppress(OSError):
        for left in path.parent.glob(f"{half_of(path).name}*"):
            left.unlink(missing_ok=True)


class Copies:
    """`soon()`: what happened is worth a copy of its own, as a claim is. `secrets_changed()`: the copy may hold a secret
    that was forgotten since."""

    def __init__(self, database: Database, *, pause: float = PAUSE) -> None:
        self._database = database
        self._pause = pause
        self._wake = asyncio.Event()
        self._due = self._suspect = False
        self._making = asyncio.Lock()

    def soon(self) -> None:
        self._due = True
        self._wake.set()

    def secrets_changed(self) -> None:
        self._suspect = True
        self._wake.set()

    async def run(self) -> None:
        self._suspect = True  # whatever happened before the last end
        while True:
            self._wake.clear()
            if self._due or self._is_due():
                self._due = not await self._try()
            elif self._suspect:
                await self._renew()
            await self._wait()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(LOOK):
                await self._wake.wait()
            if not self._due:
                await asyncio.sleep(self._pause)  # passwords are changed on many devices one after another
        except TimeoutError:
            pass

    def _is_due(self) -> bool:
        try:
            age = time.time() - copy_of(self._database.path).stat().st_mtime
        except OSError:
            return True
        return not 0 <= age < EVERY

    async def _renew(self) -> None:
        """A new copy when the old one holds what is forgotten; else at the next look."""
        self._suspect = False
        if await asyncio.to_thread(holds_forgotten, self._database.path):
            self._suspect = not await self._try()

    async def make(self) -> Path:
        """Raises `disk_full`, `storage_failed`."""
        async with self._making:
            # The log holds pages as they were before.
            await self._database.empty_log()
            making = asyncio.get_running_loop().run_in_executor(None, make_copy, self._database.path)
            try:
                return await asyncio.shield(making)
            except asyncio.CancelledError:
                # The thread goes on whoever waits: nothing is written any more after the edge host has closed.
                await asyncio.wait({making}, timeout=CLOSE_WITHIN)
                raise

    async def _try(self) -> bool:
        try:
            await self.make()
        except FarsiteError as error:
            logger.warning("no copy of the database could be made: %s", error)
            if isinstance(error, StorageProblem) and error.state is StorageState.DAMAGED:
                self._database.health.seen(error)
            return False
        return True


def holds_forgotten(path: Path) -> bool:
    """Whether the copy has a sealed secret that the database has no more: each sealing has a nonce of its own."""
    try:
        return bool(_nonces(copy_of(path)) - _nonces(path))
    except sqlite3.Error:
        return copy_of(path).exists()


def _nonces(path: Path) -> set[bytes]:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return {row[0] for row in connection.execute("SELECT nonce FROM secrets")}


def make_copy(path: Path) -> Path:
    """Whole or not at all; a database that is damaged does not replace the copy of a sound one. Raises `disk_full`,
    `storage_failed`."""
    copy, new = copy_of(path), half_of(path)
    with storage_errors(copy):
        if shutil.disk_usage(path.parent).free < 3 * path.stat().st_size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        drop_half(path)
        new.touch(mode=0o600)
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(new)) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")
            sound = target.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
        if not sound:
            raise damaged(path, "found while it was copied")
        new.replace(copy)
    return copy
