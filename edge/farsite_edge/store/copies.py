"""A copy of the database, made every day: what a damaged one does not give any more comes from it."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

from farsite_edge.store.database import Database
from farsite_edge.store.failures import storage_errors
from farsite_signaling.wire.errors import FarsiteError

EVERY = 24 * 3600.0
LOOK = 600.0
CLOSE_WITHIN = 10.0
logger = logging.getLogger(__name__)


def copy_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.copy")


def half_of(path: Path) -> Path:
    """Where a copy is while it is being made."""
    return path.with_name(f"{path.name}.copy.new")


def drop_half(path: Path) -> None:
    """What a process that was killed while it copied has left."""
    with suppress(OSError):
        half_of(path).unlink(missing_ok=True)


class Copies:
    """`soon()`: what happened is worth a copy of its own, as a claim is."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wake = asyncio.Event()
        self._making = asyncio.Lock()

    def soon(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        while True:
            if self._wake.is_set() or self._is_due():
                self._wake.clear()
                await self._try()
            try:
                async with asyncio.timeout(LOOK):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def _is_due(self) -> bool:
        try:
            age = time.time() - copy_of(self._database.path).stat().st_mtime
        except OSError:
            return True
        return not 0 <= age < EVERY

    async def make(self) -> Path:
        """Raises `disk_full`, `storage_failed`."""
        async with self._making:
            making = asyncio.get_running_loop().run_in_executor(None, make_copy, self._database.path)
            try:
                return await asyncio.shield(making)
            except asyncio.CancelledError:
                # The thread goes on whoever waits: nothing is written any more after the edge host has closed.
                await asyncio.wait({making}, timeout=CLOSE_WITHIN)
                raise

    async def _try(self) -> None:
        try:
            await self.make()
        except FarsiteError as error:
            logger.warning("no copy of the database could be made: %s", error)


def make_copy(path: Path) -> Path:
    """Whole or not at all; a database that is damaged does not replace the copy of a sound one. Raises `disk_full`,
    `storage_failed`."""
    copy = copy_of(path)
    new = half_of(path)
    with storage_errors(copy):
        if shutil.disk_usage(path.parent).free < 3 * path.stat().st_size:
            raise OSError(28, os.strerror(28))
        new.unlink(missing_ok=True)
        new.touch(mode=0o600)
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(new)) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")
            sound = target.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
        if not sound:
            raise sqlite3.DatabaseError("the database is damaged")
        new.replace(copy)
    return copy
